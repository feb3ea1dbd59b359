import { addressOf } from "./address.ts";
import type { App } from "./app.ts";
import { confirmDelete } from "./deleteDialog.ts";
import { badge, h, type Part, setBadge, setText, show } from "./dom.ts";
import { Alert, action } from "./forms.ts";
import type { Vps } from "./model.ts";
import { type VpsWords, vpsWords } from "./words.ts";

/** A VPS: how it is, and what can be asked of it. `changed` is called with every new answer. */
export class VpsCard implements Part<Vps> {
  readonly element: HTMLElement;
  readonly #status = badge("vps-status");
  readonly #message = h("p", { "data-testid": "vps-message" });
  readonly #remedy = h("p", { class: "remedy", "data-testid": "vps-remedy" });
  readonly #facts = h("dl", { class: "facts" });
  readonly #alert = new Alert();
  readonly #power = h("button", { type: "button", "data-testid": "vps-power" });
  readonly #delete = h("button", { type: "button", class: "plain danger" }, "Delete");

  constructor(
    private readonly app: App,
    private vps: Vps,
    heading: "h1" | "h2",
    private readonly changed: (vps: Vps) => void,
  ) {
    const place = { kind: "vps", vps: vps.vps_id } as const;
    const name =
      heading === "h1"
        ? h("h1", { tabindex: "-1" }, vps.name)
        : h("h2", {}, h("a", { href: addressOf(place) }, vps.name));
    this.#delete.setAttribute("aria-label", `Delete ${vps.name}`);
    action(this.#power, this.#alert, () => this.#switch());
    this.#delete.addEventListener("click", () => confirmDelete(this.vps, () => this.#remove()));
    this.element = h(
      "article",
      { class: "card", "data-testid": "vps", "data-vps": vps.vps_id },
      h("div", { class: "title" }, name, this.#status),
      h("div", { role: "status" }, this.#message, this.#remedy),
      this.#facts,
      this.#alert.element,
      h("div", { class: "actions" }, this.#power, this.#delete),
    );
  }

  update(vps: Vps): void {
    this.vps = vps;
    const words = vpsWords(vps);
    this.element.dataset.status = vps.status;
    setBadge(this.#status, words);
    setText(this.#message, vps.message);
    show(this.#message, vps.message !== "");
    setText(this.#remedy, vps.remedy ?? "");
    show(this.#remedy, vps.remedy !== null);
    this.#state(words.facts);
    const asked = words.power === "off" ? "Power off" : "Power on";
    setText(this.#power, asked);
    this.#power.setAttribute("aria-label", `${asked} ${vps.name}`);
    show(this.#power, words.power !== null);
    show(this.#delete, words.canDelete);
  }

  #state(facts: VpsWords["facts"]): void {
    const rows = facts.map(({ name, label, text }) => {
      const value = h("dd", { "data-testid": `vps-${name}` }, text);
      return h("div", {}, h("dt", {}, label), value);
    });
    const said = rows.map(({ textContent }) => textContent).join("");
    if (this.#facts.textContent !== said) this.#facts.replaceChildren(...rows);
  }

  async #switch(): Promise<void> {
    this.changed(await this.app.api.power(this.vps.vps_id, this.vps.power === "off"));
  }

  async #remove(): Promise<void> {
    const vps = await this.app.api.remove(this.vps.vps_id);
    this.changed(vps ?? { ...this.vps, status: "deleting" });
  }
}
