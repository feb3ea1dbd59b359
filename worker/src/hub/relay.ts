import type { Alarm } from "./alarm.ts";
import {
  ANSWER_REMEMBERED,
  COMMAND_MS,
  COMMANDS_REMEMBERED,
  COMMANDS_WAITING,
  REMEMBERED_MS,
} from "./limits.ts";
import type { Link } from "./link.ts";
import type { Message } from "./protocol.ts";
import { ANSWERS } from "./schemas.ts";
import { endOf, type GatewayEnd, transmit } from "./sockets.ts";

export type CommandType = keyof typeof ANSWERS;

/** A command on its way to the gateway. */
export interface Order {
  id: string;
  type: CommandType;
  /** As it travels, and what tells it from another one with the same id. */
  text: string;
  digest: string;
}

/** What became of a command. */
export type Verdict =
  | { kind: "answered"; answer: string }
  /** No gateway is connected; or the connection went while the command was on its way. */
  | { kind: "offline" | "lost" }
  | { kind: "timeout" | "busy" | "conflict" };

type Answer = Message<"ack" | "session.snapshot" | "ssh.keys" | "file.entries" | "file.content">;

/** A command that was sent; kept in storage, so that it is not sent twice. */
interface Sent {
  digest: string;
  type: CommandType;
  connection: string;
  at: number;
  answer: string | null;
}

const PREFIX = "command/";

/** Commands to the gateway, and their answers. */
export class Relay {
  readonly #waiting = new Map<string, Set<(verdict: Verdict) => void>>();

  constructor(
    private readonly storage: DurableObjectStorage,
    private readonly link: Link,
    private readonly alarm: Alarm,
  ) {}

  /** Sends a command and waits for its answer; one that was answered is not sent again. */
  async run(order: Order, now: number): Promise<Verdict> {
    const sent = this.storage.kv.get<Sent>(PREFIX + order.id);
    if (sent !== undefined && sent.digest !== order.digest) return { kind: "conflict" };
    if (sent?.answer != null) return { kind: "answered", answer: sent.answer };
    const gateway = this.link.ready();
    if (gateway === null) return { kind: "offline" };
    if (this.#waiting.size >= COMMANDS_WAITING) return { kind: "busy" };
    const { connection } = endOf(gateway) as GatewayEnd;
    const underway = sent?.connection === connection && now - sent.at < COMMAND_MS;
    if (!underway) {
      this.#remember(order, connection, now);
      if (!transmit(gateway, order.text)) return { kind: "lost" };
    }
    return this.#answerOf(order.id, underway ? sent.at + COMMAND_MS - now : COMMAND_MS);
  }

  /** Takes an answer; one that nobody waits for any more is kept for whoever asks again. */
  answer(message: Answer): void {
    const key = PREFIX + message.id;
    const sent = this.storage.kv.get<Sent>(key);
    if (sent === undefined || sent.answer !== null) return;
    const wanted = ANSWERS[sent.type];
    const takenOn = message.type === "ack" && message.ok && wanted !== "ack";
    if (takenOn || (message.type !== wanted && message.type !== "ack")) return;
    const answer = JSON.stringify(message);
    if (answer.length > ANSWER_REMEMBERED) this.storage.kv.delete(key);
    else this.storage.kv.put(key, { ...sent, answer } satisfies Sent);
    this.#tell(message.id, { kind: "answered", answer });
  }

  /** The connection is gone: whether a command was carried out will not be known. */
  lose(): void {
    for (const id of [...this.#waiting.keys()]) this.#tell(id, { kind: "lost" });
  }

  /** Forgets old commands, and says when the next one is old. */
  check(now: number): number | null {
    const times = this.#sent().flatMap(([key, { at }]) => {
      if (at + REMEMBERED_MS > now) return [at + REMEMBERED_MS];
      this.storage.kv.delete(key);
      return [];
    });
    return times.length === 0 ? null : Math.min(...times);
  }

  #sent(): Array<[string, Sent]> {
    return [...this.storage.kv.list<Sent>({ prefix: PREFIX })];
  }

  #remember({ id, type, digest }: Order, connection: string, now: number): void {
    const known = this.#sent();
    if (known.length >= COMMANDS_REMEMBERED) {
      const [oldest] = known.reduce((one, other) => (one[1].at <= other[1].at ? one : other));
      this.storage.kv.delete(oldest);
    }
    const sent: Sent = { digest, type, connection, at: now, answer: null };
    this.storage.kv.put(PREFIX + id, sent);
    this.alarm.by(now + REMEMBERED_MS);
  }

  async #answerOf(id: string, patience: number): Promise<Verdict> {
    const giveUp = new AbortController();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting);
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    waiting.add(resolve);
    const timeout = scheduler
      .wait(Math.max(0, patience), { signal: giveUp.signal })
      .then((): Verdict => ({ kind: "timeout" }))
      .catch((): Promise<Verdict> => promise);
    const verdict = await Promise.race([promise, timeout]);
    giveUp.abort();
    waiting.delete(resolve);
    if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
    return verdict;
  }

  #tell(id: string, verdict: Verdict): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    for (const resolve of waiting ?? []) resolve(verdict);
  }
}
