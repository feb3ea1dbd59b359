import { isUpgrade } from "./headers.ts";
import { html, type Markup, page } from "./html.ts";
import type { Notice } from "./notices.ts";
import { mark } from "./outcomes.ts";

/** Whether people will read the answer. */
export function wantsHtml(request: Request): boolean {
  return !isUpgrade(request) && (request.headers.get("accept") ?? "").includes("text/html");
}

/** Whether a browser opens the address as a page, as opposed to what a page then loads. */
export function isNavigation(request: Request): boolean {
  const mode = request.headers.get("sec-fetch-mode");
  const safe = request.method === "GET" || request.method === "HEAD";
  return safe && wantsHtml(request) && (mode === null || mode === "navigate");
}

/** A notice as a page for people, as problem details (RFC 9457) for programs. */
export function tell(request: Request, notice: Notice, next?: string): Response {
  return mark(told(request, notice, next), notice.code);
}

function told(request: Request, notice: Notice, next?: string): Response {
  const headers = new Headers({ "cache-control": "no-store", vary: "Accept" });
  if (notice.retryAfter !== undefined) headers.set("retry-after", String(notice.retryAfter));
  if (notice.status === 401) headers.set("www-authenticate", 'Bearer realm="invoker"');
  if (!wantsHtml(request)) return problem(request, notice, headers);
  // A form that was posted cannot be asked for again by reloading.
  const retries = notice.retries === true && request.method === "GET";
  const retry = retries ? (notice.retryAfter ?? null) : null;
  const body = noticeBody(notice, retries, next ?? here(request));
  return htmlResponse(notice.title, body, notice.status, headers, retry);
}

function problem(request: Request, notice: Notice, headers: Headers): Response {
  headers.set("content-type", "application/problem+json");
  const body = {
    type: `urn:invoker:problem:${notice.code}`,
    title: notice.title,
    status: notice.status,
    detail: notice.detail,
    instance: new URL(request.url).pathname.slice(0, 200),
  };
  return new Response(JSON.stringify(body), { status: notice.status, headers });
}

function htmlResponse(
  title: string,
  body: Markup,
  status: number,
  headers: Headers,
  retry: number | null,
): Response {
  const nonce = crypto.randomUUID();
  headers.set("content-type", "text/html; charset=utf-8");
  headers.set("content-security-policy", contentPolicy(nonce));
  headers.set("x-content-type-options", "nosniff");
  // Not "no-referrer": that makes browsers send `Origin: null` with our own forms.
  headers.set("referrer-policy", "same-origin");
  return new Response(page(title, body, nonce, retry), { status, headers });
}

function contentPolicy(nonce: string): string {
  const style = `style-src 'nonce-${nonce}'`;
  return `default-src 'none'; ${style}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;
}

function noticeBody(notice: Notice, retries: boolean, next: string): Markup {
  const role = retries ? "status" : "note";
  return html`<p role="${role}">${notice.detail}</p>
${retries ? html`<div class="bar" aria-hidden="true"></div>` : null}
${retries ? html`<p><a class="button" href="${next}">Try again</a></p>` : null}
${notice.signIn ? signInForm(next) : null}
${notice.signOut ? html`<form method="post" action="/.invoker/sign-out"><button>Sign in as somebody else</button></form>` : null}`;
}

/** Path and query of the page that a form should lead back to. */
function here(request: Request): string {
  const { pathname, search } = new URL(request.url);
  // "//host" as a link would leave this host.
  const path = pathname.replace(/^\/+/, "/");
  return path.startsWith("/.invoker/") ? "/" : path + search;
}

function signInForm(next: string): Markup {
  return html`<form method="post" action="/.invoker/sign-in">
<input type="hidden" name="next" value="${next}">
${credentials("current-password")}
<button>Sign in</button>
</form>`;
}

function credentials(autocomplete: string): Markup {
  return html`<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="${autocomplete}" required>`;
}

/** The sign-in page after a refusal. */
export function signInPage(status: number, alert: string | null, next: string): Response {
  const body = html`${alertBox(alert)}${signInForm(next)}`;
  return htmlResponse("Sign in", body, status, new Headers({ "cache-control": "no-store" }), null);
}

/** What the bare domain shows: what this is, and how to get a workspace. */
export function landingPage(domain: string, status = 200, alert: string | null = null): Response {
  const body = html`<p>Every user gets a machine of their own, at an address of their own.
It sleeps when you do not use it and wakes when you come back.</p>
${alertBox(alert)}
<form method="post" action="/.invoker/sign-up">
<label for="first_name">First name</label>
<input id="first_name" name="first_name" autocomplete="given-name" required maxlength="100">
${credentials("new-password")}
<button>Sign up</button>
</form>
<p>Already have a workspace? Open its address, <strong>name.${domain}</strong>, and sign in there.</p>
<p>Droplets of your own at DigitalOcean, and terminals on them: <a href="/terminal/">your VPSs</a>.</p>`;
  return htmlResponse(
    "A machine for everyone",
    body,
    status,
    new Headers({ "cache-control": "no-store" }),
    null,
  );
}

/** After a sign-up: where the new workspace is, or that the e-mail must be confirmed first. */
export function welcomePage(origin: string | null): Response {
  const body =
    origin === null
      ? html`<p>Confirm your e-mail address with the link that we sent you, then sign in.</p>`
      : html`<p>Your workspace is being made at this address:</p>
<p><a class="button" href="${origin}/.invoker/sign-in">${origin}</a></p>`;
  return htmlResponse("Welcome", body, 201, new Headers({ "cache-control": "no-store" }), null);
}

function alertBox(alert: string | null): Markup | null {
  return alert === null ? null : html`<p class="alert" role="alert">${alert}</p>`;
}
