import type { Clock } from "./clock.ts";
import { Problem } from "./problem.ts";

/** How soon it is worth looking again. */
export type Pace = "soon" | "later";

const WAITS: Record<Pace, number> = { soon: 2_000, later: 15_000 };
const FAILED_MS = 5_000;

/** Looks again and again: one look at a time, none while nobody can see it. */
export class Poller {
  #looking = false;
  #again = false;
  #stopped = false;
  #hidden = false;
  #cancel: (() => void) | null = null;

  /** `look` says how soon the next is due, and throws a `Problem` when it could not be done. */
  constructor(
    private readonly look: () => Promise<Pace>,
    private readonly clock: Clock,
  ) {}

  /** Looks at once; while one look is under way, again after it. */
  now(): void {
    if (this.#stopped || this.#hidden) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#again = this.#looking;
    if (!this.#looking) void this.#run();
  }

  /** Nobody sees the page, or somebody does again. */
  hide(hidden: boolean): void {
    if (hidden === this.#hidden) return;
    this.#hidden = hidden;
    this.#cancel?.();
    this.#cancel = null;
    if (!hidden) this.now();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #run(): Promise<void> {
    this.#looking = true;
    const wait = await this.#wait();
    this.#looking = false;
    if (this.#stopped || this.#hidden) return;
    if (this.#again) {
      this.now();
      return;
    }
    this.#cancel = this.clock.after(wait, () => this.now());
  }

  async #wait(): Promise<number> {
    try {
      return WAITS[await this.look()];
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.retryAfter !== null) return error.retryAfter * 1_000;
      return error.status === 401 ? WAITS.later : FAILED_MS;
    }
  }
}
