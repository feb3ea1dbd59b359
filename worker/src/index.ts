import type { Env } from "./env.ts";
import { forwardToApi } from "./forward.ts";
import { type Host, parseHost } from "./host.ts";
import { refuseCommands, serveCommands, serveHub } from "./hub/routes.ts";
import { explain } from "./incident.ts";
import { limit } from "./limiter.ts";
import * as notices from "./notices.ts";
import { mark, type Outcome, outcomeOf } from "./outcomes.ts";
import { landingPage, tell, wantsHtml } from "./pages.ts";
import { serveRelease } from "./release.ts";
import { handleSignIn, handleSignOut, handleSignUp } from "./signIn.ts";
import { count, serveMetrics } from "./tally.ts";
import { serveTerminal } from "./terminal.ts";
import { serveWorkspace } from "./workspace.ts";

export { GatewayHub } from "./hub/hub.ts";
export { Limiter } from "./limiter.ts";
export { Tally } from "./tally.ts";

const API_PATHS = /^\/(?:api|auth|hub|vps)(?:\/|$)|^\/health$/;

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    let outcome: Outcome = "failed";
    try {
      const response = await serve(request, env, ctx);
      outcome = outcomeOf(response) ?? "page";
      return response;
    } finally {
      count(env, ctx, outcome);
    }
  },
} satisfies ExportedHandler<Env>;

async function serve(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
  const url = new URL(request.url);
  const host = parseHost(url.hostname, env.DOMAIN);
  if (host.kind === "invalid") return tell(request, notices.badHost);
  // Tokens and passwords do not travel in the clear where there is a choice.
  if (env.SCHEME === "https" && url.protocol === "http:") return secured(url);
  if (host.kind === "apex") {
    const answer = await serveCommands(env, request);
    if (answer !== null) return answer;
  }
  const wait = await limit(env, request);
  if (wait > 0) return tell(request, notices.rateLimited(wait));
  if (host.kind !== "user") return serveApex(env, request, host);
  return (
    (await serveOwnPath(env, request)) ??
    serveWorkspace({ env, ctx, request, subdomain: host.subdomain })
  );
}

function secured(url: URL): Response {
  const location = `https://${url.host}${url.pathname}${url.search}`;
  return mark(new Response(null, { status: 308, headers: { location } }), "redirected");
}

/** The edge's own pages on a user's subdomain; everything else is the machine's. */
async function serveOwnPath(env: Env, request: Request): Promise<Response | null> {
  const { pathname } = new URL(request.url);
  if (!pathname.startsWith("/.invoker/")) return null;
  if (pathname === "/.invoker/sign-in") return handleSignIn(env, request);
  if (pathname === "/.invoker/sign-out") return handleSignOut(env, request);
  return tell(request, {
    ...notices.notFound,
    title: "Not found",
    detail: "There is no such page.",
  });
}

/** The bare domain and `api.`: the API, and a page that says what this is. */
async function serveApex(env: Env, request: Request, host: Host): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (host.kind === "apex") {
    const answer =
      refuseCommands(request) ??
      (await serveHub(env, request)) ??
      (await serveTerminal(env, request)) ??
      (await serveRelease(env, request));
    if (answer !== null) return answer;
  }
  if (API_PATHS.test(pathname)) {
    const response = await forwardToApi(env, request);
    if (response === null) return tell(request, await explain(env, notices.incident));
    return mark(response, "api");
  }
  if (host.kind === "apex" && pathname === "/.invoker/metrics") {
    const metrics = await serveMetrics(env, request);
    if (metrics !== null) return metrics;
  }
  if (host.kind === "apex" && pathname === "/.invoker/sign-up") return handleSignUp(env, request);
  if (host.kind === "apex" && pathname === "/") return landingPage(env.DOMAIN);
  const missing = { ...notices.notFound, title: "Not found", detail: "There is no such page." };
  return wantsHtml(request) && host.kind === "apex"
    ? landingPage(env.DOMAIN, 404)
    : tell(request, missing);
}
