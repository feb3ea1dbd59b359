import type { App, Page } from "./app.ts";
import { h, show } from "./dom.ts";
import { KeysPanel } from "./keysPanel.ts";
import type { Vps } from "./model.ts";
import type { Pace, Poller } from "./poller.ts";
import { Problem } from "./problem.ts";
import { SessionsPanel } from "./sessionsPanel.ts";
import { VpsCard } from "./vpsCard.ts";
import { vpsWords } from "./words.ts";

const SELDOM_MS = 14_000;

/** One VPS with its sessions and keys. */
export class VpsPage implements Page {
  readonly element = h("div", { class: "page" });
  readonly #sessions: SessionsPanel;
  readonly #keys: KeysPanel;
  readonly #poller: Poller;
  #card: VpsCard | null = null;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly app: App,
    private readonly id: string,
  ) {
    app.name("VPS", [{ text: "Your VPSs", place: { kind: "home" } }]);
    this.#sessions = new SessionsPanel(app, id, () => this.#again());
    this.#keys = new KeysPanel(app, id, () => this.#again());
    this.element.append(this.#sessions.element, this.#keys.element);
    this.#show(false);
    this.#poller = app.poll(() => this.#look());
  }

  seen(visible: boolean): void {
    this.#poller.hide(!visible);
  }

  leave(): void {
    this.#poller.stop();
  }

  #again(): void {
    this.#askedAt = Number.NEGATIVE_INFINITY;
    this.#poller.now();
  }

  async #look(): Promise<Pace> {
    const { api, clock } = this.app;
    const vps = await this.#find();
    if (vps === null) return "later";
    this.#draw(vps);
    const due = clock.now() - this.#askedAt >= SELDOM_MS;
    if (due) this.#askedAt = clock.now();
    if (due || this.#sessions.busy) this.#sessions.update(await api.sessions(this.id));
    if (due || this.#keys.busy) this.#keys.update(await api.keys(this.id));
    const busy = vpsWords(vps).busy || this.#sessions.busy || this.#keys.busy;
    return busy ? "soon" : "later";
  }

  /** The VPS; null: it is no more, and there is nothing to stay for. */
  async #find(): Promise<Vps | null> {
    try {
      return await this.app.api.get(this.id);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) throw error;
      if (this.#card === null) this.element.replaceChildren(missing());
      else this.app.go({ kind: "home" }, true);
      this.#poller.stop();
      return null;
    }
  }

  #draw(vps: Vps): void {
    this.app.name(vps.name, [{ text: "Your VPSs", place: { kind: "home" } }]);
    if (this.#card === null) {
      this.#card = new VpsCard(this.app, vps, "h1", (changed) => {
        this.#draw(changed);
        this.#again();
      });
      this.element.prepend(this.#card.element);
    }
    this.#card.update(vps);
    this.#sessions.offer(vps);
    this.#show(vps.status !== "deleting");
  }

  #show(shown: boolean): void {
    show(this.#sessions.element, shown);
    show(this.#keys.element, shown);
  }
}

function missing(): HTMLElement {
  return h(
    "section",
    { class: "card", "data-testid": "missing" },
    h("h1", { tabindex: "-1" }, "No such VPS"),
    h("p", {}, "It has been deleted, or it is not yours."),
    h("p", {}, h("a", { href: "/terminal/" }, "Your VPSs")),
  );
}
