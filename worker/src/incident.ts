import type { Env } from "./env.ts";
import { incident, type Notice } from "./notices.ts";

const CACHE_SECONDS = 30;

/**
 * The incident notice instead of one that blames the machine, while an incident is declared.
 * It is read only when there is bad news, so that a healthy request costs one KV read, and an
 * incident hides nothing that still works.
 */
export async function explain(env: Env, notice: Notice): Promise<Notice> {
  if (notice.status !== 502 && notice.status !== 503) return notice;
  const message = await declared(env);
  if (message === null) return notice;
  return message === "" ? incident : { ...incident, detail: message };
}

async function declared(env: Env): Promise<string | null> {
  try {
    const options = { type: "json", cacheTtl: CACHE_SECONDS } as const;
    const flag = await env.ROUTES.get<Record<string, unknown>>("platform:status", options);
    if (flag?.incident !== true) return null;
    return typeof flag.message === "string" ? flag.message : "";
  } catch (error) {
    console.error("incident flag unreadable", String(error));
    return null;
  }
}
