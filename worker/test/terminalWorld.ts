import type { Clock } from "../terminal/clock.ts";
import type { Socket } from "../terminal/link.ts";
import type { Surface } from "../terminal/screen.ts";
import { frame } from "./hubWorld.ts";

export const SESSION = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10";

/** A clock that goes only when it is told to. */
export class ManualClock implements Clock {
  #now = 0;
  #due: Array<{ at: number; callback: () => void }> = [];

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.#now + milliseconds, callback };
    this.#due.push(timer);
    return () => {
      this.#due = this.#due.filter((one) => one !== timer);
    };
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.#due.length;
  }

  /** Goes ahead, and lets go off what is due on the way, with what follows from it. */
  async pass(milliseconds: number): Promise<void> {
    const until = this.#now + milliseconds;
    for (;;) {
      await settled();
      const [next] = this.#due.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#due = this.#due.filter((one) => one !== next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = until;
  }
}

/** Comes back when all promises that can be kept are. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** The server's end of a connection. */
export class FakeSocket implements Socket {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  closed = false;
  readonly sent: string[] = [];

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed = true;
  }

  tell(message: Record<string, unknown> | ArrayBuffer): void {
    this.onmessage?.({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }

  /** What was sent of a type. */
  of(type: string): Array<Record<string, unknown>> {
    return this.sent.map((text) => JSON.parse(text)).filter((one) => one.type === type);
  }
}

/** A terminal that draws when it is told to. */
export class FakeSurface implements Surface {
  text = "";
  size = [0, 0];
  #waiting: Array<() => void> = [];

  resize(columns: number, rows: number): void {
    this.size = [columns, rows];
  }

  write(data: string | Uint8Array, drawn: () => void): void {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    this.#waiting.push(() => {
      // What xterm.js does at a full reset.
      this.text = text.startsWith("\u001bc") ? text.slice(2) : this.text + text;
      drawn();
    });
  }

  draw(): void {
    for (const one of this.#waiting.splice(0)) one();
  }
}

/** A frame of output. */
export function output(sequence: number, text: string): ArrayBuffer {
  return frame(SESSION, sequence, new TextEncoder().encode(text));
}

/** A snapshot of a terminal of 100 columns and 30 rows. */
export function snapshot(sequence: number, data: string) {
  const id = "hub.snapshot";
  const size = { columns: 100, rows: 30 };
  return { type: "session.snapshot", id, session_id: SESSION, sequence, ...size, data } as const;
}
