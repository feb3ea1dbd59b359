import type { Env } from "./env.ts";
import * as notices from "./notices.ts";
import { mark } from "./outcomes.ts";
import { tell } from "./pages.ts";

const onlyGet: notices.Notice = {
  status: 405,
  code: "method-not-allowed",
  title: "Method not allowed",
  detail: "This address can only be read.",
};

/** A static asset by its name, for a request that may only read it; `missing` when there is none. */
export async function serveAsset(
  env: Env,
  request: Request,
  name: string,
  headers: Record<string, string>,
  missing: notices.Notice,
): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") return tell(request, onlyGet);
  const found = await read(env, name);
  if (found === null) return tell(request, notices.incident);
  if (found.status !== 200) {
    await found.body?.cancel();
    return tell(request, missing);
  }
  if (request.method === "HEAD") await found.body?.cancel();
  const body = request.method === "HEAD" ? null : found.body;
  const all = { ...headers, "x-content-type-options": "nosniff" };
  return mark(new Response(body, { headers: all }), "page");
}

/** The asset; null: nobody could be asked. */
async function read(env: Env, name: string): Promise<Response | null> {
  try {
    // The host says nothing to an assets binding.
    return await env.ASSETS.fetch(`http://assets/${name}`);
  } catch (error) {
    console.error("assets unreachable", String(error));
    return null;
  }
}
