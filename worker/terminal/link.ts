import type { Clock } from "./clock.ts";

/** As much of a WebSocket as is used here. */
export interface Socket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** How the connection is. */
export type LinkState =
  | { kind: "connecting"; again: boolean }
  | { kind: "open" }
  | { kind: "waiting"; milliseconds: number }
  | { kind: "closed"; why: "ended" | "gone" | "refused" };

/** What the connection tells its owner. */
export interface Listener {
  state(state: LinkState): void;
  text(data: string): void;
  bytes(data: ArrayBuffer): void;
  /** The server would not open it, and a browser does not say why: is it worth trying again? */
  refused(): Promise<boolean>;
}

export const PING = '{"type":"ping"}';
// The hub ends a connection that is silent for 10 minutes.
const PING_MS = 240_000;
const PONG_MS = 20_000;
const OPEN_MS = 15_000;
// A connection that has lasted so long was a good one: the next waits start small again.
const GOOD_MS = 10_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

const ENDED = 1000;
const GONE = 4004;

/** The wait before a try: twice the last, 30 s at most, and up to half of it less by chance. */
export function waitBefore(tries: number, random: number): number {
  const whole = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 10));
  return Math.round(whole * (1 - random / 2));
}

/** A connection that comes back by itself until there is nothing to come back to. */
export class Link {
  #socket: Socket | null = null;
  #openedAt: number | null = null;
  #tries = 0;
  #begun = false;
  #over = false;
  #timers: Array<() => void> = [];
  #pong: (() => void) | null = null;

  constructor(
    private readonly open: () => Socket,
    private readonly clock: Clock,
    private readonly random: () => number,
    private readonly listener: Listener,
  ) {}

  /** Connects at once, whatever it was waiting for. */
  connect(): void {
    if (this.#over || this.#socket !== null) return;
    this.#settle();
    this.listener.state({ kind: "connecting", again: this.#begun });
    this.#begun = true;
    const socket = this.open();
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#later(OPEN_MS, () => this.reopen());
  }

  /** Gives up this connection for another one. */
  reopen(): void {
    if (this.#socket === null) return;
    const socket = this.#release();
    socket?.close();
    this.#retry();
  }

  /** Sends a message, if there is a connection; whether there was. */
  send(text: string): boolean {
    if (this.#openedAt === null) return false;
    this.#socket?.send(text);
    return true;
  }

  /** Finds out whether the connection is alive: a computer may have slept. */
  check(): void {
    if (this.#socket === null) this.connect();
    else if (this.#openedAt !== null && this.#pong === null) this.#ping();
  }

  /** Ends it for good. */
  stop(): void {
    this.#over = true;
    this.#release()?.close();
    this.#settle();
  }

  #opened(): void {
    this.#settle();
    this.#openedAt = this.clock.now();
    this.listener.state({ kind: "open" });
    this.#later(PING_MS, () => this.#ping());
  }

  #ping(): void {
    this.#settle();
    this.send(PING);
    this.#pong = this.clock.after(PONG_MS, () => this.reopen());
    this.#later(PING_MS, () => this.#ping());
  }

  #hear(data: unknown): void {
    this.#pong?.();
    this.#pong = null;
    if (typeof data === "string") this.listener.text(data);
    else if (data instanceof ArrayBuffer) this.listener.bytes(data);
  }

  #closed(code: number): void {
    const opened = this.#openedAt !== null;
    this.#release();
    if (code === ENDED || code === GONE) this.#finish(code === ENDED ? "ended" : "gone");
    else if (opened) this.#retry();
    else void this.#ask();
  }

  async #ask(): Promise<void> {
    const worthIt = await this.listener.refused();
    if (this.#over || this.#socket !== null) return;
    if (worthIt) this.#retry();
    else this.#finish("refused");
  }

  #finish(why: "ended" | "gone" | "refused"): void {
    this.#over = true;
    this.#settle();
    this.listener.state({ kind: "closed", why });
  }

  #retry(): void {
    this.#settle();
    const milliseconds = waitBefore(this.#tries, this.random());
    this.#tries += 1;
    this.#later(milliseconds, () => this.connect());
    this.listener.state({ kind: "waiting", milliseconds });
  }

  /** Hears no more of the socket. */
  #release(): Socket | null {
    const socket = this.#socket;
    if (socket === null) return null;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    const good = this.#openedAt !== null && this.clock.now() - this.#openedAt >= GOOD_MS;
    if (good) this.#tries = 0;
    this.#socket = null;
    this.#openedAt = null;
    return socket;
  }

  #later(milliseconds: number, callback: () => void): void {
    this.#timers.push(this.clock.after(milliseconds, callback));
  }

  #settle(): void {
    for (const cancel of this.#timers.splice(0)) cancel();
    this.#pong?.();
    this.#pong = null;
  }
}
