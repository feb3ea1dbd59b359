import { mark } from "../outcomes.ts";

/** One thing the hub has to tell instead of a connection or an answer. */
export interface Trouble {
  status: number;
  code: string;
  title: string;
  detail: string;
  /** Seconds after which it is worth asking again. */
  retryAfter?: number;
}

function trouble(status: number, code: string, title: string, detail: string): Trouble {
  return { status, code, title, detail };
}

export const noUpgrade = trouble(
  426,
  "upgrade-required",
  "WebSocket only",
  "This address takes WebSockets only.",
);

export const unauthenticated = trouble(
  401,
  "unauthenticated",
  "Not authenticated",
  "Show a valid credential.",
);

export const forbidden = trouble(403, "forbidden", "Not yours", "This is somebody else's.");

export const crossOrigin = trouble(
  403,
  "cross-origin",
  "Not from here",
  "This address can only be used from its own pages.",
);

export const notFound = trouble(404, "not-found", "Not found", "There is no such thing.");

export const badMethod = trouble(
  405,
  "method-not-allowed",
  "Method not allowed",
  "Commands are posted.",
);

export const tooLarge = trouble(413, "too-large", "Too large", "The command is too large.");

export const tooManyViewers: Trouble = {
  ...trouble(429, "too-many-viewers", "Too many viewers", "Close another view of this session."),
  retryAfter: 30,
};

export const apiAway: Trouble = {
  ...trouble(503, "incident", "We're experiencing issues", "Nobody could be asked about this."),
  retryAfter: 5,
};

export const hubAway: Trouble = {
  ...trouble(503, "hub-unavailable", "The hub broke off", "Send it again, with the same id."),
  retryAfter: 1,
};

/** Why a command has no answer. */
export const OF_VERDICT = {
  offline: {
    ...trouble(503, "gateway-offline", "No gateway", "The gateway is not connected."),
    retryAfter: 5,
  },
  lost: {
    ...trouble(
      503,
      "gateway-lost",
      "The gateway went away",
      "Whether the command was carried out is not known. Send it again, with the same id.",
    ),
    retryAfter: 5,
  },
  busy: {
    ...trouble(429, "busy", "Too many commands", "Too many commands wait for this gateway."),
    retryAfter: 1,
  },
  timeout: trouble(
    504,
    "gateway-timeout",
    "No answer",
    "The gateway did not answer within 10 s. Send it again, with the same id.",
  ),
  conflict: trouble(
    409,
    "conflict",
    "Another command has this id",
    "Take a new id for a new command.",
  ),
} satisfies Record<string, Trouble>;

/** A command that cannot be sent; `detail` says which field and which rule. */
export function badCommand(detail: string): Trouble {
  return trouble(400, "bad-command", "Bad command", detail);
}

/** Trouble as problem details (RFC 9457). */
export function refuse({ retryAfter, code, ...told }: Trouble): Response {
  const headers = new Headers({
    "content-type": "application/problem+json",
    "cache-control": "no-store",
  });
  if (retryAfter !== undefined) headers.set("retry-after", String(retryAfter));
  if (told.status === 401) headers.set("www-authenticate", "Bearer");
  if (told.status === 426) headers.set("upgrade", "websocket");
  const body = { type: `urn:invoker:problem:${code}`, ...told };
  return mark(new Response(JSON.stringify(body), { status: told.status, headers }), "hub");
}
