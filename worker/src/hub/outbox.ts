import type { Env } from "../env.ts";
import type { Alarm } from "./alarm.ts";
import { type ReportResult, report } from "./api.ts";
import {
  OBSERVATIONS,
  REPORT_AFTER_MS,
  REPORT_CHARACTERS,
  REPORT_RETRY_MS,
  REPORT_SIZE,
} from "./limits.ts";
import type { Message } from "./protocol.ts";

/** What the API is told of; docs/protocols.md lists the same. */
export type Observed = Message<
  | "gateway.hello"
  | "gateway.health"
  | "gateway.updated"
  | "agent.installed"
  | "session.started"
  | "session.ended"
  | "session.error"
>;

export interface Observation {
  /** Grows with every observation of one gateway. */
  sequence: number;
  observed_at: string;
  kind: "connected" | "disconnected" | Observed["type"];
  message: Observed | null;
}

/** How far the reports are; kept in storage, as the observations are. */
interface Progress {
  last: number;
  /** When the next report is due, and how many have failed in a row. */
  next: number | null;
  failed: number;
  /** One at a time, since the API did not want them together. */
  single: boolean;
}

const FRESH: Progress = { last: 0, next: null, failed: 0, single: false };
const PREFIX = "observation/";

/**
 * What has been observed and not been reported yet: the newest of each thing.
 * The API wants to know how things are, so a health that nobody has read gives way to the next one;
 * that also bounds what an API that is away for long can leave here.
 */
export class Outbox {
  #reporting = false;

  constructor(
    private readonly storage: DurableObjectStorage,
    private readonly env: Env,
    private readonly alarm: Alarm,
  ) {}

  /** Keeps an observation until it is reported; false: there are too many other things. */
  add(kind: Observation["kind"], message: Observed | null, now: number): boolean {
    const key = PREFIX + thing(kind, message);
    const { kv } = this.storage;
    const isNew = kv.get(key) === undefined;
    if (isNew && this.#waiting().length >= OBSERVATIONS) return false;
    const progress = this.#progress();
    // From the clock, so that it goes on growing after everything here was deleted.
    progress.last = Math.max(progress.last + 1, now);
    progress.next ??= now + REPORT_AFTER_MS;
    const observed_at = new Date(now).toISOString();
    kv.put(key, { sequence: progress.last, observed_at, kind, message } satisfies Observation);
    kv.put("report", progress);
    this.alarm.by(progress.next);
    return true;
  }

  /** When the next report is due; null: nothing is to be reported. */
  due(): number | null {
    return this.#progress().next;
  }

  /** Reports what is due; "unknown": the API does not know this gateway. */
  async flush(gateway: string, now: number): Promise<ReportResult | null> {
    const { next } = this.#progress();
    if (next === null || next > now || this.#reporting) return null;
    this.#reporting = true;
    try {
      const batch = this.#batch();
      const result = await report(
        this.env,
        gateway,
        batch.map(([, observation]) => observation),
      );
      this.#settle(batch, result, Date.now());
      return result;
    } finally {
      this.#reporting = false;
    }
  }

  #progress(): Progress {
    return { ...FRESH, ...this.storage.kv.get<Progress>("report") };
  }

  #waiting(): Array<[string, Observation]> {
    const found = [...this.storage.kv.list<Observation>({ prefix: PREFIX })];
    return found.sort(([, one], [, other]) => one.sequence - other.sequence);
  }

  #batch(): Array<[string, Observation]> {
    const most = this.#progress().single ? 1 : REPORT_SIZE;
    let characters = 0;
    return this.#waiting()
      .slice(0, most)
      .filter(([, observation], index) => {
        characters += JSON.stringify(observation).length;
        return index === 0 || characters <= REPORT_CHARACTERS;
      });
  }

  #settle(batch: Array<[string, Observation]>, result: ReportResult, now: number): void {
    const progress = this.#progress();
    // What the API refuses even alone, it would refuse for ever, and all others behind it.
    const dropped = result === "refused" && batch.length === 1;
    if (dropped) console.error("observation refused", batch[0]?.[1].kind);
    if (result === "taken" || dropped) {
      this.#forget(batch);
      const rest = this.#waiting().length > 0;
      const single = progress.single && rest;
      this.#save({ ...progress, failed: 0, single, next: rest ? now : null });
    } else if (result === "refused") {
      this.#save({ ...progress, single: true, next: now });
    } else {
      const failed = progress.failed + 1;
      this.#save({ ...progress, failed, next: now + backoff(failed) });
    }
  }

  /** What has been observed anew in the meantime stays. */
  #forget(batch: Array<[string, Observation]>): void {
    const { kv } = this.storage;
    for (const [key, { sequence }] of batch) {
      if (kv.get<Observation>(key)?.sequence === sequence) kv.delete(key);
    }
  }

  #save(progress: Progress): void {
    this.storage.kv.put("report", progress);
    this.alarm.by(progress.next);
  }
}

/** What an observation is about: the next one about the same replaces it. */
function thing(kind: Observation["kind"], message: Observed | null): string {
  if (kind === "connected" || kind === "disconnected") return "connection";
  if (message === null) return kind;
  if (message.type === "session.error") return `error/${message.session_id}`;
  if ("session_id" in message) return `session/${message.session_id}`;
  return message.type === "agent.installed" ? `agent/${message.agent}` : message.type;
}

/** 1 s, doubled with each failure, and up to a quarter less, so that hubs do not march in step. */
function backoff(failed: number): number {
  const full = Math.min(REPORT_RETRY_MS, 1000 * 2 ** (failed - 1));
  return Math.round(full * (1 - Math.random() / 4));
}
