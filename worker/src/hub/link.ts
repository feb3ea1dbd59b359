import { type Alarm, earlier } from "./alarm.ts";
import { GRACE_MS, HELLO_MS, SILENCE_MS } from "./limits.ts";
import type { Outbox } from "./outbox.ts";
import { CLOSE, end, endOf, type GatewayEnd, gatewayEnd, keep } from "./sockets.ts";

const TAG = "gateway";

/** What is known of the gateway's connection; kept in storage. */
interface State {
  phase: "offline" | "online" | "grace";
  connection: string;
  /** In the grace: when it ends. */
  until: number;
}

const NEVER: State = { phase: "offline", connection: "", until: 0 };

/** The gateway's connection: one at a time, and a while of grace when it goes. */
export class Link {
  constructor(
    private readonly ctx: DurableObjectState,
    private readonly alarm: Alarm,
    private readonly outbox: Outbox,
    private readonly onLost: () => void,
  ) {}

  /** Takes a new connection; an older one ends, because the gateway has given it up. */
  accept(socket: WebSocket, now: number): void {
    const older = this.ctx.getWebSockets(TAG);
    const before = this.#state().phase;
    const connection = crypto.randomUUID();
    this.ctx.acceptWebSocket(socket, [TAG]);
    keep(socket, gatewayEnd(connection, now));
    this.#save({ phase: "online", connection, until: 0 });
    for (const one of older) end(one, CLOSE.replaced, "replaced by a newer connection");
    if (older.length > 0) this.onLost();
    if (before === "offline") this.outbox.add("connected", null, now);
    this.alarm.by(now + HELLO_MS);
  }

  /** The connection that holds; null: there is none. */
  current(): WebSocket | null {
    const { phase, connection } = this.#state();
    if (phase !== "online") return null;
    const sockets = this.ctx.getWebSockets(TAG);
    return sockets.find((one) => isOpen(one) && gatewayOf(one).connection === connection) ?? null;
  }

  /** The connection that holds, once it has said hello. */
  ready(): WebSocket | null {
    const socket = this.current();
    return socket !== null && gatewayOf(socket).greeted ? socket : null;
  }

  /** Whether a socket is the connection that holds, and not one that was replaced. */
  holds(of: GatewayEnd): boolean {
    const { phase, connection } = this.#state();
    return phase === "online" && connection === of.connection;
  }

  /** Notes that a connection is gone. */
  lost(of: GatewayEnd, now: number): void {
    if (this.holds(of)) this.#begin(now);
  }

  #begin(now: number): void {
    const state = { ...this.#state(), phase: "grace", until: now + GRACE_MS } as const;
    this.#save(state);
    this.alarm.by(state.until);
    this.onLost();
  }

  /** Does what is due, and says when the next is. */
  check(now: number): number | null {
    const socket = this.current();
    const { phase, until } = this.#state();
    if (phase === "online") {
      // The object was stopped together with its connections, and nobody told.
      if (socket === null) this.#begin(now);
      else if (this.#deadline(socket) <= now) this.#drop(socket, now);
      else return this.#deadline(socket);
      return this.#state().until;
    }
    if (phase === "offline") return null;
    if (until > now) return until;
    this.#save({ ...this.#state(), phase: "offline" });
    this.outbox.add("disconnected", null, now);
    return null;
  }

  #deadline(socket: WebSocket): number {
    const { greeted, heard, since } = gatewayOf(socket);
    const pinged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    const silent = Math.max(heard, pinged) + SILENCE_MS;
    return greeted ? silent : (earlier(silent, since + HELLO_MS) ?? silent);
  }

  #drop(socket: WebSocket, now: number): void {
    const reason = gatewayOf(socket).greeted ? "silent for too long" : "no hello";
    this.#begin(now);
    end(socket, CLOSE.policy, reason);
  }

  /** Whether there is nothing that has to be remembered of it. */
  isAway(): boolean {
    return this.#state().phase === "offline";
  }

  #state(): State {
    return this.ctx.storage.kv.get<State>("link") ?? NEVER;
  }

  #save(state: State): void {
    this.ctx.storage.kv.put("link", state);
  }
}

function isOpen(socket: WebSocket): boolean {
  return socket.readyState === WebSocket.OPEN;
}

function gatewayOf(socket: WebSocket): GatewayEnd {
  return endOf(socket) as GatewayEnd;
}
