import { h, setText, show } from "./dom.ts";
import { Problem, sortErrors } from "./problem.ts";

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

let numbers = 0;

/** A label, its control, and room for what is wrong with it. */
export interface Field {
  name: string;
  control: Control;
  element: HTMLElement;
  tell(error: string): void;
}

export function field(name: string, label: string, control: Control, hint = ""): Field {
  numbers += 1;
  const id = `field-${numbers}`;
  control.id = id;
  control.name = name;
  const error = h("p", { id: `${id}-error`, class: "error", hidden: true });
  const about = h("p", { id: `${id}-hint`, class: "soft", hidden: hint === "" }, hint);
  control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const tell = (text: string) => {
    setText(error, text);
    show(error, text !== "");
    if (text === "") control.removeAttribute("aria-invalid");
    else control.setAttribute("aria-invalid", "true");
  };
  const caption = h("label", { for: id }, label);
  return {
    name,
    control,
    element: h("div", { class: "field" }, caption, control, about, error),
    tell,
  };
}

export function input(attributes: Record<string, string | boolean> = {}): HTMLInputElement {
  return h("input", {
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    ...attributes,
  });
}

export function select(options: ReadonlyArray<{ value: string; text: string }>): HTMLSelectElement {
  return h("select", {}, ...options.map(({ value, text }) => h("option", { value }, text)));
}

/** Where it is told that something failed; read out at once. */
export class Alert {
  readonly element = h("p", { class: "alert", role: "alert", hidden: true });

  tell(text: string): void {
    setText(this.element, text);
    show(this.element, text !== "");
  }
}

/** A form that sends what its fields hold; its button is off while that is under way. */
export function form(options: {
  testId: string;
  button: string;
  fields: Field[];
  send: () => Promise<void>;
}): { element: HTMLFormElement; button: HTMLButtonElement } {
  const { fields, send } = options;
  const alert = new Alert();
  const button = h("button", {}, options.button);
  const submit = async (event: Event) => {
    event.preventDefault();
    // Not `disabled`: that would take the focus away.
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    tellAll(fields, alert, null);
    try {
      await send();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      tellAll(fields, alert, error);
    } finally {
      button.ariaDisabled = "false";
    }
  };
  const attributes = { "data-testid": options.testId, novalidate: true };
  const element = h("form", attributes, ...fields.map((one) => one.element), alert.element, button);
  element.addEventListener("submit", (event) => void submit(event));
  return { element, button };
}

function tellAll(fields: Field[], alert: Alert, problem: Problem | null): void {
  const names = fields.map(({ name }) => name);
  const { byField, general } =
    problem === null ? { byField: new Map(), general: "" } : sortErrors(problem, names);
  for (const one of fields) one.tell(byField.get(one.name) ?? "");
  alert.tell(general);
  fields.find(({ name }) => byField.has(name))?.control.focus();
}

/** Does something that a button is for, and says what failed. */
export function action(button: HTMLButtonElement, alert: Alert, act: () => Promise<void>): void {
  const run = async () => {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    alert.tell("");
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      alert.tell(error.message);
    } finally {
      button.ariaDisabled = "false";
    }
  };
  button.addEventListener("click", () => void run());
}
