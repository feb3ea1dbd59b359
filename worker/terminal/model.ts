/** What the API tells of a VPS. */
export interface Vps {
  vps_id: string;
  name: string;
  status: string;
  message: string;
  remedy: string | null;
  region: string;
  size: string;
  image: string;
  ipv4: string | null;
  power: "on" | "off";
  created_at: string;
  monthly_usd: number | null;
  gateway: { connected: boolean; version: string | null; last_seen_at: string | null };
  health: Health | null;
  agents: Agent[];
}

export interface Health {
  cpu_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  disk_used_bytes: number;
  disk_total_bytes: number;
  uptime_seconds: number;
  at: string;
}

export interface Agent {
  name: string;
  state: string;
  version: string | null;
  message: string;
}

/** What the API tells of a terminal session. */
export interface Session {
  session_id: string;
  name: string;
  vps_id: string;
  title: string;
  agent_type: string;
  workdir: string;
  status: string;
  message: string;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  exit_code: number | null;
}

/** What the API tells of an SSH key. */
export interface Key {
  key_id: string;
  name: string;
  vps_id: string;
  fingerprint: string;
  label: string;
  type: string;
  expires_at: string | null;
  status: string;
  message: string;
}

/** What the API tells of the account at DigitalOcean. */
export interface Connection {
  state: string;
  team: string | null;
  message: string;
}
