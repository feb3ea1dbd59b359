import { HEADER, readFrame } from "../src/hub/frames.ts";
import type { SessionSnapshotMessage } from "../src/hub/messages.ts";
import type { Clock } from "./clock.ts";

/** What draws: a terminal. */
export interface Surface {
  /** Takes the session's size, whatever fits the window. */
  resize(columns: number, rows: number): void;
  /** Draws after all that it was given before, and calls back when that is done. */
  write(data: string | Uint8Array, drawn: () => void): void;
}

// Below the 64 KiB of the protocol, and above the 16 KiB under which acks count as messages.
const ACK_BYTES = 32_768;
const ACK_MS = 100;
// Resets the terminal in order with what is written: a call would overtake what is not drawn yet.
const RESET = "\u001bc";

/** A session's output on its way to the terminal: in order, and acknowledged once it is drawn. */
export class Screen {
  /** The next frame's sequence; null: nothing can be drawn before a snapshot. */
  #next: number | null = null;
  #picture = 0;
  #drawn = 0;
  #acked = -1;
  #cancel: (() => void) | null = null;

  constructor(
    private readonly surface: Surface,
    private readonly clock: Clock,
    private readonly ack: (sequence: number) => void,
  ) {}

  /** Whether what is shown is the session's screen. */
  get live(): boolean {
    return this.#next !== null;
  }

  /** Forgets where it was: the connection is another one. */
  restart(): void {
    this.#next = null;
    this.#picture += 1;
    this.#cancel?.();
    this.#cancel = null;
  }

  /** Draws a snapshot in place of everything; `shown` when it is there to be seen. */
  snapshot({ sequence, columns, rows, data }: SessionSnapshotMessage, shown: () => void): void {
    this.restart();
    this.#next = sequence;
    // Its own ack says that a snapshot has been drawn, at whichever sequence it is.
    this.#acked = -1;
    this.surface.resize(columns, rows);
    this.#write(RESET + data, sequence, shown);
  }

  /** Draws a frame; false: output is missing before it. */
  frame(session: string, data: ArrayBuffer): boolean {
    const frame = readFrame(data);
    if (frame === null || frame.session !== session || this.#next === null) return true;
    const end = frame.sequence + frame.length;
    // The snapshot shows that already.
    if (end <= this.#next) return true;
    if (frame.sequence > this.#next) {
      this.restart();
      return false;
    }
    const skipped = this.#next - frame.sequence;
    this.#next = end;
    this.#write(new Uint8Array(data, HEADER + skipped), end);
    return true;
  }

  #write(data: string | Uint8Array, sequence: number, shown?: () => void): void {
    const picture = this.#picture;
    this.surface.write(data, () => {
      // Sequences of another connection are none of this one's.
      if (picture !== this.#picture) return;
      this.#note(sequence);
      shown?.();
    });
  }

  #note(sequence: number): void {
    this.#drawn = sequence;
    if (this.#acked < 0 || sequence - this.#acked >= ACK_BYTES) this.#tell();
    else this.#cancel ??= this.clock.after(ACK_MS, () => this.#tell());
  }

  #tell(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#acked = this.#drawn;
    this.ack(this.#drawn);
  }
}
