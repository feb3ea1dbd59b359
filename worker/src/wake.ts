import { isWaking, wakingCookie } from "./cookies.ts";
import type { LiveEntry } from "./entry.ts";
import { type Env, via } from "./env.ts";
import { forward, isUnreachable } from "./forward.ts";
import type { User } from "./identity.ts";
import { asleep, incident, type Notice, signInAgain, suspended, waking } from "./notices.ts";
import { isNavigation } from "./pages.ts";
import { forget } from "./route.ts";

const START_TIMEOUT_MS = 10_000;
// How long a browser that has seen the waking page waits for the machine before it sees it again.
const PATIENCE_MS = 2_500;

/** An answer of the machine, or what to tell instead. */
export type Outcome = { response: Response } | { notice: Notice; cookie?: string };

/**
 * Sends an owner's request to a sleeping machine: Fly's proxy holds it and starts the machine.
 *
 * A page shows "waking" at once, with the wake going on behind it. The entry says "asleep" for up
 * to a minute after that, so a cookie tells the retries apart: they wait for the machine's answer.
 */
export async function wakeByRequest(
  env: Env,
  ctx: ExecutionContext,
  request: Request,
  entry: LiveEntry,
  user: User,
): Promise<Outcome> {
  const answer = forward(env, request, entry, user);
  if (!isNavigation(request)) return settle(await answer);
  const cookie = wakingCookie(env, entry.instance);
  const patience = isWaking(request, entry.instance) ? PATIENCE_MS : 0;
  const response =
    patience > 0 ? await Promise.race([answer, scheduler.wait(patience)]) : undefined;
  if (response !== undefined) return settle(response);
  // The wake ends with the connection, so it is kept open until the machine has answered.
  ctx.waitUntil(answer.then((late) => late?.body?.cancel()));
  return { notice: waking, cookie };
}

function settle(response: Response | null): Outcome {
  return response === null || isUnreachable(response) ? { notice: waking } : { response };
}

/** Starts a machine that its owner had stopped; returns what to tell. Safe to repeat. */
export async function wakeByApi(env: Env, subdomain: string, user: User): Promise<Notice> {
  const request = new Request(`${env.API_URL}/api/vm/start`, {
    method: "POST",
    headers: {
      accept: "application/json",
      authorization: `Bearer ${user.token}`,
      "content-type": "application/json",
    },
    body: "{}",
    redirect: "manual",
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
  });
  try {
    const response = await via(env.API, request);
    forget(subdomain);
    return await afterStart(response);
  } catch (error) {
    console.error("start failed", String(error));
    return incident;
  }
}

async function afterStart(response: Response): Promise<Notice> {
  if (response.ok || response.status === 409) return waking;
  if (response.status === 401) return signInAgain;
  if (response.status >= 500) return incident;
  const { detail } = await response.json<{ detail?: unknown }>().catch(() => ({ detail: null }));
  const base = response.status === 403 ? suspended : { ...asleep, status: 503, signIn: false };
  return typeof detail === "string" ? { ...base, title: asleep.title, detail } : base;
}
