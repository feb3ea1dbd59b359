import type { Env } from "./env.ts";
import { publicOrigin } from "./host.ts";

const WAKING = "invoker_waking";
const WAKING_SECONDS = 120;

// Behind https the prefix keeps one subdomain from planting a token on another (RFC 6265bis).
function tokenName(env: Env): string {
  return env.SCHEME === "https" ? "__Host-invoker_token" : "invoker_token";
}

/** The caller's token: from `Authorization: Bearer`, else from our cookie. */
export function readToken(env: Env, request: Request): string | null {
  const header = request.headers.get("authorization");
  const bearer = header?.match(/^Bearer +(\S+) *$/i)?.[1];
  if (bearer !== undefined) return bearer;
  return isOwnPage(env, request) ? readCookie(request, tokenName(env)) : null;
}

/**
 * Whether the browser says that the request comes from this subdomain's own pages.
 * All subdomains are one site, so SameSite does not keep one user's page from sending requests,
 * with the cookie, to another user's machine. A link that is followed is no harm.
 */
export function isOwnPage(env: Env, request: Request): boolean {
  const own = publicOrigin(env, new URL(request.url));
  const origin = request.headers.get("origin");
  if (origin !== null) return origin === own;
  const site = request.headers.get("sec-fetch-site") ?? "none";
  if (site === "none" || site === "same-origin") return true;
  const followed = request.headers.get("sec-fetch-mode") === "navigate";
  const framed = request.headers.get("sec-fetch-dest") !== "document";
  return request.method === "GET" && followed && !framed;
}

/** `Set-Cookie` that signs in until the token expires (unix seconds). */
export function tokenCookie(env: Env, token: string, expiresAt: number): string {
  const age = Math.max(0, expiresAt - Math.floor(Date.now() / 1000));
  return cookie(env, tokenName(env), token, age);
}

/** `Set-Cookie` that signs out. */
export function noTokenCookie(env: Env): string {
  return cookie(env, tokenName(env), "", 0);
}

/** `Set-Cookie` that tells the next request that this machine is being woken. */
export function wakingCookie(env: Env, instance: string): string {
  return cookie(env, WAKING, encodeURIComponent(instance), WAKING_SECONDS);
}

/** Whether this browser was shown the waking page for this machine. */
export function isWaking(request: Request, instance: string): boolean {
  return readCookie(request, WAKING) === encodeURIComponent(instance);
}

function cookie(env: Env, name: string, value: string, maxAge: number): string {
  const secure = env.SCHEME === "https" ? "; Secure" : "";
  return `${name}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Lax${secure}`;
}

function readCookie(request: Request, name: string): string | null {
  for (const pair of (request.headers.get("cookie") ?? "").split(";")) {
    const [key = "", value = ""] = pair.split("=", 2);
    if (key.trim() === name && value !== "") return value.trim();
  }
  return null;
}
