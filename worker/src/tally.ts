import { DurableObject } from "cloudflare:workers";
import type { Env } from "./env.ts";
import { isOperator } from "./operator.ts";
import vocabulary from "./outcomes.json";
import type { Outcome } from "./outcomes.ts";

/** Counts by outcome, and of stale entries under `STALE`. */
type Counts = Record<string, number>;

const STALE = "stale";
// An isolate tells what it counted so often: a thousand isolates stay within what one object can
// take, and what an isolate can lose by being stopped is this much.
const TELL_EVERY_MS = 2_000;
// Who was about to tell can be stopped with the request that it went along with.
const GIVEN_UP_MS = 30_000;

let pending: Counts = {};
let tellingSince: number | null = null;

/** The whole edge's counters: isolates share no memory, so one object adds up what they tell. */
export class Tally extends DurableObject<Env> {
  #counts: Counts = {};

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.blockConcurrencyWhile(async () => {
      this.#counts = (await ctx.storage.get<Counts>("counts")) ?? {};
    });
  }

  /** Adds what an isolate counted. */
  add(counts: Counts): void {
    for (const [name, number] of Object.entries(counts)) {
      this.#counts[name] = (this.#counts[name] ?? 0) + number;
    }
    // A counter that began anew would be an error of as much as it had counted.
    const saved = this.ctx.storage.put("counts", this.#counts, { allowUnconfirmed: true });
    this.ctx.waitUntil(saved);
  }

  /** Everything counted so far. */
  read(): Counts {
    return this.#counts;
  }
}

/** Counts a request by what it got. */
export function count(env: Env, ctx: ExecutionContext, outcome: Outcome): void {
  note(env, ctx, outcome);
}

/** Counts a request that KV would have sent wrong. */
export function countStale(env: Env, ctx: ExecutionContext): void {
  note(env, ctx, STALE);
}

function note(env: Env, ctx: ExecutionContext, name: string): void {
  if (env.TALLY === undefined) return;
  pending[name] = (pending[name] ?? 0) + 1;
  if (tellingSince !== null && Date.now() - tellingSince < GIVEN_UP_MS) return;
  tellingSince = Date.now();
  ctx.waitUntil(tell(env.TALLY));
}

async function tell(tallies: DurableObjectNamespace<Tally>): Promise<void> {
  await scheduler.wait(TELL_EVERY_MS);
  const batch = pending;
  pending = {};
  tellingSince = null;
  try {
    await theTally(tallies).add(batch);
  } catch (error) {
    // It goes along with the next one.
    for (const [name, number] of Object.entries(batch)) {
      pending[name] = (pending[name] ?? 0) + number;
    }
    console.error("counts not told", String(error));
  }
}

function theTally(tallies: DurableObjectNamespace<Tally>): DurableObjectStub<Tally> {
  return tallies.get(tallies.idFromName("edge"));
}

/** `/.invoker/metrics` on the bare domain: for whoever shows the edge token; null: nobody. */
export async function serveMetrics(env: Env, request: Request): Promise<Response | null> {
  if (env.TALLY === undefined) return null;
  if (!(await isOperator(env, request))) {
    return new Response(null, { status: 401, headers: { "www-authenticate": "Bearer" } });
  }
  const counts = await theTally(env.TALLY).read();
  const headers = {
    "content-type": "text/plain; version=0.0.4; charset=utf-8",
    "cache-control": "no-store",
  };
  return new Response(exposition(counts), { headers });
}

/** Prometheus's text format; every series from the start, so that a first time is an increase. */
function exposition(counts: Counts): string {
  const { requests, stale, outcomes } = vocabulary;
  const lines = [
    `# HELP ${requests.name} ${requests.help}`,
    `# TYPE ${requests.name} counter`,
    ...Object.keys(outcomes).map(
      (outcome) => `${requests.name}{outcome="${outcome}"} ${counts[outcome] ?? 0}`,
    ),
    `# HELP ${stale.name} ${stale.help}`,
    `# TYPE ${stale.name} counter`,
    `${stale.name} ${counts[STALE] ?? 0}`,
  ];
  return `${lines.join("\n")}\n`;
}
