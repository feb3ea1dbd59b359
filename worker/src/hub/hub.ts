import { DurableObject } from "cloudflare:workers";
import type { Env } from "../env.ts";
import { Alarm, earlier } from "./alarm.ts";
import { fault, take } from "./allowance.ts";
import { FRAME_SIZE, readFrame } from "./frames.ts";
import { GATEWAY_RATE, GATEWAY_TEXT, VIEWER_RATE, VIEWER_TEXT } from "./limits.ts";
import { Link } from "./link.ts";
import { type Observed, Outbox } from "./outbox.ts";
import { type Message, Misunderstood, parse } from "./protocol.ts";
import { type Order, Relay, type Verdict } from "./relay.ts";
import { GATEWAY_SENDS, PROTOCOL, VIEWER_SENDS } from "./schemas.ts";
import {
  answerClose,
  CLOSE,
  type End,
  end,
  endOf,
  type GatewayEnd,
  keep,
  tell,
  type ViewerEnd,
} from "./sockets.ts";
import { Viewers, type Visitor } from "./viewers.ts";

type FromGateway = Message<(typeof GATEWAY_SENDS)[number]>;
type FromViewer = Message<(typeof VIEWER_SENDS)[number]>;

const PING = JSON.stringify({ type: "ping" });
const PONG = JSON.stringify({ type: "pong" });

/**
 * One gateway's hub: its connection, the browsers that watch its sessions, and commands to it.
 *
 * It may be evicted between any two events. What it has to know afterwards is kept at the sockets
 * and in storage; what is in memory only are callers that wait, who are gone with it.
 */
