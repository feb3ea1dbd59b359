import { type Entry, isState, parseEntry, type State } from "./entry.ts";
import { type Env, via } from "./env.ts";

/**
 * What is known about a subdomain.
 * `entry` is null where only the state is known: a machine that was never healthy has no entry.
 */
export type Lookup =
  | { kind: "found"; state: State; entry: Entry | null }
  | { kind: "absent" }
  | { kind: "unavailable" };

// The shortest that Workers KV allows. A longer one makes reads cheaper, but a route that moved
// would be wrong for that much longer; what is left of the staleness, `fresh` repairs.
const KV_CACHE_SECONDS = 30;

// An answer of the API is reused for this long, so that a page that retries by itself, or a flood
// on unknown names, costs the API one request a name and isolate in this time.
const MEMO_MS = 1_000;
const MEMO_SIZE = 1_000;
const API_TIMEOUT_MS = 5_000;

const memo = new Map<string, { lookup: Lookup; until: number }>();

/** KV first; the API on a miss, and for states in which a stale entry would mislead. */
export async function lookUp(env: Env, subdomain: string): Promise<Lookup> {
  const entry = await readKv(env, subdomain);
  if (entry === null) return askApi(env, subdomain);
  if (isTransient(entry.state)) return refresh(env, subdomain, entry);
  return { kind: "found", state: entry.state, entry };
}

/**
 * The API's word on an entry that KV may be late with.
 * KV answers up to a minute after the fact, so without this a page would say "stopped" for that
 * long after a wake. The entry at hand stands when the API cannot be asked or knows less.
 */
export async function refresh(env: Env, subdomain: string, entry: Entry): Promise<Lookup> {
  const kept: Lookup = { kind: "found", state: entry.state, entry };
  const asked = await askApi(env, subdomain);
  if (asked.kind === "unavailable") return kept;
  if (asked.kind === "absent" || asked.entry === null) return asked;
  const older = asked.entry.route === entry.route && asked.entry.stamp < entry.stamp;
  return older ? kept : asked;
}

// `running` and `asleep` are tried and repaired on failure; a redirect does not hurry.
function isTransient(state: State): boolean {
  return state !== "running" && state !== "asleep" && state !== "redirect";
}

async function readKv(env: Env, subdomain: string): Promise<Entry | null> {
  try {
    const options = { type: "json", cacheTtl: KV_CACHE_SECONDS } as const;
    return parseEntry(await env.ROUTES.get(`route:${subdomain}`, options));
  } catch (error) {
    // KV being down is no reason to be down: the API holds the truth.
    console.error("kv read failed", String(error));
    return null;
  }
}

async function askApi(env: Env, subdomain: string): Promise<Lookup> {
  const known = memo.get(subdomain);
  if (known !== undefined && known.until > Date.now()) return known.lookup;
  const lookup = await fetchRoute(env, subdomain);
  remember(subdomain, lookup);
  return lookup;
}

function remember(subdomain: string, lookup: Lookup): void {
  memo.delete(subdomain);
  if (memo.size >= MEMO_SIZE) memo.delete(memo.keys().next().value ?? "");
  memo.set(subdomain, { lookup, until: Date.now() + MEMO_MS });
}

/** Forgets the API's answer: after a wake the next request must see what it changed. */
export function forget(subdomain: string): void {
  memo.delete(subdomain);
}

async function fetchRoute(env: Env, subdomain: string): Promise<Lookup> {
  const request = new Request(`${env.API_URL}/api/routing/${subdomain}`, {
    headers: { accept: "application/json", authorization: `Bearer ${env.EDGE_TOKEN}` },
    redirect: "manual",
    signal: AbortSignal.timeout(API_TIMEOUT_MS),
  });
  try {
    const response = await via(env.API, request);
    if (response.status === 404) return { kind: "absent" };
    if (!response.ok) return { kind: "unavailable" };
    return readAnswer(await response.json());
  } catch (error) {
    console.error("routing lookup failed", String(error));
    return { kind: "unavailable" };
  }
}

function readAnswer(answer: unknown): Lookup {
  const { status, entry: raw } = answer as { status?: unknown; entry?: unknown };
  const entry = parseEntry(raw);
  if (entry !== null) return { kind: "found", state: entry.state, entry };
  return isState(status) ? { kind: "found", state: status, entry: null } : { kind: "unavailable" };
}
