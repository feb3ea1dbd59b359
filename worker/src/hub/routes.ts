import type { Env } from "../env.ts";
import { isUpgrade } from "../headers.ts";
import { publicOrigin } from "../host.ts";
import { isOperator } from "../operator.ts";
import { mark } from "../outcomes.ts";
import * as answers from "./answers.ts";
import { authenticate, authorize, isUid } from "./api.ts";
import { relay } from "./commands.ts";

const COMMANDS = /^\/hub\/([^/]+)\/commands$/;
const TERMINAL = /^\/vps\/([^/]+)\/terminal$/;
const TOKEN = /^Bearer +([\w.~+/=-]{16,512}) *$/i;
const COOKIE_SIZE = 8_192;
const SESSION_SIZE = 253;

/** The hub's paths on the bare domain; null: it is none of them. */
export async function serveHub(env: Env, request: Request): Promise<Response | null> {
  const { pathname } = new URL(request.url);
  if (pathname === "/gw/connect") return connectGateway(env, request);
  const vps = TERMINAL.exec(pathname)?.[1];
  return vps === undefined ? null : openTerminal(env, request, vps);
}

/**
 * Commands of the API and the controller; null: it is none.
 * All of them come from few addresses, so they are served before the rate limit for clients.
 */
export async function serveCommands(env: Env, request: Request): Promise<Response | null> {
  const gateway = COMMANDS.exec(new URL(request.url).pathname)?.[1];
  if (!isUid(gateway)) return null;
  // Guessing at the token is for the rate limit to slow down.
  if (!(await isOperator(env, request))) return null;
  if (request.method !== "POST") return answers.refuse(answers.badMethod);
  return relay(env, request, gateway);
}

/** What `serveCommands` left: somebody without the token. */
export function refuseCommands(request: Request): Response | null {
  const gateway = COMMANDS.exec(new URL(request.url).pathname)?.[1];
  return isUid(gateway) ? answers.refuse(answers.unauthenticated) : null;
}

async function connectGateway(env: Env, request: Request): Promise<Response> {
  if (!isUpgrade(request)) return answers.refuse(answers.noUpgrade);
  const gateway = request.headers.get("x-gateway-id");
  const token = TOKEN.exec(request.headers.get("authorization") ?? "")?.[1];
  if (!isUid(gateway) || token === undefined) return answers.refuse(answers.unauthenticated);
  switch (await authenticate(env, gateway, token)) {
    case 204:
      return attach(env, gateway, "gateway", {});
    case 401:
      return answers.refuse(answers.unauthenticated);
    case 404:
      return answers.refuse(answers.notFound);
    default:
      return answers.refuse(answers.apiAway);
  }
}

async function openTerminal(env: Env, request: Request, vps: string): Promise<Response> {
  if (!isUpgrade(request)) return answers.refuse(answers.noUpgrade);
  const url = new URL(request.url);
  // Browsers let any page open a WebSocket, with our cookie; only they send an origin.
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== publicOrigin(env, url)) {
    return answers.refuse(answers.crossOrigin);
  }
  const name = decoded(vps);
  const session = url.searchParams.get("session_id") ?? "";
  if (name === null || session === "" || session.length > SESSION_SIZE) {
    return answers.refuse(answers.notFound);
  }
  const cookie = request.headers.get("cookie") ?? "";
  if (cookie === "" || cookie.length > COOKIE_SIZE) return answers.refuse(answers.unauthenticated);
  const found = await authorize(env, name, session, cookie);
  if (typeof found === "number") return answers.refuse(REFUSALS[found]);
  const { gateway, ...visitor } = found;
  return attach(env, gateway, "viewer", visitor);
}

const REFUSALS = {
  401: answers.unauthenticated,
  403: answers.forbidden,
  404: answers.notFound,
  503: answers.apiAway,
};

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** Hands a connection to the hub; credentials stay here. */
async function attach(
  env: Env,
  gateway: string,
  role: "gateway" | "viewer",
  visitor: Record<string, string>,
): Promise<Response> {
  const query = new URLSearchParams({ ...visitor, gateway });
  const headers = { upgrade: "websocket" };
  try {
    const hub = env.GATEWAY_HUB.get(env.GATEWAY_HUB.idFromName(gateway));
    const response = await hub.fetch(`http://hub/${role}?${query}`, { headers });
    if (response.status === 429) return answers.refuse(answers.tooManyViewers);
    return mark(response, "hub");
  } catch (error) {
    console.error("hub unreachable", String(error));
    return answers.refuse(answers.hubAway);
  }
}
