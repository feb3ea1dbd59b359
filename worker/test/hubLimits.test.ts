import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../src/hub/protocol.ts";
import { HubWorld, type Peer, peerOf } from "./hubWorld.ts";

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
});

const TOO_LARGE = { code: 1009, reason: "message too large" };
const TOO_WRONG = { code: 1008, reason: "too many wrong messages" };

function input(data: string): Message<"session.input"> {
  return { type: "session.input", session_id: hub.session, data };
}

function codes(peer: Peer): string[] {
  return peer.of("error").map(({ error }) => error.code);
}

/** Sends wrong messages until the hub has had enough of them. */
async function provoke(peer: Peer, message: string | ArrayBuffer): Promise<unknown> {
  for (let n = 0; n < 10; n += 1) peer.send(message);
  return peer.end();
}

describe("too large ends the connection", () => {
  test.each([
    ["a text", () => "x".repeat(1_048_577)],
    ["a frame", () => hub.output(0, 65_537)],
  ])("%s of a gateway's", async (_, message) => {
    const gateway = await hub.start();
    gateway.send(message());

    expect(await gateway.end()).toEqual(TOO_LARGE);
  });

  test("a text of a viewer's, with no harm to the gateway", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    viewer.send("x".repeat(65_537));
    const end = await viewer.end();
    await gateway.settle();

    expect(end).toEqual(TOO_LARGE);
    expect(gateway.closed).toBeNull();
  });

  test("but the largest that is allowed does not", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    gateway.send(hub.output(0, 65_536));
    await gateway.settle();
    await viewer.settle();

    expect(viewer.frames().length).toBe(1);
  });
});

describe("wrong messages", () => {
  test("are told to the sender, and the tenth within a minute ends its connection", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    const end = await provoke(viewer, "no JSON");

    expect(end).toEqual(TOO_WRONG);
    expect(codes(viewer)).toEqual(Array(10).fill("malformed"));
    expect(codes(gateway)).toEqual([]);
  });

  test("are forgotten after a minute", async () => {
    const gateway = await hub.start();
    for (let n = 0; n < 30; n += 1) {
      gateway.send("no JSON");
      if (n % 9 === 8) {
        await gateway.settle();
        vi.setSystemTime(Date.now() + 60_000);
      }
    }
    await gateway.settle();

    expect(gateway.closed).toBeNull();
    expect(codes(gateway).length).toBe(30);
  });

  test("of a gateway's end its connection, and begin its grace", async () => {
    const gateway = await hub.start();
    const end = await provoke(gateway, new ArrayBuffer(30));
    const again = await hub.start();
    await again.settle();

    expect(end).toEqual(TOO_WRONG);
    expect(again.closed).toBeNull();
  });

  test("are frames of a viewer's, and messages that only a gateway may send", async () => {
    const viewer = await hub.watch(await hub.start());
    viewer.send(hub.output(0, 5));
    viewer.send(hub.hello());
    await viewer.settle();

    expect(codes(viewer)).toEqual(["malformed", "unknown-type"]);
  });
});

describe("more than the rate", () => {
  test("is dropped and told, and too much more ends the connection", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    for (let n = 0; n < 420; n += 1) viewer.send(input("x"));
    const end = await viewer.end();
    await gateway.settle();

    expect(end).toEqual(TOO_WRONG);
    expect(codes(viewer)).toEqual(Array(10).fill("rate-limited"));
    expect(gateway.of("session.input").length).toBe(400);
  });

  test("comes back with time", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    for (let n = 0; n < 400; n += 1) viewer.send(input("x"));
    await gateway.get("session.input", 400);
    vi.setSystemTime(Date.now() + 1_000);
    for (let n = 0; n < 100; n += 1) viewer.send(input("y"));
    await gateway.get("session.input", 500);

    expect(codes(viewer)).toEqual([]);
  });

  test("does not count acks of what the gateway sends", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    const size = 16_384;
    for (let n = 0; n < 450; n += 1) {
      gateway.send(hub.output(n * size, size));
      await gateway.settle();
      viewer.send(hub.ack((n + 1) * size));
    }
    await viewer.settle();

    expect([codes(viewer), viewer.frames().length]).toEqual([[], 450]);
  });

  test("counts characters, too", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    for (let n = 0; n < 66; n += 1) viewer.send(input("x".repeat(16_384)));
    await viewer.settle();
    await gateway.settle();

    expect(gateway.of("session.input").length).toBe(63);
    expect(codes(viewer)).toEqual(Array(3).fill("rate-limited"));
  });
});

/** Numbers that look random and are the same each time (mulberry32). */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** A good message with something wrong, or good, about it. */
function mangled(
  pick: (below: number) => number,
  good: string | ArrayBuffer,
): string | ArrayBuffer {
  if (typeof good !== "string") {
    const bytes = new Uint8Array(good.slice(0, pick(good.byteLength + 1)));
    for (let n = pick(4); n > 0 && bytes.length > 0; n -= 1) bytes[pick(bytes.length)] = pick(256);
    return bytes.buffer;
  }
  const at = pick(good.length);
  const junk = String.fromCharCode(pick(0xffff));
  return [
    () => good.slice(0, at),
    () => good.slice(0, at) + junk + good.slice(at + 1),
    () => good.replace(/"[^"]*"(?=[,}])/, String(pick(1000))),
    () => good.replace(/\d+/, `-${pick(1000)}.5`),
    () => `${"[".repeat(pick(5_000))}${good}`,
  ][pick(5)]?.() as string;
}

describe.each([1, 2, 3, 4])("arbitrary messages, seed %d", (seed) => {
  test("break neither the hub nor the others' connections", async () => {
    const pick = randomness(seed);
    const gateway = await hub.start();
    const witness = await hub.watch(gateway);
    const error = { code: "x", message: "y" };
    const good = [
      JSON.stringify(hub.hello()),
      JSON.stringify(hub.snapshot(5)),
      JSON.stringify(hub.ack(3)),
      JSON.stringify({ type: "session.error", session_id: hub.session, error }),
      JSON.stringify({ type: "ack", id: "c-1", ok: true }),
      hub.output(0, 40),
    ];
    for (let n = 0; n < 40; n += 1) {
      const message = mangled(pick, good[pick(good.length)] ?? "");
      const isViewer = pick(2) === 0;
      const stranger = isViewer ? await hub.view() : peerOf(await hub.connect());
      if (!isViewer) stranger.send(hub.hello());
      stranger.send(message);
      stranger.socket.close(1000, "done");
    }
    const again = await hub.start();
    await again.settle();
    await witness.settle();

    expect(again.closed).toBeNull();
    expect(witness.closed).toBeNull();
    expect(await hub.hub.command(order())).toEqual({ kind: "timeout" });
  });
});

function order(): Parameters<HubWorld["hub"]["command"]>[0] {
  vi.stubGlobal("scheduler", { wait: () => Promise.resolve() });
  return { id: "c-9", type: "ssh.list", text: '{"type":"ssh.list","id":"c-9"}', digest: "d" };
}
