import { type Alarm, earlier } from "./alarm.ts";
import { refund } from "./allowance.ts";
import type { Frame } from "./frames.ts";
import {
  ACK_FREE,
  ACK_STEP,
  IDLE_MS,
  SNAPSHOT_EVERY_MS,
  SNAPSHOT_MS,
  VIEW_MS,
  VIEWER_LEFT,
  VIEWER_WINDOW,
  VIEWERS,
  VIEWERS_OF_SESSION,
} from "./limits.ts";
import type { Link } from "./link.ts";
import { encode, type Message } from "./protocol.ts";
import { CLOSE, end, endOf, keep, tell, transmit, type ViewerEnd, viewerEnd } from "./sockets.ts";

/** Marks the snapshots that the hub asks for; a caller's command may not begin like this. */
export const OWN = "hub.";
const SNAPSHOT = `${OWN}snapshot.`;
const TAG = "viewer";

/** Whom a viewer's socket is for. */
export interface Visitor {
  session: string;
  viewer: string;
  account: string;
}

/**
 * The browsers that watch sessions.
 *
 * What a socket has not sent yet cannot be asked for, so each viewer says how far it has drawn.
 * One that is a window behind gets nothing more until it has drawn nearly all of it, and then a
 * snapshot instead of what it missed: memory is bounded, and no viewer waits for another.
 */
export class Viewers {
  /** How far the gateway knows that sessions were drawn; what is forgotten is told again. */
  readonly #told = new Map<string, number>();

  constructor(
    private readonly ctx: DurableObjectState,
    private readonly alarm: Alarm,
    private readonly link: Link,
  ) {}

  /** Whether another viewer of a session fits. */
  hasRoom(session: string): boolean {
    return this.#all().length < VIEWERS && this.#of(session).length < VIEWERS_OF_SESSION;
  }

  /** Takes a new viewer; it gets a snapshot, then output. */
  accept(socket: WebSocket, { session, viewer, account }: Visitor, now: number): void {
    this.ctx.acceptWebSocket(socket, [TAG, session]);
    keep(socket, viewerEnd(session, viewer, account, now));
    tell(socket, { type: "gateway.status", connected: this.link.ready() !== null });
    this.#ask(session, now);
    this.alarm.by(now + IDLE_MS);
  }

  /** Whether nobody watches. */
  isEmpty(): boolean {
    return this.#all().length === 0;
  }

  /** Sends output to the viewers that can take it. */
  output(frame: Frame, data: ArrayBuffer, now: number): void {
    let gap = false;
    for (const socket of this.#of(frame.session)) {
      gap = offer(socket, frame, data) === "gap" || gap;
    }
    if (gap) this.#ask(frame.session, now);
  }

  /** Sends a snapshot to the viewers that wait for one. */
  snapshot(message: Message<"session.snapshot">, now: number): void {
    const text = encode(message);
    for (const socket of this.#of(message.session_id)) {
      const viewer = viewerOf(socket);
      if (viewer.stage !== "waiting" && viewer.stage !== "refused") continue;
      const { sequence } = message;
      // Not all of it, or a large one would use the window up.
      const owed = Math.min(message.data.length, VIEWER_WINDOW / 2);
      const place = { sent: sequence, acked: sequence, owed, asked: null, shown: now };
      keep(socket, { ...viewer, stage: "live", ...place });
      transmit(socket, text);
    }
  }

  /** A viewer gives its session another size: all others need a picture of it. */
  resized(by: WebSocket, session: string, now: number): void {
    for (const socket of this.#of(session)) {
      const viewer = viewerOf(socket);
      if (socket === by || viewer.stage !== "live") continue;
      keep(socket, { ...viewer, stage: "waiting", asked: null });
    }
    this.#ask(session, now);
  }

  /** The gateway's word that it has no snapshot; true: it was about one. */
  refuse({ id, ok, error }: Message<"ack">): boolean {
    if (ok || !id.startsWith(SNAPSHOT)) return false;
    for (const socket of this.#of(id.slice(SNAPSHOT.length))) {
      const viewer = viewerOf(socket);
      if (viewer.stage !== "waiting") continue;
      keep(socket, { ...viewer, stage: "refused" });
      const problem = error ?? { code: "no-snapshot", message: "The gateway has no snapshot." };
      tell(socket, { type: "error", error: problem, about: "session.snapshot" });
    }
    return true;
  }

  /** Notes how far a viewer has drawn. */
  ack(socket: WebSocket, { sequence }: Message<"session.ack">, now: number): void {
    const viewer = viewerOf(socket);
    if (viewer.stage !== "live" && viewer.stage !== "behind") return;
    // One from before the snapshot is late; after a gateway's restart it can be of another output.
    if (sequence < viewer.acked || sequence > viewer.sent) return;
    if (sequence - viewer.acked >= ACK_FREE) refund(viewer.allowance);
    viewer.acked = sequence;
    viewer.owed = 0;
    const caughtUp = viewer.stage === "behind" && viewer.sent - sequence <= VIEWER_LEFT;
    if (caughtUp) viewer.stage = "waiting";
    keep(socket, viewer);
    if (caughtUp) this.#ask(viewer.session, now);
    this.#pass(viewer.session, sequence);
  }

