import { noTokenCookie, tokenCookie } from "./cookies.ts";
import { type Env, via } from "./env.ts";
import { readForm, safeNext } from "./form.ts";
import { originOf, parseHost } from "./host.ts";
import { identify } from "./identity.ts";
import { incident, type Notice, rateLimited, signIn } from "./notices.ts";
import { landingPage, signInPage, tell, wantsHtml, welcomePage } from "./pages.ts";

const TIMEOUT_MS = 15_000;

/** `/.invoker/sign-in`: the page, and the form that it sends. */
export async function handleSignIn(env: Env, request: Request): Promise<Response> {
  if (request.method === "GET" || request.method === "HEAD") return signInPage(200, null, "/");
  const form = await readForm(env, request);
  if (!(form instanceof URLSearchParams)) return tell(request, form);
  const next = safeNext(form.get("next"));
  const answer = await post(env, request, "/api/auth/login", form, ["email", "password"]);
  if (isOutage(answer)) return tell(request, outageNotice(answer), next);
  const token = answer.ok ? (await session(answer)).access_token : null;
  const caller = await identify(env, typeof token === "string" ? token : null);
  if (caller.kind === "unknowable") return tell(request, incident, next);
  if (caller.kind !== "user") return refuse(request, next);
  const { user } = caller;
  return seeOther(next, tokenCookie(env, user.token, user.expiresAt));
}

function refuse(request: Request, next: string): Response {
  const detail = "The e-mail address or the password is wrong.";
  if (!wantsHtml(request)) return tell(request, { ...signIn, detail }, next);
  return signInPage(401, detail, next);
}

/** `/.invoker/sign-out`: forgets the token in this browser. */
export async function handleSignOut(env: Env, request: Request): Promise<Response> {
  const form = await readForm(env, request);
  if (!(form instanceof URLSearchParams)) return tell(request, form);
  return seeOther("/.invoker/sign-in", noTokenCookie(env));
}

/** `/.invoker/sign-up` on the bare domain: makes the account and says where its machine will be. */
export async function handleSignUp(env: Env, request: Request): Promise<Response> {
  const form = await readForm(env, request);
  if (!(form instanceof URLSearchParams)) return tell(request, form);
  const fields = ["email", "password", "first_name"];
  const answer = await post(env, request, "/api/auth/register", form, fields);
  if (isOutage(answer)) return tell(request, outageNotice(answer), "/");
  const body = await session(answer);
  if (!answer.ok)
    return landingPage(env.DOMAIN, answer.status, body.detail ?? "That did not work.");
  return welcomePage(homeOf(env, body.subdomain));
}

function homeOf(env: Env, subdomain: unknown): string | null {
  if (typeof subdomain !== "string") return null;
  const host = parseHost(`${subdomain}.${env.DOMAIN}`, env.DOMAIN);
  return host.kind === "user" ? originOf(env, host.subdomain) : null;
}

interface Session {
  access_token?: unknown;
  subdomain?: unknown;
  detail?: string;
}

async function session(answer: Response): Promise<Session> {
  return (await answer.json<Session | null>().catch(() => null)) ?? {};
}

async function post(
  env: Env,
  request: Request,
  path: string,
  form: URLSearchParams,
  fields: string[],
): Promise<Response> {
  const headers = new Headers({ accept: "application/json", "content-type": "application/json" });
  const client = request.headers.get("cf-connecting-ip");
  if (client !== null) headers.set("x-forwarded-for", client);
  const values = fields.map((field) => [field, form.get(field) ?? ""]);
  const body = JSON.stringify(Object.fromEntries(values));
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const init = { method: "POST", headers, body, signal, redirect: "manual" } as const;
  try {
    return await via(env.API, new Request(env.API_URL + path, init));
  } catch (error) {
    console.error("api unreachable", String(error));
    return new Response(null, { status: 503 });
  }
}

function isOutage(answer: Response): boolean {
  return answer.status >= 500 || answer.status === 429;
}

function outageNotice(answer: Response): Notice {
  if (answer.status !== 429) return incident;
  return rateLimited(Number(answer.headers.get("retry-after")) || 60);
}

function seeOther(location: string, cookie: string): Response {
  const headers = { location, "set-cookie": cookie, "cache-control": "no-store" };
  return new Response(null, { status: 303, headers });
}
