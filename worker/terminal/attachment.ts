import { type Message, Misunderstood, parse } from "../src/hub/protocol.ts";
import { VIEWER_HEARS } from "../src/hub/schemas.ts";
import type { Clock } from "./clock.ts";
import { Input } from "./input.ts";
import { Link, type LinkState, type Socket } from "./link.ts";
import { Screen, type Surface } from "./screen.ts";
import { endWords } from "./words.ts";

const LOST = "The VPS no longer has this session. When it begins anew, it is shown here.";

/** What a person is told of the connection. */
export interface Told {
  state: "connecting" | "waiting" | "offline" | "live" | "lost" | "ended" | "gone" | "refused";
  text: string;
}

/** What it needs of the world around it. */
export interface Surroundings {
  session: string;
  surface: Surface;
  clock: Clock;
  open(): Socket;
  random(): number;
  /** Something has changed: `told` is what it is. */
  changed(): void;
  /** A snapshot of this size is shown; `first` of a connection. */
  shown(columns: number, rows: number, first: boolean): void;
  /** Why the socket could not be opened, for good; null: it is worth trying again. */
  whyRefused(): Promise<string | null>;
}

/** A browser's view of a session: the viewer of the gateway protocol. */
export class Attachment {
  /** What went wrong last, until the screen comes anew; empty: nothing. */
  notice = "";
  readonly #link: Link;
  readonly #screen: Screen;
  readonly #input: Input;
  #state: LinkState = { kind: "connecting", again: false };
  #gateway = true;
  #ended: string | null = null;
  #refusal = "";
  #pictures = 0;

  constructor(private readonly around: Surroundings) {
    const { session, surface, clock } = around;
    this.#screen = new Screen(surface, clock, (sequence) =>
      this.#send({ type: "session.ack", session_id: session, sequence }),
    );
    this.#input = new Input(
      (data, encoding) =>
        this.#send({ type: "session.input", session_id: session, data, encoding }),
      clock,
    );
    this.#link = new Link(around.open, clock, around.random, {
      state: (state) => this.#moved(state),
      text: (data) => this.#hear(data),
      bytes: (data) => this.#draw(data),
      refused: () => this.#refused(),
    });
  }

  /** What is to be told now. */
  get told(): Told {
    if (this.#ended !== null) return { state: "ended", text: this.#ended };
    switch (this.#state.kind) {
      case "connecting":
        return {
          state: "connecting",
          text: this.#state.again ? "Connecting again…" : "Connecting…",
        };
      case "waiting": {
        const seconds = Math.max(1, Math.round(this.#state.milliseconds / 1_000));
        const text = `The connection is lost; trying again in ${seconds} s. What you type is not sent.`;
        return { state: "lost", text };
      }
      case "closed":
        return this.#closed(this.#state.why);
      default:
        return this.#open();
    }
  }

  /** Whether what is typed arrives. */
  get canType(): boolean {
    return this.told.state === "live";
  }

  connect(): void {
    this.#link.connect();
  }

  /** Looks whether the connection is alive. */
  check(): void {
    this.#link.check();
  }

  stop(): void {
    this.#input.drop();
    this.#link.stop();
  }

  /** Takes the API's word that the session has ended. */
  end(words: string): void {
    this.#ended ??= words;
    this.stop();
    this.around.changed();
  }

  type(text: string): void {
    if (this.canType) this.#input.text(text);
  }

  typeBytes(bytes: string): void {
    if (this.canType) this.#input.bytes(bytes);
  }

  /** Has the session's terminal be of this size. */
  resize(columns: number, rows: number): void {
    this.#send({ type: "session.resize", session_id: this.around.session, columns, rows });
  }

  #closed(why: "ended" | "gone" | "refused"): Told {
    if (why === "gone") return { state: "gone", text: "This VPS is no more." };
    if (why === "refused") return { state: "refused", text: this.#refusal };
    return { state: "ended", text: endWords(null) };
  }

  #open(): Told {
    if (!this.#gateway) {
      const text =
        "The VPS is offline. The screen comes back by itself, and what you type is not sent.";
      return { state: "offline", text };
    }
    if (!this.#screen.live) return { state: "waiting", text: "Connected. Waiting for the screen…" };
    return { state: "live", text: "Connected" };
  }

  #moved(state: LinkState): void {
    this.#state = state;
    if (state.kind !== "open") this.#unplug();
    else this.#pictures = 0;
    this.around.changed();
  }

  #unplug(): void {
    this.#screen.restart();
    if (this.#input.drop()) this.notice = "A part of what you pasted was not sent.";
  }

  async #refused(): Promise<boolean> {
    const why = await this.around.whyRefused();
    this.#refusal = why ?? "";
    return why === null;
  }

  #send(message: Message<"session.ack" | "session.input" | "session.resize">): number {
    const text = JSON.stringify(message);
    this.#link.send(text);
    return text.length;
  }

  #draw(data: ArrayBuffer): void {
    // A new connection begins with a snapshot.
    if (!this.#screen.frame(this.around.session, data)) this.#link.reopen();
  }

  #hear(text: string): void {
    try {
      this.#take(parse(text, VIEWER_HEARS));
    } catch (error) {
      // A newer hub may say more than this page knows.
      if (!(error instanceof Misunderstood)) throw error;
      console.warn("not understood", error.about, error.message);
    }
  }

  #take(message: Message<(typeof VIEWER_HEARS)[number]>): void {
    switch (message.type) {
      case "gateway.status":
        this.#gateway = message.connected;
        if (!message.connected) this.#unplug();
        break;
      case "session.snapshot":
        this.#picture(message);
        break;
      case "session.ended":
        this.#finish(message);
        break;
      case "session.error":
        this.notice = message.error.message;
        break;
      case "error":
        this.#complain(message);
        break;
      default:
        return;
    }
    this.around.changed();
  }

  #finish({ reason, exit_code: code }: Message<"session.ended">): void {
    if (reason !== "lost") {
      this.#ended = endWords(code);
      this.#input.drop();
      return;
    }
    // A VPS that was off comes back without its sessions, and they are begun anew: whether this
    // one is, only trying tells.
    this.notice = LOST;
    this.#link.reopen();
  }

  #picture(message: Message<"session.snapshot">): void {
    const first = this.#pictures === 0;
    this.#pictures += 1;
    this.notice = "";
    this.#screen.snapshot(message, () => {
      this.around.shown(message.columns, message.rows, first);
      this.around.changed();
    });
  }

  #complain({ error, about }: Message<"error">): void {
    if (about === "session.ack" || about === "session.resize") return;
    // The gateway went while it was on its way.
    if (error.code === "gateway-offline")
      this.notice = "What you typed was not sent: the VPS is away.";
    else if (error.code === "rate-limited")
      this.notice = "That was too much at once: some was not sent.";
    else this.notice = error.message;
  }
}
