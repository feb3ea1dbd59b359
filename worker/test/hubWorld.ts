import { runDurableObjectAlarm } from "cloudflare:test";
import { vi } from "vitest";
import type { GatewayHub } from "../src/hub/hub.ts";
import type { Message, Type } from "../src/hub/protocol.ts";
import { World } from "./world.ts";

export const TOKEN = "a-gateway-token-of-43-characters-or-so";
export const SIZE = { columns: 80, rows: 24 };

/** What the API was told of a gateway. */
export interface Told {
  sequence: number;
  observed_at: string;
  kind: string;
  message: Record<string, unknown> | null;
}

/** The other end of one of the hub's sockets. */
export class Peer {
  readonly heard: Array<Message | ArrayBuffer> = [];
  closed: { code: number; reason: string } | null = null;

  #changed: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(readonly socket: WebSocket) {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      this.heard.push(typeof data === "string" ? JSON.parse(data) : (data as ArrayBuffer));
      this.#change();
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
      this.#change();
    });
    socket.accept();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** What `find` finds, as soon as it does. */
  async until<T>(what: string, find: () => T | null | undefined): Promise<T> {
    // Not vi.waitFor, which would move the time that stands still.
    const { promise: late, reject } = Promise.withResolvers<never>();
    const seen = () => JSON.stringify([this.heard, this.closed]).slice(0, 2_000);
    const timer = setTimeout(() => reject(new Error(`no ${what}, but ${seen()}`)), PATIENCE_MS);
    try {
      for (;;) {
        const found = find();
        if (found !== null && found !== undefined) return found;
        await Promise.race([this.#changed.promise, late]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  send(message: Message | string | ArrayBuffer): void {
    const raw = typeof message === "string" || message instanceof ArrayBuffer;
    this.socket.send(raw ? message : JSON.stringify(message));
  }

  of<T extends Type>(type: T): Array<Message<T>> {
    return this.heard.filter((one): one is Message<T> => "type" in one && one.type === type);
  }

  frames(): ArrayBuffer[] {
    return this.heard.filter((one): one is ArrayBuffer => one instanceof ArrayBuffer);
  }

  /** The `count`th message of a type, as soon as it is there. */
  async get<T extends Type>(type: T, count = 1): Promise<Message<T>> {
    return this.until(type, () => this.of(type)[count - 1]);
  }

  /** Comes back when the hub has dealt with everything that was sent before. */
  async settle(): Promise<void> {
    const before = this.of("pong").length;
    // With a space in it, it is not answered on the hub's behalf.
    this.send('{"type": "ping"}');
    await this.get("pong", before + 1);
  }

  async end(): Promise<{ code: number; reason: string }> {
    return this.until("end", () => this.closed);
  }
}

const PATIENCE_MS = 3_000;

/** A frame of output. */
export function frame(session: string, sequence: number, payload: Uint8Array): ArrayBuffer {
  const data = new Uint8Array(25 + payload.length);
  const view = new DataView(data.buffer);
  view.setUint8(0, 1);
  const digits = session.replaceAll("-", "").match(/../g) ?? [];
  data.set(
    digits.map((two) => Number.parseInt(two, 16)),
    1,
  );
  view.setBigUint64(17, BigInt(sequence));
  data.set(payload, 25);
  return data.buffer;
}

/** One gateway's hub among neighbours that a test can script, at a time that stands still. */
export class HubWorld {
  readonly gateway = crypto.randomUUID();
  readonly session = crypto.randomUUID();
  readonly told: Told[] = [];
  reports = 0;
  authentication = 204;
  authorization = 200;
  observations = 204;
  /** What a 404 says of itself. */
  notFound = "urn:invoker:problem:no-such-gateway";

  private constructor(readonly world: World) {
    const answer = (request: Request) => this.#api(request);
    world.api = answer;
    world.machine = answer;
  }

  static async make(): Promise<HubWorld> {
    // Far ahead, so that no alarm goes off by itself.
    vi.useFakeTimers({ toFake: ["Date"], now: 1_900_000_000_000 });
    return new HubWorld(await World.make());
  }

  async #api(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (request.method !== "POST") return status(404);
    const body = await request.json<Record<string, unknown>>();
    if (request.headers.get("authorization") !== "Bearer edge-token") return status(403);
    if (pathname === `/hub/gateways/${this.gateway}/authentication`) {
      return this.#status(body.token === TOKEN ? this.authentication : 401);
    }
    if (pathname === `/hub/gateways/${this.gateway}/observations`) return this.#observe(body);
    if (pathname !== "/hub/terminals/authorization") return status(404);
    if (this.authorization !== 200) return status(this.authorization);
    const { gateway, session } = this;
    return Response.json({ gateway, session, viewer: "viewer-1", account: "account-1" });
  }

  #observe({ observations }: Record<string, unknown>): Response {
    this.reports += 1;
    if (this.observations === 204) this.told.push(...(observations as Told[]));
    return this.#status(this.observations);
  }

  #status(code: number): Response {
    if (code !== 404) return status(code);
    return Response.json({ type: this.notFound, title: "Not found" }, { status: code });
  }

  get hub(): DurableObjectStub<GatewayHub> {
    const { GATEWAY_HUB } = this.world.env;
    return GATEWAY_HUB.get(GATEWAY_HUB.idFromName(this.gateway));
  }

  kinds(): string[] {
    return this.told.map(({ kind }) => kind);
  }

  /** Goes ahead in time and lets the alarm go off; whether one was set. */
  async pass(milliseconds: number): Promise<boolean> {
    vi.setSystemTime(Date.now() + milliseconds);
    return runDurableObjectAlarm(this.hub);
  }

  connect(headers: HeadersInit = {}): Promise<Response> {
    return this.world.get("http://localhost:8787/gw/connect", {
      upgrade: "websocket",
      "x-gateway-id": this.gateway,
      authorization: `Bearer ${TOKEN}`,
      ...headers,
    });
  }

  open(headers: HeadersInit = {}, vps = "box", session = "main"): Promise<Response> {
    return this.world.get(`http://localhost:8787/vps/${vps}/terminal?session_id=${session}`, {
      upgrade: "websocket",
      origin: "http://localhost:8787",
      cookie: "session=abc",
      ...headers,
    });
  }

  /** A gateway that has said hello. */
  async start(): Promise<Peer> {
    const peer = peerOf(await this.connect());
    peer.send(this.hello());
    await peer.settle();
    return peer;
  }

  hello(): Message<"gateway.hello"> {
    const sessions = [{ session_id: this.session, sequence: 0 }];
    return { type: "gateway.hello", protocol: 1, version: "1.0.0", sessions };
  }

  /** A viewer that has just come. */
  async view(): Promise<Peer> {
    return peerOf(await this.open());
  }

  /** A viewer that has got its snapshot. */
  async watch(gateway: Peer, sequence = 0): Promise<Peer> {
    const asked = gateway.of("session.snapshot.request").length;
    const viewer = await this.view();
    await gateway.get("session.snapshot.request", asked + 1);
    gateway.send(this.snapshot(sequence));
    await viewer.get("session.snapshot");
    return viewer;
  }

  snapshot(sequence: number, data = "$ "): Message<"session.snapshot"> {
    const id = `hub.snapshot.${this.session}`;
    return { type: "session.snapshot", id, session_id: this.session, sequence, ...SIZE, data };
  }

  /** A frame of the session's output. */
  output(sequence: number, length: number): ArrayBuffer {
    return frame(this.session, sequence, new Uint8Array(length).fill(120));
  }

  ack(sequence: number): Message<"session.ack"> {
    return { type: "session.ack", session_id: this.session, sequence };
  }

  command(body: unknown, headers: HeadersInit = {}, gateway = this.gateway): Promise<Response> {
    return this.world.get(
      `http://localhost:8787/hub/${gateway}/commands`,
      { authorization: "Bearer edge-token", ...headers },
      { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) },
    );
  }

  end(id?: string): { type: string; session_id: string; id?: string } {
    return { type: "session.end", session_id: this.session, ...(id === undefined ? {} : { id }) };
  }
}

export function peerOf(response: Response): Peer {
  if (response.webSocket === null) throw new Error(`no socket, but ${response.status}`);
  return new Peer(response.webSocket);
}

function status(code: number): Response {
  return new Response(null, { status: code });
}
