import { addressOf } from "./address.ts";
import type { App } from "./app.ts";
import { badge, h, Keyed, type Part, setBadge, setText, show } from "./dom.ts";
import { Alert, action, field, form, input, select } from "./forms.ts";
import type { Session, Vps } from "./model.ts";
import { sessionWords } from "./words.ts";

/** A VPS' terminal sessions: attach, end, open. */
export class SessionsPanel implements Part<Session[]> {
  readonly element: HTMLElement;
  busy = false;
  readonly #none = h("p", { class: "soft", hidden: true }, "There is none yet.");
  readonly #items: Keyed<Session>;
  readonly #agent = select([{ value: "shell", text: "Shell" }]);

  constructor(
    private readonly app: App,
    private readonly vps: string,
    changed: () => void,
  ) {
    const list = h("ul", { class: "rows" });
    this.#items = new Keyed(
      list,
      ({ session_id }) => session_id,
      (session) => new SessionRow(app, session, changed),
    );
    this.element = h(
      "section",
      { class: "card", "aria-labelledby": "sessions-title", "data-testid": "sessions" },
      h("h2", { id: "sessions-title" }, "Sessions"),
      this.#none,
      list,
      h("h3", {}, "Open a session"),
      this.#form(),
    );
  }

  update(sessions: Session[]): void {
    this.busy = sessions.some((one) => sessionWords(one).busy);
    show(this.#none, sessions.length === 0);
    this.#items.update(sessions);
  }

  /** Offers the agents that a VPS has. */
  offer({ agents }: Vps): void {
    for (const { name } of agents) {
      const known = [...this.#agent.options].some(({ value }) => value === name);
      if (!known) this.#agent.append(h("option", { value: name }, name));
    }
  }

  #form(): HTMLElement {
    const title = field("title", "Title", input({ maxlength: "100" }), "Empty: one is made up.");
    const agent = field("agent_type", "Agent", this.#agent);
    const send = async () => {
      const named = title.control.value.trim();
      const wish = { agent_type: this.#agent.value, ...(named === "" ? {} : { title: named }) };
      const { session_id: session } = await this.app.api.open(this.vps, wish);
      this.app.go({ kind: "session", vps: this.vps, session });
    };
    const options = {
      testId: "open-session",
      button: "Open session",
      fields: [title, agent],
      send,
    };
    return form(options).element;
  }
}

class SessionRow implements Part<Session> {
  readonly element: HTMLElement;
  readonly #status = badge("session-status");
  readonly #title = h("strong");
  readonly #about = h("p", { class: "soft" });
  readonly #attach: HTMLAnchorElement;
  readonly #end = h("button", { type: "button", class: "plain danger" }, "End");

  constructor(app: App, { session_id: session, vps_id: vps }: Session, changed: () => void) {
    const alert = new Alert();
    const href = addressOf({ kind: "session", vps, session });
    this.#attach = h("a", { class: "button", href, "data-testid": "attach" }, "Attach");
    action(this.#end, alert, async () => {
      await app.api.end(vps, session);
      changed();
    });
    this.element = h(
      "li",
      { class: "row", "data-testid": "session", "data-session": session },
      h("div", { class: "title" }, this.#title, this.#status),
      this.#about,
      alert.element,
      h("div", { class: "actions" }, this.#attach, this.#end),
    );
  }

  update(session: Session): void {
    const words = sessionWords(session);
    const title = session.title || session.name;
    this.element.dataset.status = session.status;
    setText(this.#title, title);
    setBadge(this.#status, words);
    setText(this.#about, words.about);
    this.#attach.ariaLabel = `Attach to ${title}`;
    // One that is over still counts among those that a VPS may have.
    const end = words.open ? "End" : "Remove";
    setText(this.#end, end);
    this.#end.ariaLabel = `${end} ${title}`;
    show(this.#attach, words.open);
  }
}
