import { isWaking, readToken } from "./cookies.ts";
import { type Entry, isLive, type LiveEntry } from "./entry.ts";
import type { Env } from "./env.ts";
import { forward, isRepeatable, isUnreachable } from "./forward.ts";
import { originOf, parseHost } from "./host.ts";
import { identify, type User } from "./identity.ts";
import { explain } from "./incident.ts";
import * as notices from "./notices.ts";
import { mark, outcomeOf } from "./outcomes.ts";
import { isNavigation, tell } from "./pages.ts";
import { type Lookup, lookUp, refresh } from "./route.ts";
import { countStale } from "./tally.ts";
import { type Outcome, wakeByApi, wakeByRequest } from "./wake.ts";

/** One request on its way to one user's machine. */
interface Visit {
  env: Env;
  ctx: ExecutionContext;
  request: Request;
  subdomain: string;
}

/** Answers a request on a user's subdomain. */
export async function serveWorkspace(visit: Visit): Promise<Response> {
  const response = await serveRoute(visit);
  return outcomeOf(response) === undefined ? mark(response, "forwarded") : response;
}

async function serveRoute(visit: Visit): Promise<Response> {
  const { env, request, subdomain } = visit;
  const found = await freshest(visit, await lookUp(env, subdomain));
  if (found.kind !== "found") return say(visit, unknown(found));
  const { entry, state } = found;
  if (entry === null) return say(visit, notices.ofState(state));
  if (state === "redirect") return renamed(visit, entry);
  const caller = await identify(env, readToken(env, request));
  if (caller.kind === "unknowable") return say(visit, notices.incident);
  if (caller.kind === "invalid") return say(visit, notices.signInAgain);
  const user = caller.kind === "user" ? caller.user : null;
  return serveEntry(visit, entry, user, true);
}

function unknown(lookup: Lookup): notices.Notice {
  return lookup.kind === "absent" ? notices.notFound : notices.incident;
}

/** A browser that is waiting for a wake is told at once when that went another way. */
async function freshest({ env, request, subdomain }: Visit, found: Lookup): Promise<Lookup> {
  if (found.kind !== "found" || found.state !== "asleep") return found;
  const { entry } = found;
  if (entry?.instance == null || !isWaking(request, entry.instance)) return found;
  return refresh(env, subdomain, entry);
}

/** What an entry's state means for this caller; `again` while it may still be looked up anew. */
async function serveEntry(
  visit: Visit,
  entry: Entry,
  user: User | null,
  again: boolean,
): Promise<Response> {
  const { env, ctx, request, subdomain } = visit;
  // Whatever the route says: nobody reaches a machine with somebody else's token.
  if (user !== null && user.sub !== entry.account) return say(visit, notices.forbidden);
  switch (entry.state) {
    case "running":
      if (!isLive(entry)) return say(visit, notices.waking);
      return serveRunning(visit, entry, user, again);
    case "asleep":
      if (user === null) return say(visit, notices.asleep);
      if (!isLive(entry)) return say(visit, notices.waking);
      return woken(visit, await wakeByRequest(env, ctx, request, entry, user));
    case "stopped":
      if (user === null) return say(visit, notices.asleep);
      return say(visit, await wakeByApi(env, subdomain, user));
    default:
      return say(visit, notices.ofState(entry.state));
  }
}

async function serveRunning(
  visit: Visit,
  entry: LiveEntry,
  user: User | null,
  again: boolean,
): Promise<Response> {
  const { env, request } = visit;
  const response = await forward(env, request, entry, user);
  if (response !== null && !isUnreachable(response)) return machineAnswer(visit, response, user);
  const found = again ? await refresh(env, visit.subdomain, entry) : null;
  if (found !== null && hasMoved(found, entry)) {
    countStale(env, visit.ctx);
    if (isRepeatable(request) && found.kind === "found" && found.entry !== null) {
      await response?.body?.cancel();
      return serveEntry(visit, found.entry, user, false);
    }
    if (response === null || isNavigation(request)) return say(visit, afterMove(found));
  }
  // A program is given the machine's own words; to a person they are an empty page.
  if (response !== null && !isNavigation(request)) return mark(response, "not-answering");
  await response?.body?.cancel();
  return say(visit, notices.notAnswering);
}

function hasMoved(found: Lookup, entry: LiveEntry): boolean {
  if (found.kind !== "found" || found.entry === null) return true;
  const now = found.entry;
  const same = now.target === entry.target && now.instance === entry.instance;
  return now.state !== entry.state || !same;
}

function afterMove(found: Lookup): notices.Notice {
  if (found.kind !== "found") return unknown(found);
  return found.state === "running" ? notices.notAnswering : notices.ofState(found.state);
}

/** A page that wants to know who asks becomes the sign-in page. */
async function machineAnswer(
  visit: Visit,
  response: Response,
  user: User | null,
): Promise<Response> {
  const asks = response.status === 401 && user === null && isNavigation(visit.request);
  if (!asks) return response;
  await response.body?.cancel();
  return say(visit, notices.signIn);
}

async function woken(visit: Visit, outcome: Outcome): Promise<Response> {
  const response = "response" in outcome ? outcome.response : await say(visit, outcome.notice);
  if (response.webSocket !== null) return response;
  response.headers.set("x-invoker-woken", "1");
  if ("cookie" in outcome) response.headers.append("set-cookie", outcome.cookie);
  return response;
}

/** 308 to the new name, which must be one of ours: a route cannot send anybody elsewhere. */
async function renamed(visit: Visit, entry: Entry): Promise<Response> {
  const { env, request } = visit;
  const subdomain = redirectSubdomain(env, entry.redirect ?? "");
  if (subdomain === null || subdomain === visit.subdomain) return say(visit, notices.notFound);
  const { pathname, search } = new URL(request.url);
  const location = originOf(env, subdomain) + pathname + search;
  // Not to be kept: the old name may become somebody else's.
  const headers = { location, "cache-control": "no-store" };
  return mark(new Response(null, { status: 308, headers }), "redirected");
}

function redirectSubdomain(env: Env, redirect: string): string | null {
  const name = redirect.includes(".") ? redirect : `${redirect}.${env.DOMAIN}`;
  const address = name.includes("://") ? name : `https://${name}`;
  if (!URL.canParse(address)) return null;
  const host = parseHost(new URL(address).hostname, env.DOMAIN);
  return host.kind === "user" ? host.subdomain : null;
}

async function say({ env, request }: Visit, notice: notices.Notice): Promise<Response> {
  return tell(request, await explain(env, notice));
}
