import type { Env } from "../env.ts";
import { mark } from "../outcomes.ts";
import * as answers from "./answers.ts";
import { COMMAND_BODY } from "./limits.ts";
import { check, encode, Misunderstood } from "./protocol.ts";
import type { CommandType, Order, Verdict } from "./relay.ts";
import { ANSWERS } from "./schemas.ts";
import { OWN } from "./viewers.ts";

const TYPES = Object.keys(ANSWERS) as CommandType[];
// The object may be stopped at any time, a deployment is enough; the id keeps it from twice.
const TRIES = 2;

/** Sends a command to a gateway: the gateway's answer, or why there is none. */
export async function relay(env: Env, request: Request, gateway: string): Promise<Response> {
  const body = await readBody(request);
  if (body === null) return answers.refuse(answers.tooLarge);
  const order = await readOrder(body);
  if (typeof order === "string") return answers.refuse(answers.badCommand(order));
  const verdict = await deliver(env, gateway, order);
  if (verdict === null) return answers.refuse(answers.hubAway);
  if (verdict.kind !== "answered") return answers.refuse(answers.OF_VERDICT[verdict.kind]);
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return mark(new Response(verdict.answer, { headers }), "hub");
}

/** The body's text; null: there is more of it than a command may have. */
async function readBody(request: Request): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > COMMAND_BODY) return null;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** The command; or what is wrong with it. */
async function readOrder(body: string): Promise<Order | string> {
  try {
    const given: unknown = JSON.parse(body);
    const message = check({ id: crypto.randomUUID(), ...(given as object) }, TYPES);
    if (message.id.startsWith(OWN)) return `id: those that begin with ${OWN} are the hub's own`;
    const text = encode(message);
    return { id: message.id, type: message.type, text, digest: await digest(text) };
  } catch (error) {
    if (error instanceof Misunderstood) return `${error.about ?? "command"}: ${error.message}`;
    if (error instanceof SyntaxError) return "the body is not JSON";
    throw error;
  }
}

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function deliver(env: Env, gateway: string, order: Order): Promise<Verdict | null> {
  for (let tries = 1; tries <= TRIES; tries += 1) {
    try {
      // A stub that has failed stays broken.
      const hub = env.GATEWAY_HUB.get(env.GATEWAY_HUB.idFromName(gateway));
      return await hub.command(order);
    } catch (error) {
      console.warn("hub broke off", order.type, String(error));
      if ((error as { overloaded?: boolean }).overloaded === true) return { kind: "busy" };
    }
  }
  return null;
}
