import { serveAsset } from "./assets.ts";
import type { Env } from "./env.ts";
import * as notices from "./notices.ts";
import { tell } from "./pages.ts";

const BASE = "/gateway/";
const NAME = /^gateway-[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}\.pyz$/;
const HOUR_SECONDS = 3600;

const missing: notices.Notice = {
  ...notices.notFound,
  title: "Not found",
  detail: "There is no such release of the gateway here.",
};

/** The gateway's program, which droplets fetch; null: it is none of its addresses. */
export async function serveRelease(env: Env, request: Request): Promise<Response | null> {
  const { pathname } = new URL(request.url);
  if (!pathname.startsWith(BASE)) return null;
  const name = pathname.slice(BASE.length);
  if (!NAME.test(name)) return tell(request, missing);
  const headers = {
    "content-type": "application/octet-stream",
    "cache-control": `public, max-age=${HOUR_SECONDS}`,
  };
  return serveAsset(env, request, name, headers, missing);
}
