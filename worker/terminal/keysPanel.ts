import type { App } from "./app.ts";
import { badge, h, Keyed, type Part, setBadge, setText, show, timeWords } from "./dom.ts";
import { Alert, action, field, form, input, select } from "./forms.ts";
import type { Key } from "./model.ts";
import { expiryOf, keyWords, LIFETIMES, SUPPORT_LIFETIMES } from "./words.ts";

/** The SSH keys that a VPS lets in. */
export class KeysPanel implements Part<Key[]> {
  readonly element: HTMLElement;
  busy = false;
  readonly #none = h("p", { class: "soft", hidden: true }, "None is let in.");
  readonly #items: Keyed<Key>;

  constructor(
    private readonly app: App,
    private readonly vps: string,
    private readonly changed: () => void,
  ) {
    const list = h("ul", { class: "rows" });
    this.#items = new Keyed(
      list,
      ({ key_id }) => key_id,
      (key) => new KeyRow(app, key, changed),
    );
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "keys-title", "data-testid": "keys" },
      h("h2", { id: "keys-title" }, "SSH keys"),
      this.#none,
      list,
      h("h3", {}, "Add a key"),
      this.#form(),
    );
  }

  update(keys: Key[]): void {
    this.busy = keys.some((one) => keyWords(one, timeWords).busy);
    show(this.#none, keys.length === 0);
    this.#items.update(keys);
  }

  #form(): HTMLElement {
    const area = h("textarea", { rows: "3", autocomplete: "off", spellcheck: "false" });
    const hint = "One line, as in a .pub file. Never the private key.";
    const key = field("public_key", "Public key", area, hint);
    const label = field("label", "Label", input({ maxlength: "100" }));
    const type = field(
      "type",
      "Whose it is",
      select([
        { value: "user", text: "Mine" },
        { value: "support", text: "Support's" },
      ]),
    );
    const lifetimes = select(LIFETIMES);
    const expires = field("expires_at", "Expires", lifetimes);
    type.control.addEventListener("change", () => limit(type.control, lifetimes));
    const send = async () => {
      const wish = {
        public_key: area.value.trim(),
        type: type.control.value,
        label: label.control.value.trim() || undefined,
        expires_at: expiryOf(lifetimes.value, Date.now()),
      };
      await this.app.api.addKey(this.vps, wish);
      area.value = "";
      label.control.value = "";
      this.changed();
    };
    const fields = [key, label, type, expires];
    return form({ testId: "add-key", button: "Add key", fields, send }).element;
  }
}

/** A key of support has to end soon. */
function limit({ value }: { value: string }, expires: HTMLSelectElement): void {
  const support = value === "support";
  for (const option of expires.options) {
    option.disabled = support && !SUPPORT_LIFETIMES.includes(option.value);
  }
  if (expires.selectedOptions[0]?.disabled) expires.value = SUPPORT_LIFETIMES.at(-1) ?? "";
}

class KeyRow implements Part<Key> {
  readonly element: HTMLElement;
  readonly #status = badge("key-status");
  readonly #label = h("strong");
  readonly #about = h("p", { class: "soft" });
  readonly #remove = h("button", { type: "button", class: "plain danger" }, "Remove");

  constructor(app: App, { key_id: key, vps_id: vps }: Key, changed: () => void) {
    const alert = new Alert();
    action(this.#remove, alert, async () => {
      await app.api.removeKey(vps, key);
      changed();
    });
    this.element = h(
      "li",
      { class: "row", "data-testid": "key", "data-key": key },
      h("div", { class: "title" }, this.#label, this.#status),
      this.#about,
      alert.element,
      h("div", { class: "actions" }, this.#remove),
    );
  }

  update(key: Key): void {
    const words = keyWords(key, timeWords);
    const label = key.label || key.name;
    this.element.dataset.status = key.status;
    setText(this.#label, label);
    setBadge(this.#status, words);
    setText(this.#about, words.about);
    this.#remove.ariaLabel = `Remove ${label}`;
  }
}
