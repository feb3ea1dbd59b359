export const STATES = [
  "running",
  "asleep",
  "stopped",
  "starting",
  "crashed",
  "suspended",
  "quarantined",
  "redirect",
] as const;

export type State = (typeof STATES)[number];

/** The routing entry of docs/protocols.md, version 1. */
export interface Entry {
  stamp: number;
  route: string;
  account: string;
  state: State;
  target: string | null;
  machine: string | null;
  instance: string | null;
  redirect: string | null;
}

/** An entry that says where its machine is. */
export interface LiveEntry extends Entry {
  target: string;
  machine: string;
  instance: string;
}

export function isState(value: unknown): value is State {
  return STATES.some((state) => state === value);
}

/** True when the entry names a machine that a request can be sent to. */
export function isLive(entry: Entry): entry is LiveEntry {
  return entry.target !== null && entry.machine !== null && entry.instance !== null;
}

/** Reads an entry; null for anything this Worker does not understand. */
export function parseEntry(value: unknown): Entry | null {
  if (typeof value !== "object" || value === null) return null;
  const raw = value as Record<string, unknown>;
  if (raw.version !== 1 || !isState(raw.state)) return null;
  if (typeof raw.account !== "string" || raw.account === "") return null;
  return {
    stamp: typeof raw.stamp === "number" ? raw.stamp : 0,
    route: text(raw.route) ?? "",
    account: raw.account,
    state: raw.state,
    target: machineOrigin(raw.target),
    machine: text(raw.machine),
    instance: text(raw.instance),
    redirect: text(raw.redirect),
  };
}

/** Only an origin may be a target: a path or credentials in it would shift what we append. */
function machineOrigin(value: unknown): string | null {
  const target = text(value);
  if (target === null || !URL.canParse(target)) return null;
  const url = new URL(target);
  return url.protocol === "https:" || url.protocol === "http:" ? url.origin : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
