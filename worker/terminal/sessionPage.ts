import { addressOf, socketAddress } from "./address.ts";
import type { App, Page } from "./app.ts";
import { Attachment } from "./attachment.ts";
import { h, setText, show } from "./dom.ts";
import { Alert, action } from "./forms.ts";
import type { Socket } from "./link.ts";
import type { Session } from "./model.ts";
import type { Pace, Poller } from "./poller.ts";
import { Problem } from "./problem.ts";
import { type Size, TerminalView } from "./terminalView.ts";
import { endWords, sessionWords } from "./words.ts";

const SPOKEN = "terminal.spoken";
const OVER = ["ended", "gone", "refused"];

/** A session's terminal. */
export class SessionPage implements Page {
  readonly element: HTMLElement;
  readonly #status = h("p", { role: "status", "data-testid": "terminal-status" });
  readonly #notice = h("p", { role: "status", class: "soft", "data-testid": "terminal-notice" });
  readonly #retry = h("button", { type: "button", class: "plain" }, "Try now");
  readonly #renew = h("button", { type: "button" }, "New session");
  readonly #heading = h("h1", { class: "hidden", tabindex: "-1" }, "Terminal");
  readonly #out: HTMLAnchorElement;
  readonly #terminal: TerminalView;
  readonly #attachment: Attachment;
  readonly #poller: Poller;
  readonly #online = () => this.#attachment.check();
  #session: Session | null = null;
  #vpsName = "VPS";
  #sized = false;