  /** The gateway need not know of every viewer: it goes on as far as the fastest has drawn. */
  #pass(session: string, sequence: number): void {
    const told = this.#told.get(session);
    if (told !== undefined && sequence < told + ACK_STEP) return;
    const gateway = this.link.ready();
    if (gateway === null) return;
    if (tell(gateway, { type: "session.ack", session_id: session, sequence })) {
      this.#told.set(session, sequence);
    }
  }

  /** Sends a message to the viewers of one session, or of all. */
  announce(message: Message, session: string | null = null): void {
    const text = encode(message);
    for (const socket of session === null ? this.#all() : this.#of(session)) transmit(socket, text);
  }

  /** The gateway is there, or a session began anew: everybody needs a new picture. */
  restart(session: string | null, now: number): void {
    const sockets = session === null ? this.#all() : this.#of(session);
    for (const socket of sockets) {
      keep(socket, { ...viewerOf(socket), stage: "waiting", asked: null });
    }
    if (session === null) this.#told.clear();
    else this.#told.delete(session);
    const sessions = new Set(sockets.map((socket) => viewerOf(socket).session));
    for (const one of sessions) this.#ask(one, now);
  }

  /** Ends a session's viewers, or all. */
  dismiss(session: string | null, code: number, reason: string): void {
    for (const socket of session === null ? this.#all() : this.#of(session)) {
      end(socket, code, reason);
    }
    if (session !== null) this.#told.delete(session);
  }

  /** Ends viewers that are silent, asks again for snapshots; says when the next is due. */
  check(now: number): number | null {
    let next: number | null = null;
    for (const socket of this.#all()) {
      const silent = this.#heard(socket) + IDLE_MS;
      const expired = viewerOf(socket).since + VIEW_MS;
      if (expired <= now) end(socket, CLOSE.expired, "show anew who you are");
      else if (silent <= now) end(socket, CLOSE.idle, "silent for too long");
      else next = earlier(next, Math.min(silent, expired));
    }
    for (const session of new Set(this.#all().map((socket) => viewerOf(socket).session))) {
      next = earlier(next, this.#ask(session, now));
    }
    return next;
  }

  #heard(socket: WebSocket): number {
    const pinged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(viewerOf(socket).heard, pinged);
  }

  /** Asks for a snapshot if a viewer needs one by now; says when the next has to be asked for. */
  #ask(session: string, now: number): number | null {
    const gateway = this.link.ready();
    const waiting = this.#of(session).filter((socket) => viewerOf(socket).stage === "waiting");
    // Once the gateway says hello, everything is asked for.
    if (gateway === null || waiting.length === 0) return null;
    const underway = waiting.some((socket) => isUnderway(viewerOf(socket), now));
    const due = firstDue(waiting);
    if (!underway && due > now) {
      this.alarm.by(due);
      return due;
    }
    // One that is on its way comes after they did, so it is good for all of them.
    if (!underway) {
      const id = SNAPSHOT + session;
      tell(gateway, { type: "session.snapshot.request", id, session_id: session });
    }
    for (const socket of waiting) {
      const viewer = viewerOf(socket);
      if (!isUnderway(viewer, now)) keep(socket, { ...viewer, asked: now });
    }
    const again = firstDue(waiting);
    this.alarm.by(again);
    return again;
  }

  #all(): WebSocket[] {
    return this.#open(TAG);
  }

  #of(session: string): WebSocket[] {
    return this.#open(session);
  }

  #open(tag: string): WebSocket[] {
    return this.ctx.getWebSockets(tag).filter((one) => one.readyState === WebSocket.OPEN);
  }
}

function viewerOf(socket: WebSocket): ViewerEnd {
  return endOf(socket) as ViewerEnd;
}

function dueOf({ asked, shown }: ViewerEnd): number {
  return asked === null ? shown + SNAPSHOT_EVERY_MS : asked + SNAPSHOT_MS;
}

function firstDue(sockets: WebSocket[]): number {
  return Math.min(...sockets.map((socket) => dueOf(viewerOf(socket))));
}

function isUnderway({ asked }: ViewerEnd, now: number): boolean {
  return asked !== null && now < asked + SNAPSHOT_MS;
}

/** Sends a frame to a viewer that is due for it and has room; "gap": it has missed something. */
function offer(socket: WebSocket, frame: Frame, data: ArrayBuffer): "gap" | null {
  const viewer = viewerOf(socket);
  if (viewer.stage !== "live") return null;
  const until = frame.sequence + frame.length;
  // Its snapshot shows that already.
  if (until <= viewer.sent) return null;
  if (frame.sequence !== viewer.sent) {
    keep(socket, { ...viewer, stage: "waiting", asked: null });
    return "gap";
  }
  const full = until - viewer.acked + viewer.owed > VIEWER_WINDOW;
  keep(socket, full ? { ...viewer, stage: "behind" } : { ...viewer, sent: until });
  if (!full) transmit(socket, data);
  return null;
}
