import { signIdentity } from "./edgeIdentity.ts";
import type { LiveEntry } from "./entry.ts";
import { type Env, via } from "./env.ts";
import { forwardedHeaders, publicResponse } from "./headers.ts";
import type { User } from "./identity.ts";

/** Statuses with which Fly's proxy says that it has no machine to give the request to. */
export function isUnreachable(response: Response): boolean {
  return response.status === 502 || response.status === 503 || response.status === 504;
}

/**
 * Sends a request to the machine of an entry.
 * Bodies and WebSockets pass through untouched. null: the connection failed.
 */
export async function forward(
  env: Env,
  request: Request,
  entry: LiveEntry,
  user: User | null,
): Promise<Response | null> {
  const headers = forwardedHeaders(env, request);
  headers.set("fly-force-instance-id", entry.instance);
  if (user !== null) {
    headers.set("authorization", `Bearer ${user.token}`);
    headers.set("x-invoker-identity", await signIdentity(env, user, entry.machine));
  }
  try {
    const response = await fetch(readdress(request, entry.target, headers), UNCACHED);
    return publicResponse(env, request, entry.target, response);
  } catch (error) {
    console.warn("machine unreachable", entry.machine, String(error));
    return null;
  }
}

// Cloudflare would keep what looks like a static file, and give it to whoever asks next.
const UNCACHED = { cf: { cacheTtlByStatus: { "100-599": -1 } } };

/** Sends a request to the API; null: the connection failed. */
export async function forwardToApi(env: Env, request: Request): Promise<Response | null> {
  const outgoing = readdress(request, env.API_URL, forwardedHeaders(env, request));
  try {
    return await via(env.API, outgoing);
  } catch (error) {
    console.error("api unreachable", String(error));
    return null;
  }
}

// Concatenation on purpose: resolving "//evil.example" against a base would change the host.
function readdress(request: Request, origin: string, headers: Headers): Request {
  const { pathname, search } = new URL(request.url);
  const moved = new Request(origin + pathname + search, request);
  return new Request(moved, { headers, redirect: "manual" });
}

/** Whether a request can be sent twice: it changes nothing and its body is not used up. */
export function isRepeatable(request: Request): boolean {
  return (request.method === "GET" || request.method === "HEAD") && request.body === null;
}
