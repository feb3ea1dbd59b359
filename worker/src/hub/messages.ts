// Made by `npm run protocol` from protocol/*.json: change those.

/** A command was done, or not. Where the command has an answer of its own, ok only says that it was taken on. */
export interface AckMessage {
  type: "ack";
  id: string;
  ok: boolean;
  error?: {
    code: string;
    message: string;
  };
}

/** Command: install a coding agent. The ack says that it was taken on; agent.installed, how it went. */
export interface AgentInstallMessage {
  type: "agent.install";
  id: string;
  agent: string;
  version?: string;
}

/** How the installation of an agent went. */
export interface AgentInstalledMessage {
  type: "agent.installed";
  agent: string;
  ok: boolean;
  version?: string;
  error?: {
    code: string;
    message: string;
  };
}

/** A message was not understood or not allowed. */
export interface ErrorMessage {
  type: "error";
  error: {
    code: string;
    message: string;
  };
  about?: string;
}

/** A piece of a file, from the offset on. */
export interface FileContentMessage {
  type: "file.content";
  id: string;
  path: string;
  offset: number;
  size_bytes: number;
  data: string;
}

/** What is in a folder; the first 1,000 by name. */
export interface FileEntriesMessage {
  type: "file.entries";
  id: string;
  path: string;
  entries: Array<{
    name: string;
    kind: "file" | "folder" | "link" | "other";
    size_bytes: number;
    modified_at: string;
  }>;
  complete: boolean;
}

/** Command: say what is in a folder. */
export interface FileListMessage {
  type: "file.list";
  id: string;
  path: string;
}

/** Command: say a piece of a file. */
export interface FileReadMessage {
  type: "file.read";
  id: string;
  path: string;
  offset: number;
  length: number;
}

/** Command: remove a file. One that is not there is removed. */
export interface FileRemoveMessage {
  type: "file.remove";
  id: string;
  path: string;
}

/** Command: write a piece of a file. The pieces wait beside the file; the last one replaces it. */
export interface FileWriteMessage {
  type: "file.write";
  id: string;
  path: string;
  offset: number;
  data: string;
  last: boolean;
}

/** How the machine is; sent every 30 s. */
export interface GatewayHealthMessage {
  type: "gateway.health";
  cpu_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  disk_used_bytes: number;
  disk_total_bytes: number;
  uptime_seconds: number;
}

/** The first message of a connection: what speaks, and which sessions it has. */
export interface GatewayHelloMessage {
  type: "gateway.hello";
  protocol: number;
  version: string;
  sessions: Array<{
    session_id: string;
    sequence: number;
  }>;
}

/** Whether the gateway is connected, told to viewers. */
export interface GatewayStatusMessage {
  type: "gateway.status";
  connected: boolean;
}

/** Command: replace the gateway's program and start it anew. */
export interface GatewayUpdateMessage {
  type: "gateway.update";
  id: string;
  version: string;
  url: string;
  sha256: string;
}

/** The gateway runs another version. */
export interface GatewayUpdatedMessage {
  type: "gateway.updated";
  version: string;
  previous_version: string;
}

/** Keeps a connection from being idle. Written exactly like this, it wakes nobody. */
export interface PingMessage {
  type: "ping";
}

/** The answer to a ping. */
export interface PongMessage {
  type: "pong";
}

/** Everything before the sequence has been shown. */
export interface SessionAckMessage {
  type: "session.ack";
  session_id: string;
  sequence: number;
}

/** Command: start a session. One that is there already is left as it is. */
export interface SessionCreateMessage {
  type: "session.create";
  id: string;
  session_id: string;
  title: string;
  agent_type: string;
  workdir: string;
  columns?: number;
  rows?: number;
}

/** Command: end a session. One that is not there is ended. */
export interface SessionEndMessage {
  type: "session.end";
  id: string;
  session_id: string;
}

/** A session has ended. */
export interface SessionEndedMessage {
  type: "session.ended";
  session_id: string;
  reason: "exited" | "ended" | "lost";
  exit_code: number | null;
}

/** Something about a session went wrong. */
export interface SessionErrorMessage {
  type: "session.error";
  session_id: string;
  error: {
    code: string;
    message: string;
  };
}

/** What was typed. */
export interface SessionInputMessage {
  type: "session.input";
  session_id: string;
  data: string;
  encoding?: "utf-8" | "base64";
}

/** The terminal's new size; the last one holds. */
export interface SessionResizeMessage {
  type: "session.resize";
  session_id: string;
  columns: number;
  rows: number;
}

/** What a session's terminal shows after the output before the sequence: text with escape sequences that draws it on an empty terminal. */
export interface SessionSnapshotMessage {
  type: "session.snapshot";
  id: string;
  session_id: string;
  sequence: number;
  columns: number;
  rows: number;
  data: string;
}

/** Command: say what a session's terminal shows. */
export interface SessionSnapshotRequestMessage {
  type: "session.snapshot.request";
  id: string;
  session_id: string;
}

/** A session runs; its output begins at the sequence. */
export interface SessionStartedMessage {
  type: "session.started";
  session_id: string;
  sequence: number;
  columns: number;
  rows: number;
}

/** Command: let a key in. A known fingerprint gets the new label and end. */
export interface SshAuthorizeMessage {
  type: "ssh.authorize";
  id: string;
  fingerprint: string;
  public_key: string;
  label: string;
  expires_at: string | null;
}

/** The keys that are let in. */
export interface SshKeysMessage {
  type: "ssh.keys";
  id: string;
  keys: Array<{
    fingerprint: string;
    label: string;
    expires_at: string | null;
  }>;
}

/** Command: say which keys are let in. */
export interface SshListMessage {
  type: "ssh.list";
  id: string;
}

/** Command: let a key in no longer. One that is not there is revoked. */
export interface SshRevokeMessage {
  type: "ssh.revoke";
  id: string;
  fingerprint: string;
}

/** Every message by its type. */
export interface Messages {
  ack: AckMessage;
  "agent.install": AgentInstallMessage;
  "agent.installed": AgentInstalledMessage;
  error: ErrorMessage;
  "file.content": FileContentMessage;
  "file.entries": FileEntriesMessage;
  "file.list": FileListMessage;
  "file.read": FileReadMessage;
  "file.remove": FileRemoveMessage;
  "file.write": FileWriteMessage;
  "gateway.health": GatewayHealthMessage;
  "gateway.hello": GatewayHelloMessage;
  "gateway.status": GatewayStatusMessage;
  "gateway.update": GatewayUpdateMessage;
  "gateway.updated": GatewayUpdatedMessage;
  ping: PingMessage;
  pong: PongMessage;
  "session.ack": SessionAckMessage;
  "session.create": SessionCreateMessage;
  "session.end": SessionEndMessage;
  "session.ended": SessionEndedMessage;
  "session.error": SessionErrorMessage;
  "session.input": SessionInputMessage;
  "session.resize": SessionResizeMessage;
  "session.snapshot": SessionSnapshotMessage;
  "session.snapshot.request": SessionSnapshotRequestMessage;
  "session.started": SessionStartedMessage;
  "ssh.authorize": SshAuthorizeMessage;
  "ssh.keys": SshKeysMessage;
  "ssh.list": SshListMessage;
  "ssh.revoke": SshRevokeMessage;
}
