import type { Agent, Connection, Health, Key, Session, Vps } from "./model.ts";

/** How a status looks: settled and well, under way, wrong, or at rest. */
export type Tone = "good" | "busy" | "bad" | "rest";

interface Words {
  text: string;
  tone: Tone;
}

const OF_VPS: Record<string, Words> = {
  provisioning: { text: "Being made", tone: "busy" },
  provisioning_timeout: { text: "Takes longer than it should", tone: "bad" },
  running: { text: "Running", tone: "good" },
  offline: { text: "Offline", tone: "bad" },
  powering_off: { text: "Being powered off", tone: "busy" },
  off: { text: "Off", tone: "rest" },
  powering_on: { text: "Being powered on", tone: "busy" },
  deleting: { text: "Being deleted", tone: "busy" },
  blocked: { text: "Blocked", tone: "bad" },
};

const OF_SESSION: Record<string, Words> = {
  starting: { text: "Starting", tone: "busy" },
  waiting: { text: "Waiting", tone: "busy" },
  running: { text: "Running", tone: "good" },
  ended: { text: "Ended", tone: "rest" },
  failed: { text: "Failed", tone: "bad" },
};

const OF_KEY: Record<string, Words> = {
  waiting: { text: "Waiting", tone: "busy" },
  authorized: { text: "Let in", tone: "good" },
  expired: { text: "Expired", tone: "rest" },
  failed: { text: "Failed", tone: "bad" },
};

const UNDER_WAY = new Set(["connecting", "disconnecting"]);

function wordsOf(known: Record<string, Words>, status: string): Words {
  // A newer API may know more than this page.
  return known[status] ?? { text: status.replaceAll("_", " "), tone: "rest" };
}

/** A VPS as it is shown. */
export interface VpsWords extends Words {
  busy: boolean;
  facts: Array<{
    name: "ipv4" | "place" | "cost" | "gateway" | "health" | "agents";
    label: string;
    text: string;
  }>;
  /** What can be asked of it. */
  power: "on" | "off" | null;
  canDelete: boolean;
}

export function vpsWords(vps: Vps): VpsWords {
  const words = wordsOf(OF_VPS, vps.status);
  const facts: VpsWords["facts"] = [
    { name: "ipv4", label: "IPv4", text: vps.ipv4 ?? "none yet" },
    { name: "place", label: "Droplet", text: `${vps.size} in ${vps.region}` },
    { name: "cost", label: "Costs", text: costWords(vps.monthly_usd) },
    { name: "gateway", label: "Gateway", text: gatewayWords(vps.gateway) },
  ];
  if (vps.health !== null) {
    facts.push({ name: "health", label: "Health", text: healthWords(vps.health) });
  }
  if (vps.agents.length > 0) {
    const text = vps.agents.map(agentWords).join(", ");
    facts.push({ name: "agents", label: "Agents", text });
  }
  const leaving = vps.status === "deleting";
  const unmade = vps.status === "provisioning_timeout";
  const settled = !leaving && !unmade && words.tone !== "busy";
  const power = !settled ? null : vps.power === "on" ? "off" : "on";
  return { ...words, busy: words.tone === "busy", facts, power, canDelete: !leaving };
}

function costWords(monthly: number | null): string {
  return monthly === null ? "not known yet" : `$${monthly.toFixed(2)} a month`;
}

function gatewayWords({ connected, version }: Vps["gateway"]): string {
  const known = version === null ? "" : `, version ${version}`;
  return `${connected ? "connected" : "not connected"}${known}`;
}

function healthWords(health: Health): string {
  const { memory_used_bytes: used, memory_total_bytes: memory } = health;
  const { disk_used_bytes: full, disk_total_bytes: disk } = health;
  return [
    `CPU ${Math.round(health.cpu_percent)} %`,
    `memory ${bytesWords(used)} of ${bytesWords(memory)}`,
    `disk ${bytesWords(full)} of ${bytesWords(disk)}`,
    `up ${durationWords(health.uptime_seconds)}`,
  ].join(", ");
}

function agentWords({ name, state, version, message }: Agent): string {
  const about = [state.toLowerCase(), version, message].filter(Boolean).join(", ");
  return about === "" ? name : `${name} (${about})`;
}

const UNITS = ["B", "KB", "MB", "GB", "TB"];

export function bytesWords(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < UNITS.length - 1; unit += 1) value /= 1_000;
  return `${value.toFixed(unit > 0 && value < 9.95 ? 1 : 0)} ${UNITS[unit]}`;
}

export function durationWords(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

/** A session as it is shown. */
export interface SessionWords extends Words {
  busy: boolean;
  about: string;
  /** Whether there is, or will be, something to attach to. */
  open: boolean;
}

export function sessionWords(session: Session): SessionWords {
  const words = wordsOf(OF_SESSION, session.status);
  const open = session.status !== "ended" && session.status !== "failed";
  const about = [session.agent_type, session.workdir, session.message].filter(Boolean);
  return { ...words, busy: words.tone === "busy", about: about.join(" · "), open };
}

/** What a session's end means for whoever watched it. */
export function endWords(code: number | null): string {
  if (code === null) return "The session has ended.";
  return `The session has ended with exit code ${code}.`;
}

/** A key as it is shown. */
export interface KeyWords extends Words {
  busy: boolean;
  about: string;
}

export function keyWords(key: Key, show: (time: string) => string): KeyWords {
  const words = wordsOf(OF_KEY, key.status);
  const until = key.expires_at === null ? "without end" : `until ${show(key.expires_at)}`;
  const whose = key.type === "support" ? "support's" : "yours";
  const about = [key.fingerprint, whose, until, key.message].filter(Boolean).join(" · ");
  return { ...words, busy: words.tone === "busy", about };
}

/** What can be done about the account at DigitalOcean. */
export interface ConnectionWords {
  text: string;
  can: "connect" | "disconnect" | null;
  busy: boolean;
  /** Whether VPSs can be made. */
  usable: boolean;
}

export function connectionWords({ state, team, message }: Connection): ConnectionWords {
  const usable = state === "connected" || state === "refreshing";
  const busy = UNDER_WAY.has(state);
  const text = usable && team !== null ? `${message} Team: ${team}.` : message;
  return { text, can: usable ? "disconnect" : busy ? null : "connect", busy, usable };
}

/** What a key may last: seconds; null: without end. */
export const LIFETIMES: ReadonlyArray<{ value: string; text: string; seconds: number | null }> = [
  { value: "never", text: "Never", seconds: null },
  { value: "1h", text: "In an hour", seconds: 3_600 },
  { value: "8h", text: "In 8 hours", seconds: 28_800 },
  { value: "1d", text: "In a day", seconds: 86_400 },
  { value: "7d", text: "In a week", seconds: 604_800 },
  { value: "30d", text: "In 30 days", seconds: 2_592_000 },
];

/** Support's keys end within 24 hours by the API's clock, which is not ours. */
export const SUPPORT_LIFETIMES = ["1h", "8h"];

/** When something ends that begins now (ms since the epoch); null: never. */
export function expiryOf(lifetime: string, now: number): string | null {
  const seconds = LIFETIMES.find(({ value }) => value === lifetime)?.seconds ?? null;
  return seconds === null ? null : new Date(now + seconds * 1_000).toISOString();
}
