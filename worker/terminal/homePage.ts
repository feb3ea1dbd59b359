import type { App, Page } from "./app.ts";
import { ConnectionCard } from "./connectionCard.ts";
import { h, Keyed, setText, show } from "./dom.ts";
import { field, form, input } from "./forms.ts";
import type { Connection, Vps } from "./model.ts";
import type { Pace, Poller } from "./poller.ts";
import { VpsCard } from "./vpsCard.ts";
import { connectionWords, vpsWords } from "./words.ts";

// Requests are counted: what changes seldom is asked for seldom.
const SELDOM_MS = 14_000;

/** Everything that somebody has. */
export class HomePage implements Page {
  readonly element: HTMLElement;
  readonly #connection: ConnectionCard;
  readonly #list = h("div", { class: "list" });
  readonly #cards: Keyed<Vps>;
  readonly #none = h("p", { class: "soft", hidden: true, "data-testid": "no-vps" });
  readonly #create: HTMLElement;
  readonly #poller: Poller;
  #all: Vps[] = [];
  #told: Connection | null = null;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly app: App) {
    app.name("Your VPSs", []);
    this.#connection = new ConnectionCard(app, (connection) => this.#connected(connection));
    this.#cards = new Keyed(
      this.#list,
      ({ vps_id }) => vps_id,
      (vps) => new VpsCard(app, vps, "h2", (changed) => this.#changed(changed)),
    );
    this.#create = this.#form();
    this.element = h(
      "div",
      { class: "page" },
      h("h1", { tabindex: "-1" }, "Your VPSs"),
      this.#none,
      this.#list,
      this.#create,
      this.#connection.element,
    );
    this.#poller = app.poll(() => this.#look());
  }

  seen(visible: boolean): void {
    // Whoever comes back may have connected an account meanwhile.
    this.#askedAt = Number.NEGATIVE_INFINITY;
    this.#poller.hide(!visible);
  }

  leave(): void {
    this.#poller.stop();
  }

  async #look(): Promise<Pace> {
    const due = this.app.clock.now() - this.#askedAt >= SELDOM_MS;
    const underWay = this.#told !== null && connectionWords(this.#told).busy;
    if (due || underWay) {
      this.#askedAt = this.app.clock.now();
      this.#connected(await this.app.api.connection());
    }
    this.#all = await this.app.api.list();
    this.#draw();
    const connecting = this.#told !== null && connectionWords(this.#told).busy;
    const busy = connecting || this.#all.some((vps) => vpsWords(vps).busy);
    return busy ? "soon" : "later";
  }

  #connected(connection: Connection): void {
    const moved = connection.state !== this.#told?.state;
    this.#told = connection;
    this.#connection.update(connection);
    this.#draw();
    if (moved && connectionWords(connection).busy) this.#poller?.now();
  }

  #changed(vps: Vps): void {
    const known = this.#all.some(({ vps_id }) => vps_id === vps.vps_id);
    this.#all = known
      ? this.#all.map((one) => (one.vps_id === vps.vps_id ? vps : one))
      : [...this.#all, vps];
    this.#draw();
    this.#poller.now();
  }

  #draw(): void {
    const usable = this.#told !== null && connectionWords(this.#told).usable;
    this.#cards.update(this.#all);
    show(this.#create, usable);
    show(this.#none, this.#told !== null && this.#all.length === 0);
    setText(
      this.#none,
      usable
        ? "You have none yet. Create one: it is made on your DigitalOcean account."
        : "You have none yet. Connect your DigitalOcean account first: they are made on it.",
    );
  }

  #form(): HTMLElement {
    const { app } = this;
    const name = field(
      "name",
      "Name",
      input(),
      "Lowercase letters, digits and hyphens. Empty: one is made up.",
    );
    const region = field("region", "Region", input({ value: "ams3" }));
    const size = field("size", "Size", input({ value: "s-1vcpu-1gb" }));
    const fields = [name, region, size];
    const send = async () => {
      const given = fields.map(({ name: key, control }) => [key, control.value.trim()] as const);
      const wish = Object.fromEntries(given.filter(([, value]) => value !== ""));
      this.#changed(await app.api.create(wish));
      name.control.value = "";
    };
    const { element } = form({ testId: "create-vps", button: "Create VPS", fields, send });
    return h(
      "section",
      { class: "card", "aria-labelledby": "create-title", hidden: true },
      h("h2", { id: "create-title" }, "Create a VPS"),
      element,
    );
  }
}
