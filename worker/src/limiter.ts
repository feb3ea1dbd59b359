import { DurableObject } from "cloudflare:workers";
import type { Env } from "./env.ts";

const WINDOW_MS = 60_000;
// A write for every request would cost more than the request. What an eviction can make us forget
// is less than this many requests.
const SAVE_EVERY = 10;

/** Counts one client's requests: so many in any 60 seconds. */
export class Limiter extends DurableObject<Env> {
  #hits: number[] = [];
  #unsaved = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#hits = (await ctx.storage.get<number[]>("hits")) ?? [];
    });
  }

  /** Takes one request from the client's allowance: 0, or the seconds to wait for the next. */
  take(limit: number): number {
    const now = Date.now();
    this.#hits = this.#hits.filter((hit) => hit > now - WINDOW_MS);
    const oldest = this.#hits[this.#hits.length - limit];
    // A refused request is not counted, or a client that retries would never get in again.
    if (oldest !== undefined) return Math.max(1, Math.ceil((oldest + WINDOW_MS - now) / 1000));
    this.#hits.push(now);
    this.#unsaved += 1;
    if (this.#unsaved >= SAVE_EVERY || this.#hits.length === limit) this.#save();
    return 0;
  }

  #save(): void {
    this.#unsaved = 0;
    // Unconfirmed: nobody should wait for a disk to be let in.
    const options = { allowUnconfirmed: true };
    this.ctx.waitUntil(this.ctx.storage.put("hits", this.#hits, options));
    this.ctx.waitUntil(this.ctx.storage.setAlarm(Date.now() + 2 * WINDOW_MS, options));
  }

  /** An address that has gone quiet leaves nothing behind. */
  override async alarm(): Promise<void> {
    const quiet = this.#hits.every((hit) => hit <= Date.now() - WINDOW_MS);
    if (quiet) await this.ctx.storage.deleteAll();
    else await this.ctx.storage.setAlarm(Date.now() + WINDOW_MS);
  }
}

/** 0 when the request may pass, else the seconds after which to come again. */
export async function limit(env: Env, request: Request): Promise<number> {
  const allowance = Number(env.RATE_LIMIT_PER_MINUTE);
  if (!(allowance > 0)) return 0;
  const client = clientKey(request.headers.get("cf-connecting-ip"));
  try {
    return await env.LIMITER.get(env.LIMITER.idFromName(client)).take(allowance);
  } catch (error) {
    // Too much for the counter is too much; any other failure of it must not close the door.
    if ((error as { overloaded?: boolean }).overloaded === true) return 1;
    console.error("limiter failed", String(error));
    return 0;
  }
}

/** An IPv6 subscriber has a /64 of addresses, so that is what counts as one. */
export function clientKey(address: string | null): string {
  if (address === null || address === "") return "local";
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array<string>(zeros).fill("0"), ...right];
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(":")}::/64`;
}
