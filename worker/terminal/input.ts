import type { Clock } from "./clock.ts";

// The protocol takes 16,384 characters in one message, and escaping can make six of one.
const PIECE = 8_192;
// 262,144 characters a second are allowed; half of it leaves room for what is typed meanwhile.
const CHARACTERS_A_MS = 128;

type Encoding = "utf-8" | "base64";

/** What is typed and pasted, in messages that are small enough and not too many at once. */
export class Input {
  readonly #pieces: Array<[string, Encoding]> = [];
  #cancel: (() => void) | null = null;

  /** `send` returns the length of the message. */
  constructor(
    private readonly send: (data: string, encoding: Encoding) => number,
    private readonly clock: Clock,
  ) {}

  /** Text, as it was typed or pasted. */
  text(data: string): void {
    for (const piece of pieces(data)) this.#pieces.push([piece, "utf-8"]);
    if (this.#cancel === null) this.#go();
  }

  /** Bytes that are no text, one in each character. */
  bytes(data: string): void {
    for (let at = 0; at < data.length; at += PIECE) {
      this.#pieces.push([btoa(data.slice(at, at + PIECE)), "base64"]);
    }
    if (this.#cancel === null) this.#go();
  }

  /** Drops what has not been sent; whether there was any. */
  drop(): boolean {
    this.#cancel?.();
    this.#cancel = null;
    return this.#pieces.splice(0).length > 0;
  }

  #go(): void {
    this.#cancel = null;
    const next = this.#pieces.shift();
    if (next === undefined) return;
    const sent = this.send(...next);
    // A key needs no pause: nobody types so fast.
    if (this.#pieces.length === 0 && sent < PIECE) return;
    this.#cancel = this.clock.after(Math.ceil(sent / CHARACTERS_A_MS), () => this.#go());
  }
}

/** Cuts a text, but no character in two. */
function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + PIECE, text.length);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end -= 1;
    yield text.slice(at, end);
    at = end;
  }
}
