import type { Env } from "./env.ts";
import { publicOrigin } from "./host.ts";

// RFC 9110, 7.6.1, and the names that were hop-by-hop before it.
const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

// Ours to say towards a machine, never the client's: who calls, and which machine is to answer.
const RESERVED = ["x-invoker-", "fly-", "x-forwarded-"];

export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** The client's headers as they may travel on; cookies of ours stay here. */
export function forwardedHeaders(env: Env, request: Request): Headers {
  const url = new URL(request.url);
  const headers = new Headers(request.headers);
  const dropped = headers.get("connection")?.split(",") ?? [];
  for (const name of [...HOP_BY_HOP, ...dropped]) remove(headers, name.trim());
  for (const name of [...headers.keys()]) {
    if (RESERVED.some((prefix) => name.startsWith(prefix))) headers.delete(name);
  }
  if (isUpgrade(request)) headers.set("upgrade", "websocket");
  headers.set("x-forwarded-host", url.host);
  headers.set("x-forwarded-proto", env.SCHEME);
  const client = request.headers.get("cf-connecting-ip");
  if (client !== null) headers.set("x-forwarded-for", client);
  keepForeignCookies(headers);
  return headers;
}

function remove(headers: Headers, name: string): void {
  // What a client lists under Connection need not be a header name at all.
  if (/^[\w-]+$/.test(name)) headers.delete(name);
}

function keepForeignCookies(headers: Headers): void {
  const cookies = headers.get("cookie");
  if (cookies === null) return;
  const kept = cookies.split(";").filter((pair) => !isOurs(pair));
  if (kept.length === 0) headers.delete("cookie");
  else headers.set("cookie", kept.join(";").trim());
}

const OUR_COOKIE = /^\s*(?:__Host-)?invoker_/i;

function isOurs(cookie: string): boolean {
  return OUR_COOKIE.test(cookie);
}

/**
 * The machine's answer as the client may see it.
 * The body is handed on unread. A machine must not speak in our name: not with our headers, not
 * with our cookies, and a redirect to its own address means its public one.
 */
export function publicResponse(
  env: Env,
  request: Request,
  target: string,
  response: Response,
): Response {
  if (response.webSocket !== null) return response;
  const answer = new Response(response.body, response);
  for (const name of [...answer.headers.keys()]) {
    if (name.startsWith("x-invoker-")) answer.headers.delete(name);
  }
  dropOurCookies(answer.headers);
  const location = answer.headers.get("location");
  if (location?.startsWith(`${target}/`)) {
    const origin = publicOrigin(env, new URL(request.url));
    answer.headers.set("location", origin + location.slice(target.length));
  }
  return answer;
}

function dropOurCookies(headers: Headers): void {
  const cookies = headers.getSetCookie();
  if (!cookies.some(isOurs)) return;
  headers.delete("set-cookie");
  for (const cookie of cookies) if (!isOurs(cookie)) headers.append("set-cookie", cookie);
}
