/** The object's one alarm, for whatever is due first. */
export class Alarm {
  #at: number | null = null;

  constructor(private readonly storage: DurableObjectStorage) {}

  /** Reads what was set before the object was evicted. */
  async load(): Promise<void> {
    this.#at = await this.storage.getAlarm();
  }

  /** Notes that it has gone off. */
  fired(): void {
    this.#at = null;
  }

  /** Goes off at `at` (ms since the epoch) at the latest; null: nothing is due. */
  by(at: number | null): void {
    if (at === null || (this.#at !== null && this.#at <= at)) return;
    this.#at = at;
    void this.storage.setAlarm(at);
  }
}

/** The earlier of two times, of which either may be none. */
export function earlier(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
