// Made by `npm run protocol` from protocol/*.json: change those.
import ack from "../../protocol/ack.json";
import agentInstall from "../../protocol/agent.install.json";
import agentInstalled from "../../protocol/agent.installed.json";
import common from "../../protocol/common.json";
import error from "../../protocol/error.json";
import fileContent from "../../protocol/file.content.json";
import fileEntries from "../../protocol/file.entries.json";
import fileList from "../../protocol/file.list.json";
import fileRead from "../../protocol/file.read.json";
import fileRemove from "../../protocol/file.remove.json";
import fileWrite from "../../protocol/file.write.json";
import gatewayHealth from "../../protocol/gateway.health.json";
import gatewayHello from "../../protocol/gateway.hello.json";
import gatewayStatus from "../../protocol/gateway.status.json";
import gatewayUpdate from "../../protocol/gateway.update.json";
import gatewayUpdated from "../../protocol/gateway.updated.json";
import ping from "../../protocol/ping.json";
import pong from "../../protocol/pong.json";
import sessionAck from "../../protocol/session.ack.json";
import sessionCreate from "../../protocol/session.create.json";
import sessionEnd from "../../protocol/session.end.json";
import sessionEnded from "../../protocol/session.ended.json";
import sessionError from "../../protocol/session.error.json";
import sessionInput from "../../protocol/session.input.json";
import sessionResize from "../../protocol/session.resize.json";
import sessionSnapshot from "../../protocol/session.snapshot.json";
import sessionSnapshotRequest from "../../protocol/session.snapshot.request.json";
import sessionStarted from "../../protocol/session.started.json";
import sshAuthorize from "../../protocol/ssh.authorize.json";
import sshKeys from "../../protocol/ssh.keys.json";
import sshList from "../../protocol/ssh.list.json";
import sshRevoke from "../../protocol/ssh.revoke.json";
import type { Messages } from "./messages.ts";
import type { Schema } from "./validator.ts";

/** The protocol's version. */
export const PROTOCOL = 1;

/** Every message's schema by its type. */
export const SCHEMAS = {
  ack: ack,
  "agent.install": agentInstall,
  "agent.installed": agentInstalled,
  error: error,
  "file.content": fileContent,
  "file.entries": fileEntries,
  "file.list": fileList,
  "file.read": fileRead,
  "file.remove": fileRemove,
  "file.write": fileWrite,
  "gateway.health": gatewayHealth,
  "gateway.hello": gatewayHello,
  "gateway.status": gatewayStatus,
  "gateway.update": gatewayUpdate,
  "gateway.updated": gatewayUpdated,
  ping: ping,
  pong: pong,
  "session.ack": sessionAck,
  "session.create": sessionCreate,
  "session.end": sessionEnd,
  "session.ended": sessionEnded,
  "session.error": sessionError,
  "session.input": sessionInput,
  "session.resize": sessionResize,
  "session.snapshot": sessionSnapshot,
  "session.snapshot.request": sessionSnapshotRequest,
  "session.started": sessionStarted,
  "ssh.authorize": sshAuthorize,
  "ssh.keys": sshKeys,
  "ssh.list": sshList,
  "ssh.revoke": sshRevoke,
} satisfies Record<keyof Messages, Schema>;

/** What several messages share. */
export const SHARED: Readonly<Record<string, Schema>> = common.$defs;

export const GATEWAY_SENDS = [
  "gateway.hello",
  "gateway.health",
  "session.started",
  "session.ended",
  "session.error",
  "session.snapshot",
  "ack",
  "ssh.keys",
  "file.entries",
  "file.content",
  "agent.installed",
  "gateway.updated",
  "error",
  "ping",
] as const satisfies ReadonlyArray<keyof Messages>;

export const GATEWAY_HEARS = [
  "session.create",
  "session.end",
  "session.input",
  "session.resize",
  "session.ack",
  "session.snapshot.request",
  "ssh.authorize",
  "ssh.revoke",
  "ssh.list",
  "file.list",
  "file.read",
  "file.write",
  "file.remove",
  "agent.install",
  "gateway.update",
  "error",
  "pong",
] as const satisfies ReadonlyArray<keyof Messages>;

export const VIEWER_SENDS = [
  "session.input",
  "session.resize",
  "session.ack",
  "ping",
] as const satisfies ReadonlyArray<keyof Messages>;

export const VIEWER_HEARS = [
  "gateway.status",
  "gateway.health",
  "gateway.updated",
  "agent.installed",
  "session.started",
  "session.ended",
  "session.error",
  "session.snapshot",
  "error",
  "pong",
] as const satisfies ReadonlyArray<keyof Messages>;

/** Commands, and what answers them when they succeed. */
export const ANSWERS = {
  "session.create": "ack",
  "session.end": "ack",
  "session.snapshot.request": "session.snapshot",
  "ssh.authorize": "ack",
  "ssh.revoke": "ack",
  "ssh.list": "ssh.keys",
  "file.list": "file.entries",
  "file.read": "file.content",
  "file.write": "ack",
  "file.remove": "ack",
  "agent.install": "ack",
  "gateway.update": "ack",
} as const satisfies Partial<Record<keyof Messages, keyof Messages>>;
