import { type Allowance, fullAllowance } from "./allowance.ts";
import type { Message, Type } from "./protocol.ts";
import { encode } from "./protocol.ts";

/** Why the hub ends a connection; 4000 and above are ours (RFC 6455, 7.4.2). */
export const CLOSE = {
  done: 1000,
  policy: 1008,
  tooLarge: 1009,
  replaced: 4000,
  idle: 4001,
  expired: 4002,
  unknown: 4004,
} as const;

/** What the hub keeps at a gateway's socket. */
export interface GatewayEnd {
  role: "gateway";
  connection: string;
  since: number;
  heard: number;
  /** Whether it has said hello. */
  greeted: boolean;
  allowance: Allowance;
}

/**
 * What the hub keeps at a viewer's socket.
 *
 * A viewer is `live` while it gets output, `waiting` while it needs a snapshot, `refused` when the
 * gateway has none, and `behind` while it has to draw what it was sent before it gets a new one.
 */
export interface ViewerEnd {
  role: "viewer";
  session: string;
  viewer: string;
  account: string;
  since: number;
  heard: number;
  stage: "waiting" | "refused" | "live" | "behind";
  /** Where in the output it is: what it was sent, and what it has drawn. */
  sent: number;
  acked: number;
  /** What its snapshot counts for in the window until it is drawn, in bytes. */
  owed: number;
  /** When its snapshot was asked for, and when it got its last one. */
  asked: number | null;
  shown: number;
  allowance: Allowance;
}

export type End = GatewayEnd | ViewerEnd;

/** A new gateway's end. */
export function gatewayEnd(connection: string, now: number): GatewayEnd {
  const allowance = fullAllowance(now);
  return { role: "gateway", connection, since: now, heard: now, greeted: false, allowance };
}

/** A new viewer's end. */
export function viewerEnd(
  session: string,
  viewer: string,
  account: string,
  now: number,
): ViewerEnd {
  const place = { sent: 0, acked: 0, owed: 0, asked: null, shown: 0 };
  const allowance = fullAllowance(now);
  return {
    role: "viewer",
    session,
    viewer,
    account,
    since: now,
    heard: now,
    stage: "waiting",
    ...place,
    allowance,
  };
}

/** What is kept at a socket; it outlives hibernation, so it is all that the hub knows of it. */
export function endOf(socket: WebSocket): End {
  return socket.deserializeAttachment() as End;
}

/** Keeps what has changed. */
export function keep(socket: WebSocket, end: End): void {
  socket.serializeAttachment(end);
}

/** Sends a message; false: the connection is gone, and its close is on its way here. */
export function tell<T extends Type>(socket: WebSocket, message: Message<T>): boolean {
  return transmit(socket, encode(message));
}

/** Sends what has been encoded. */
export function transmit(socket: WebSocket, data: string | ArrayBuffer): boolean {
  try {
    socket.send(data);
    return true;
  } catch {
    return false;
  }
}

/** Ends a connection. */
export function end(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // It has ended by itself.
  }
}

/** Answers the other side's close; codes that only a runtime may use become a plain one. */
export function answerClose(socket: WebSocket, code: number): void {
  const usable = code === 1000 || (code >= 3000 && code <= 4999);
  end(socket, usable ? code : CLOSE.done, "");
}
