import { isOwnPage } from "./cookies.ts";
import type { Env } from "./env.ts";
import { crossOrigin, type Notice } from "./notices.ts";

const MAX_BYTES = 16_384;

const badForm: Notice = {
  status: 400,
  code: "bad-form",
  title: "Bad form",
  detail: "The form must be URL-encoded and small.",
};

const onlyPost: Notice = {
  status: 405,
  code: "method-not-allowed",
  title: "Method not allowed",
  detail: "This address takes a form by POST.",
};

/**
 * The fields of one of our own forms, or why they are refused.
 * A form of another origin could sign a user in as somebody else (login CSRF).
 */
export async function readForm(env: Env, request: Request): Promise<URLSearchParams | Notice> {
  if (request.method !== "POST") return onlyPost;
  if (!isOwnPage(env, request)) return crossOrigin;
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("application/x-www-form-urlencoded")) return badForm;
  const text = await readText(request);
  return text === null ? badForm : new URLSearchParams(text);
}

async function readText(request: Request): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) return null;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Path and query on this very host, whatever the form says; `/` for anything else. */
export function safeNext(next: string | null): string {
  // The URL parser decides what a browser would make of it: "//x", "/\\x" and "/<tab>/x" leave.
  const base = "https://base.invalid";
  if (next === null || !next.startsWith("/") || !URL.canParse(next, base)) return "/";
  const url = new URL(next, base);
  const path = url.pathname + url.search;
  return url.origin !== base || path.startsWith("//") ? "/" : path;
}
