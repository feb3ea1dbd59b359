import type { App } from "./app.ts";
import { h, type Part, setText, show } from "./dom.ts";
import { Alert, action } from "./forms.ts";
import type { Connection } from "./model.ts";
import { connectionWords } from "./words.ts";

/** The account at DigitalOcean on which VPSs are made. */
export class ConnectionCard implements Part<Connection> {
  readonly element: HTMLElement;
  readonly #text = h("p", { role: "status", "data-testid": "connection-message" });
  readonly #hint = h(
    "p",
    { class: "soft" },
    "Connecting opens another tab, where DigitalOcean asks for your consent. " +
      "Come back to this one afterwards: it goes on by itself.",
  );
  readonly #connect = h(
    "a",
    { class: "button", href: "/auth/do", target: "_blank", "data-testid": "connect" },
    "Connect DigitalOcean",
  );
  readonly #disconnect = h(
    "button",
    { type: "button", class: "plain", "data-testid": "disconnect" },
    "Disconnect",
  );

  constructor(app: App, changed: (connection: Connection) => void) {
    const alert = new Alert();
    action(this.#disconnect, alert, async () => changed(await app.api.disconnect()));
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "connection-title", "data-testid": "connection" },
      h("h2", { id: "connection-title" }, "Your DigitalOcean account"),
      this.#text,
      this.#hint,
      alert.element,
      h("div", { class: "actions" }, this.#connect, this.#disconnect),
    );
  }

  update(connection: Connection): void {
    const words = connectionWords(connection);
    this.element.dataset.state = connection.state;
    setText(this.#text, words.text);
    show(this.#connect, words.can === "connect");
    show(this.#hint, words.can === "connect");
    show(this.#disconnect, words.can === "disconnect");
  }
}