  constructor(
    private readonly app: App,
    private readonly vps: string,
    private readonly id: string,
  ) {
    this.#out = h(
      "a",
      { href: addressOf({ kind: "vps", vps }), "data-testid": "leave" },
      "Back to the VPS",
    );
    this.#terminal = new TerminalView("this session", {
      text: (data) => this.#attachment.type(data),
      bytes: (data) => this.#attachment.typeBytes(data),
      fitted: (size) => this.#fitted(size),
      left: () => this.#out.focus(),
    });
    this.#attachment = this.#attach();
    const alert = new Alert();
    action(this.#renew, alert, () => this.#another());
    this.#retry.addEventListener("click", () => this.#attachment.connect());
    const buttons = h(
      "div",
      { class: "actions" },
      this.#retry,
      this.#renew,
      this.#out,
      spoken(this.#terminal),
    );
    const bar = h(
      "div",
      { class: "bar" },
      this.#heading,
      this.#status,
      this.#notice,
      alert.element,
      buttons,
    );
    const hint =
      "Ctrl+F6 leaves the terminal. Ctrl+C copies when something is selected; " +
      "Ctrl+Shift+V, or ⌘V, pastes.";
    this.element = h(
      "div",
      { class: "session", "data-testid": "terminal" },
      bar,
      this.#terminal.element,
      h("p", { class: "soft hint" }, hint),
    );
    this.#name();
    window.addEventListener("online", this.#online);
    // Once it is on the page.
    queueMicrotask(() => {
      this.#terminal.open();
      this.#draw();
      this.#attachment.connect();
      this.#terminal.focus();
    });
    this.#poller = app.poll(() => this.#look());
  }

  seen(visible: boolean): void {
    this.#poller.hide(!visible);
    if (visible) this.#attachment.check();
  }

  leave(): void {
    window.removeEventListener("online", this.#online);
    this.#poller.stop();
    this.#attachment.stop();
    this.#terminal.dispose();
  }

  #attach(): Attachment {
    const address = socketAddress(location, this.vps, this.id);
    return new Attachment({
      session: this.id,
      surface: this.#terminal,
      clock: this.app.clock,
      open: () => new WebSocket(address) as Socket,
      random: Math.random,
      changed: () => this.#draw(),
      shown: (columns, rows, first) => this.#shown({ columns, rows }, first),
      whyRefused: () => this.#whyRefused(),
    });
  }

  #draw(): void {
    const { state, text } = this.#attachment.told;
    this.element.dataset.state = state;
    // The hub lets nobody in who is not; and while all is well, nothing else is asked for.
    if (state === "live") this.app.entered(true);
    this.#terminal.enabled = this.#attachment.canType;
    setText(this.#status, text);
    const waits = state === "waiting" ? (this.#session?.message ?? "") : "";
    setText(this.#notice, this.#attachment.notice || waits);
    show(this.#notice, this.#notice.textContent !== "");
    show(this.#retry, state === "lost");
    show(this.#renew, OVER.includes(state) && state !== "gone");
  }

  #name(): void {
    const title = this.#session?.title || this.#session?.name || "Terminal";
    setText(this.#heading, title);
    this.app.name(title, [
      { text: "Your VPSs", place: { kind: "home" } },
      { text: this.#vpsName, place: { kind: "vps", vps: this.vps } },
    ]);
  }

  /** Somebody looks, or types, here: the session takes this window's size. */
  #fitted(size: Size): void {
    const { columns, rows } = this.#terminal.size;
    if (columns !== size.columns || rows !== size.rows) {
      this.#terminal.resize(size.columns, size.rows);
    }
    if (this.#attachment.canType) this.#attachment.resize(size.columns, size.rows);
  }

  /**
   * A snapshot has the session's size, which another window may have set.
   * Only a connection's first is answered with this window's: two would never agree.
   */
  #shown(shown: Size, first: boolean): void {
    const size = this.#terminal.propose();
    const ours = !this.#sized || (first && document.hasFocus());
    this.#sized = true;
    const same = size?.columns === shown.columns && size.rows === shown.rows;
    if (size !== null && ours && !same) this.#fitted(size);
  }

  async #look(): Promise<Pace> {
    if (this.#session !== null && this.#attachment.told.state === "live") return "later";
    if (OVER.includes(this.#attachment.told.state) && this.#session !== null) return "later";
    const [session, vps] = [await this.#find(), await this.app.api.get(this.vps)];
    this.#vpsName = vps.name;
    this.#name();
    if (session !== null && !sessionWords(session).open) this.#attachment.end(overWords(session));
    this.#draw();
    return session !== null && sessionWords(session).busy ? "soon" : "later";
  }

  async #find(): Promise<Session | null> {
    const all = await this.app.api.sessions(this.vps);
    this.#session = all.find(({ session_id }) => session_id === this.id) ?? null;
    return this.#session;
  }

  /** A browser is not told why a socket was refused, so the API is asked. */
  async #whyRefused(): Promise<string | null> {
    try {
      const session = await this.#find();
      if (session === null) return "There is no such session.";
      if (sessionWords(session).open) return null;
      this.#attachment.end(overWords(session));
      return overWords(session);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return error.status === 403 || error.status === 404 ? error.message : null;
    }
  }

  async #another(): Promise<void> {
    const { title, agent_type, workdir } = this.#session ?? {
      title: "",
      agent_type: "shell",
      workdir: "",
    };
    const wish = Object.entries({ title, agent_type, workdir }).filter(([, value]) => value !== "");
    const { session_id } = await this.app.api.open(this.vps, Object.fromEntries(wish));
    this.app.go({ kind: "session", vps: this.vps, session: session_id });
  }
}

function overWords({ status, message, exit_code }: Session): string {
  if (status === "failed") return `The session has failed. ${message}`;
  return endWords(exit_code);
}

/** Whether a screen reader is told what the terminal shows. */
function spoken(terminal: TerminalView): HTMLElement {
  const box = h("input", { type: "checkbox" });
  box.checked = localStorage.getItem(SPOKEN) === "yes";
  terminal.spoken = box.checked;
  box.addEventListener("change", () => {
    terminal.spoken = box.checked;
    localStorage.setItem(SPOKEN, box.checked ? "yes" : "no");
  });
  return h("label", { class: "check" }, box, "Screen reader");
}