export class GatewayHub extends DurableObject<Env> {
  readonly #alarm: Alarm;
  readonly #outbox: Outbox;
  readonly #link: Link;
  readonly #viewers: Viewers;
  readonly #relay: Relay;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#alarm = new Alarm(ctx.storage);
    this.#outbox = new Outbox(ctx.storage, env, this.#alarm);
    this.#link = new Link(ctx, this.#alarm, this.#outbox, () => this.#gatewayLost());
    this.#viewers = new Viewers(ctx, this.#alarm, this.#link);
    this.#relay = new Relay(ctx.storage, this.#link, this.#alarm);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      // It may have been stopped together with its connections, and nobody told.
      this.#alarm.by(this.#link.check(Date.now()));
    });
  }

  /** Takes a connection that the Worker has authorised: a gateway's, or a viewer's. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const now = Date.now();
    this.ctx.storage.kv.put("gateway", url.searchParams.get("gateway"));
    const { 0: client, 1: server } = new WebSocketPair();
    if (url.pathname === "/gateway") {
      this.#link.accept(server, now);
    } else {
      const visitor = visitorOf(url);
      if (!this.#viewers.hasRoom(visitor.session)) return new Response(null, { status: 429 });
      this.#viewers.accept(server, visitor, now);
    }
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Sends a command to the gateway and waits for its answer. */
  async command(order: Order): Promise<Verdict> {
    return this.#relay.run(order, Date.now());
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    const now = Date.now();
    const from = endOf(socket);
    if (from.role === "gateway" && !this.#link.holds(from)) return;
    if (socket.readyState !== WebSocket.OPEN) return;
    if (isTooLarge(from, data)) this.#drop(socket, CLOSE.tooLarge, "message too large");
    else this.#hear(socket, from, data, now);
  }

  #hear(socket: WebSocket, from: End, data: string | ArrayBuffer, now: number): void {
    const rate = from.role === "gateway" ? GATEWAY_RATE : VIEWER_RATE;
    from.heard = now;
    // Output is bounded by acks, and not counted.
    const size = typeof data === "string" ? data.length : 0;
    const allowed = typeof data !== "string" || take(from.allowance, rate, size, now);
    keep(socket, from);
    try {
      if (!allowed) throw new Refused("rate-limited", "Too many messages: send fewer a second.");
      if (from.role === "viewer") this.#hearViewer(socket, from, data, now);
      else this.#hearGateway(socket, data, now);
    } catch (error) {
      this.#complain(socket, error, now);
    }
  }

  #hearViewer(socket: WebSocket, from: ViewerEnd, data: string | ArrayBuffer, now: number): void {
    if (typeof data !== "string") throw new Refused("malformed", "Viewers send text only.");
    const message = parse(data, VIEWER_SENDS);
    if (message.type === "ping") tell(socket, { type: "pong" });
    else if (message.session_id !== from.session) {
      throw new Refused("wrong-session", "This connection is for another session.", message.type);
    } else if (message.type === "session.ack") this.#viewers.ack(socket, message, now);
    else this.#pass(socket, message, now);
  }

  #pass(
    socket: WebSocket,
    message: Exclude<FromViewer, { type: "ping" | "session.ack" }>,
    now: number,
  ): void {
    const gateway = this.#link.ready();
    if (gateway !== null && tell(gateway, message)) {
      if (message.type === "session.resize") {
        this.#viewers.resized(socket, message.session_id, now);
      }
      return;
    }
    const error = { code: "gateway-offline", message: "The gateway is not connected." };
    tell(socket, { type: "error", error, about: message.type });
  }

  #hearGateway(socket: WebSocket, data: string | ArrayBuffer, now: number): void {
    if (typeof data !== "string") {
      this.#output(data, now);
      return;
    }
    const message = parse(data, GATEWAY_SENDS);
    if (message.type === "ping") tell(socket, { type: "pong" });
    else if (message.type === "gateway.hello") this.#greet(socket, message, now);
    else if ((endOf(socket) as GatewayEnd).greeted) this.#handle(message, now);
    else throw new Refused("no-hello", "gateway.hello comes first.", message.type);
  }

  #output(data: ArrayBuffer, now: number): void {
    const frame = readFrame(data);
    if (frame === null) throw new Refused("malformed", "The frame is none of version 1.");
    this.#viewers.output(frame, data, now);
  }

  #greet(socket: WebSocket, message: Message<"gateway.hello">, now: number): void {
    // Each has everything in the VPS looked at again.
    if ((endOf(socket) as GatewayEnd).greeted) {
      throw new Refused("malformed", "gateway.hello comes once.", message.type);
    }
    if (message.protocol !== PROTOCOL) {
      this.#drop(socket, CLOSE.policy, `the hub speaks version ${PROTOCOL}`);
      return;
    }
    keep(socket, { ...(endOf(socket) as GatewayEnd), greeted: true });
    this.#observe(message, now);
    this.#viewers.announce({ type: "gateway.status", connected: true });
    this.#viewers.restart(null, now);
  }

  #handle(message: Exclude<FromGateway, { type: "ping" | "gateway.hello" }>, now: number): void {
    switch (message.type) {
      case "gateway.health":
      case "gateway.updated":
      case "agent.installed":
        this.#observe(message, now);
        this.#viewers.announce(message);
        break;
      case "session.started":
      case "session.ended":
      case "session.error":
        this.#handleSession(message, now);
        break;
      case "session.snapshot":
        this.#viewers.snapshot(message, now);
        this.#relay.answer(message);
        break;
      case "error":
        // It did not understand the hub: nothing to be done here, but something to be known.
        console.warn("gateway complains", message.error.code, message.about ?? "");
        break;
      case "ack":
        if (!this.#viewers.refuse(message)) this.#relay.answer(message);
        break;
      default:
        this.#relay.answer(message);
    }
  }

  #handleSession(
    message: Message<"session.started" | "session.ended" | "session.error">,
    now: number,
  ): void {
    this.#observe(message, now);
    const { session_id: session } = message;
    this.#viewers.announce(message, session);
    if (message.type === "session.started") this.#viewers.restart(session, now);
    if (message.type === "session.ended") {
      this.#viewers.dismiss(session, CLOSE.done, "the session has ended");
    }
  }

  #observe(message: Observed, now: number): void {
    if (this.#outbox.add(message.type, message, now)) return;
    throw new Refused("overloaded", "Too much is waiting to be reported.", message.type);
  }

  #gatewayLost(): void {
    this.#relay.lose();
    this.#viewers.announce({ type: "gateway.status", connected: false });
  }

  /** Tells the sender what was wrong; whoever is wrong too often is not worth the answers. */
  #complain(socket: WebSocket, error: unknown, now: number): void {
    const known = error instanceof Misunderstood || error instanceof Refused;
    if (!known) console.error("hub failed on a message", String(error));
    const code = known ? error.code : "failed";
    const message = known ? error.message : "The hub failed on this message.";
    const about = known && error.about !== null ? { about: error.about } : {};
    tell(socket, { type: "error", error: { code, message: message.slice(0, 1000) }, ...about });
    const from = endOf(socket);
    const tooOften = fault(from.allowance, now);
    keep(socket, from);
    if (tooOften) this.#drop(socket, CLOSE.policy, "too many wrong messages");
  }

  #drop(socket: WebSocket, code: number, reason: string): void {
    end(socket, code, reason);
    this.#gone(socket);
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    answerClose(socket, code);
    this.#gone(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#gone(socket);
  }

  #gone(socket: WebSocket): void {
    const from = endOf(socket);
    if (from.role === "gateway") this.#link.lost(from, Date.now());
  }

  override async alarm(): Promise<void> {
    this.#alarm.fired();
    const now = Date.now();
    const checks = [this.#link.check(now), this.#viewers.check(now), this.#relay.check(now)];
    // Before the report, which may take a while: the grace does not wait for the API.
    this.#alarm.by(checks.reduce(earlier, null));
    const gateway = this.ctx.storage.kv.get<string>("gateway");
    if (gateway === undefined) return;
    const result = await this.#outbox.flush(gateway, now);
    if (result === "unknown") await this.#forget("the gateway is not known");
    else if (this.#isQuiet()) await this.ctx.storage.deleteAll();
    else this.#alarm.by(this.#outbox.due());
  }

  #isQuiet(): boolean {
    const idle = this.#outbox.due() === null && this.#relay.check(Date.now()) === null;
    return idle && this.#link.isAway() && this.#viewers.isEmpty();
  }

  /** The VPS is no more: nobody is to be connected to it, and nothing to be kept of it. */
  async #forget(reason: string): Promise<void> {
    const gateway = this.#link.current();
    if (gateway !== null) end(gateway, CLOSE.unknown, reason);
    this.#viewers.dismiss(null, CLOSE.unknown, reason);
    this.#relay.lose();
    this.#alarm.fired();
    await Promise.all([this.ctx.storage.deleteAlarm(), this.ctx.storage.deleteAll()]);
  }
}

/** A message that was understood and is not allowed. */
class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly about: string | null = null,
  ) {
    super(message);
  }
}

function isTooLarge({ role }: End, data: string | ArrayBuffer): boolean {
  if (typeof data !== "string") return data.byteLength > FRAME_SIZE;
  return data.length > (role === "gateway" ? GATEWAY_TEXT : VIEWER_TEXT);
}

function visitorOf({ searchParams: found }: URL): Visitor {
  const [session, viewer, account] = ["session", "viewer", "account"].map((name) =>
    found.get(name),
  );
  if (session == null || viewer == null || account == null) throw new Error("no visitor");
  return { session, viewer, account };
}
