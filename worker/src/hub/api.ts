import { type Env, via } from "../env.ts";
import type { Observation } from "./outbox.ts";

const TIMEOUT_MS = 5_000;
const NO_MORE = "urn:invoker:problem:no-such-gateway";
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text is a uid. */
export function isUid(value: unknown): value is string {
  return typeof value === "string" && UUID.test(value);
}

/** Whom a terminal's socket is for. */
export interface Terminal {
  gateway: string;
  session: string;
  viewer: string;
  account: string;
}

/** The API's word on a gateway's token; 503 when it has none. Never cached: tokens are revoked. */
export async function authenticate(
  env: Env,
  gateway: string,
  token: string,
): Promise<204 | 401 | 404 | 503> {
  const response = await post(env, `/hub/gateways/${gateway}/authentication`, { token });
  switch (response?.status) {
    case 204:
    case 401:
      return response.status;
    case 404:
      return isNoMore(response) ? 404 : 503;
    default:
      return 503;
  }
}

/** The API's word on a browser's wish for a terminal. */
export async function authorize(
  env: Env,
  vps: string,
  session: string,
  cookie: string,
): Promise<Terminal | 401 | 403 | 404 | 503> {
  const response = await post(env, "/hub/terminals/authorization", { vps, session, cookie });
  switch (response?.status) {
    case 200:
      return readTerminal(response.body);
    case 401:
    case 403:
    case 404:
      return response.status;
    default:
      return 503;
  }
}

function readTerminal(body: string): Terminal | 503 {
  const { gateway, session, viewer, account } = decoded(body);
  if (!isUid(gateway) || !isUid(session) || !isShort(viewer) || !isShort(account)) {
    console.error("terminal authorization unreadable");
    return 503;
  }
  return { gateway, session, viewer, account };
}

function decoded(body: string): Record<string, unknown> {
  try {
    return (JSON.parse(body) as Record<string, unknown> | null) ?? {};
  } catch {
    return {};
  }
}

// They are kept at the socket, which has room for 2,048 bytes.
function isShort(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= 128;
}

interface Answer {
  status: number;
  body: string;
}

/** What became of a report; "failed" ones are worth trying again. */
export type ReportResult = "taken" | "refused" | "unknown" | "failed";

/** Tells the API what was observed of a gateway. */
export async function report(
  env: Env,
  gateway: string,
  observations: Observation[],
): Promise<ReportResult> {
  const response = await post(env, `/hub/gateways/${gateway}/observations`, { observations });
  if (response === null) return "failed";
  if (response.status === 204) return "taken";
  if (isNoMore(response)) return "unknown";
  const content = response.status === 400 || response.status === 413 || response.status === 422;
  return content ? "refused" : "failed";
}

/**
 * Whether the API says that there is no such gateway. Another 404 is of whatever stands in its
 * place, such as an ingress without routes, and ends no connection.
 */
function isNoMore({ status, body }: Answer): boolean {
  return status === 404 && decoded(body).type === NO_MORE;
}

/** The API's answer, read whole; null: there was none in time. */
async function post(env: Env, path: string, body: unknown): Promise<Answer | null> {
  // Not AbortSignal.timeout: what is still to go off keeps an object from hibernating.
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort(), TIMEOUT_MS);
  const request = new Request(env.API_URL + path, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${env.EDGE_TOKEN}` },
    body: JSON.stringify(body),
    redirect: "manual",
    signal: giveUp.signal,
  });
  try {
    const response = await via(env.API, request);
    return { status: response.status, body: await response.text() };
  } catch (error) {
    // Not the request: a token is in it.
    console.error("api unreachable for the hub", (error as Error).name);
    return null;
  } finally {
    clearTimeout(timer);
  }
}
