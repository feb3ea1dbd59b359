import type { State } from "./entry.ts";
import type { Outcome } from "./outcomes.ts";

/** One thing the edge has to tell instead of the machine. */
export interface Notice {
  status: number;
  /** For programs: the last part of the problem's type; for the count, the outcome. */
  code: Outcome;
  title: string;
  detail: string;
  /** Seconds after which it is worth asking again. */
  retryAfter?: number;
  /** The page asks again by itself. */
  retries?: boolean;
  /** The page can sign a user in. */
  signIn?: boolean;
  /** The page can sign the present user out. */
  signOut?: boolean;
}

function notice(status: number, code: Outcome, title: string, detail: string): Notice {
  return { status, code, title, detail };
}

export const badHost = notice(
  400,
  "bad-host",
  "Bad address",
  "This address is not one of ours. Check how it is written.",
);

export const notFound = notice(
  404,
  "not-found",
  "Account not found",
  "There is no workspace at this address. Contact support or sign up.",
);

export const waking: Notice = {
  ...notice(
    503,
    "waking",
    "Your machine is starting",
    "This takes 5 to 10 seconds. The page tries again by itself.",
  ),
  retryAfter: 3,
  retries: true,
};

export const asleep: Notice = {
  ...notice(
    401,
    "asleep",
    "This machine is asleep",
    "Its owner can wake it by signing in and opening this page.",
  ),
  signIn: true,
};

export const crashed: Notice = {
  ...notice(
    503,
    "crashed",
    "Something went wrong",
    "The machine has crashed. We have been notified and are restarting it. Contact support if it stays away.",
  ),
  retryAfter: 30,
  retries: true,
};

export const notAnswering: Notice = {
  ...notice(
    502,
    "not-answering",
    "The machine does not answer",
    "It should be running, but we could not reach it. Try again in a moment, or contact support.",
  ),
  retryAfter: 10,
  retries: true,
};

export const suspended = notice(
  403,
  "suspended",
  "This account is suspended",
  "Its machine is stopped and its data is kept. Contact support, or check the plan and its payments.",
);

export const quarantined = notice(
  403,
  "quarantined",
  "This account is quarantined",
  "We stopped its machine for safety. Contact support.",
);

export const incident: Notice = {
  ...notice(
    503,
    "incident",
    "We're experiencing issues",
    "Something on our side is not working. We know about it; your data is safe.",
  ),
  retryAfter: 30,
  retries: true,
};

export const signIn: Notice = {
  ...notice(401, "unauthenticated", "Sign in", "This workspace wants to know who you are."),
  signIn: true,
};

export const signInAgain: Notice = {
  ...notice(401, "invalid-token", "Sign in again", "Please log in again: your session has ended."),
  signIn: true,
};

export const forbidden: Notice = {
  ...notice(
    403,
    "forbidden",
    "This is not your workspace",
    "You are signed in as somebody else than its owner.",
  ),
  signOut: true,
};

export const crossOrigin = notice(
  403,
  "cross-origin",
  "Not from here",
  "This form can only be sent from its own page.",
);

export function rateLimited(retryAfter: number): Notice {
  const detail = `There were too many requests from your address. Wait ${retryAfter} s.`;
  return { ...notice(429, "rate-limited", "Slow down", detail), retryAfter };
}

const OF_STATE = {
  stopped: asleep,
  starting: waking,
  crashed,
  suspended,
  quarantined,
} satisfies Partial<Record<State, Notice>>;

/** What to tell of a machine in a state in which nothing is forwarded. */
export function ofState(state: State): Notice {
  return state in OF_STATE ? OF_STATE[state as keyof typeof OF_STATE] : waking;
}
