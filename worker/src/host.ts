import type { Env } from "./env.ts";

/** Which of our names a request came to. */
export type Host =
  | { kind: "apex" }
  | { kind: "api" }
  | { kind: "user"; subdomain: string }
  | { kind: "invalid" };

// RFC 1123: letters, digits and inner hyphens, 63 at most; URL parsing has lowercased it.
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Reads a host name, without its port, that the URL parser has normalised. */
export function parseHost(hostname: string, domain: string): Host {
  // "alice.example." is the same name fully qualified.
  const name = hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
  if (name === domain || name === `www.${domain}`) return { kind: "apex" };
  if (!name.endsWith(`.${domain}`)) return { kind: "invalid" };
  const subdomain = name.slice(0, -domain.length - 1);
  if (!LABEL.test(subdomain)) return { kind: "invalid" };
  return subdomain === "api" ? { kind: "api" } : { kind: "user", subdomain };
}

/** `https://alice.example`, as the browser shows it. */
export function publicOrigin(env: Env, url: URL): string {
  return `${env.SCHEME}://${url.host}`;
}

/** The origin of a subdomain or of the bare domain (null). */
export function originOf(env: Env, subdomain: string | null): string {
  const name = subdomain === null ? env.DOMAIN : `${subdomain}.${env.DOMAIN}`;
  return `${env.SCHEME}://${name}${env.PUBLIC_PORT === "" ? "" : `:${env.PUBLIC_PORT}`}`;
}
