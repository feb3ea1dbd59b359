import { serveAsset } from "./assets.ts";
import type { Env } from "./env.ts";
import * as notices from "./notices.ts";
import { mark } from "./outcomes.ts";
import { tell } from "./pages.ts";

const BASE = "/terminal/";
// A name carries its content's hash, so that what it stands for never changes.
const HASHED = /^[a-z]+\.[A-Z0-9]{8}\.(css|js|svg)$/;
const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};
const YEAR_SECONDS = 31_536_000;

const missing: notices.Notice = {
  ...notices.notFound,
  title: "Not found",
  detail: "There is no such file. Reload the page: there may be a newer version of it.",
};

/** The page with the terminals, from static assets; null: it is none of its addresses. */
export async function serveTerminal(env: Env, request: Request): Promise<Response | null> {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/terminal") return moved(BASE + search);
  if (!pathname.startsWith(BASE)) return null;
  const name = pathname.slice(BASE.length);
  if (name === "") {
    return serveAsset(env, request, "index.html", pageHeaders(env, request), missing);
  }
  const kind = HASHED.exec(name)?.[1];
  if (kind === undefined) return tell(request, missing);
  const headers = {
    "content-type": TYPES[kind] ?? "",
    "cache-control": `public, max-age=${YEAR_SECONDS}, immutable`,
  };
  return serveAsset(env, request, name, headers, missing);
}

function moved(location: string): Response {
  return mark(new Response(null, { status: 308, headers: { location } }), "redirected");
}

function pageHeaders(env: Env, request: Request): Record<string, string> {
  return {
    "content-type": "text/html; charset=utf-8",
    // It names the others, so it is the one that has to be new.
    "cache-control": "no-cache",
    "content-security-policy": contentPolicy(env, new URL(request.url).host),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
  };
}

function contentPolicy(env: Env, host: string): string {
  // Older browsers do not count a WebSocket of the same host as `'self'`.
  const socket = `${env.SCHEME === "https" ? "wss" : "ws"}://${host}`;
  return [
    "default-src 'none'",
    "script-src 'self'",
    // The terminal colours its cells with style attributes, which neither hash nor nonce can allow.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self'",
    `connect-src 'self' ${socket}`,
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
