import type { Messages } from "./messages.ts";
import { SCHEMAS, SHARED } from "./schemas.ts";
import { Invalid, read } from "./validator.ts";

export type Type = keyof Messages;
export type Message<T extends Type = Type> = { [K in T]: Messages[K] }[T];

/** A message that cannot be understood; its words go to whoever sent it. */
export class Misunderstood extends Error {
  constructor(
    readonly code: "malformed" | "unknown-type",
    message: string,
    readonly about: string | null,
  ) {
    super(message);
  }
}

/**
 * Reads a text message of one of the allowed types.
 * @throws Misunderstood it is not JSON, of another type, or against its schema.
 */
export function parse<T extends Type>(text: string, allowed: readonly T[]): Message<T> {
  return check(decode(text), allowed);
}

/**
 * Reads a message that has been decoded.
 * @throws Misunderstood as `parse` does.
 */
export function check<T extends Type>(value: unknown, allowed: readonly T[]): Message<T> {
  const named = (value as { type?: unknown } | null)?.type;
  if (typeof named !== "string") throw new Misunderstood("malformed", "type: is missing", null);
  const type = allowed.find((one) => one === named);
  const about = named.slice(0, 64);
  if (type === undefined) throw new Misunderstood("unknown-type", "is not to be sent here", about);
  try {
    return read(SCHEMAS[type], value, SHARED) as Message<T>;
  } catch (error) {
    if (error instanceof Invalid) throw new Misunderstood("malformed", error.message, about);
    throw error;
  }
}

function decode(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Misunderstood("malformed", "the message is not JSON", null);
  }
}

/** A message as it travels. */
export function encode<T extends Type>(message: Message<T>): string {
  return JSON.stringify(message);
}
