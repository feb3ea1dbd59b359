import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { frame, HubWorld, type Peer, SIZE } from "./hubWorld.ts";

const KIB = 1024;
const FRAME = 64 * KIB;

let hub: HubWorld;
let gateway: Peer;
beforeEach(async () => {
  hub = await HubWorld.make();
  gateway = await hub.start();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Sends frames of 64 KiB and waits until the viewers have what they are to have. */
async function flood(from: number, frames: number, ...viewers: Peer[]): Promise<number> {
  for (let n = 0; n < frames; n += 1) gateway.send(hub.output(from + n * FRAME, FRAME));
  await gateway.settle();
  for (const viewer of viewers) await viewer.settle();
  return from + frames * FRAME;
}

function asked(): number {
  return gateway.of("session.snapshot.request").length;
}

test("a viewer gets a snapshot, then the output behind it", async () => {
  const viewer = await hub.watch(gateway, 100);
  gateway.send(hub.output(90, 10));
  gateway.send(hub.output(100, 10));
  gateway.send(hub.output(110, 5));
  await gateway.settle();
  await viewer.settle();

  expect(viewer.heard.slice(0, 2)).toEqual([
    { type: "gateway.status", connected: true },
    hub.snapshot(100),
  ]);
  expect(viewer.frames()).toEqual([hub.output(100, 10), hub.output(110, 5)]);
});

test("output goes to the viewers of its session only", async () => {
  const viewer = await hub.watch(gateway);
  gateway.send(frame(crypto.randomUUID(), 0, new Uint8Array(5)));
  await gateway.settle();
  await viewer.settle();

  expect(viewer.frames()).toEqual([]);
});

test("several viewers get the same, and one snapshot is asked for all that wait", async () => {
  const viewers = [await hub.view(), await hub.view(), await hub.view()];
  await gateway.settle();
  gateway.send(hub.snapshot(0));
  gateway.send(hub.output(0, 3));
  await gateway.settle();
  await Promise.all(viewers.map((viewer) => viewer.settle()));

  expect(asked()).toBe(1);
  expect(viewers.map((viewer) => viewer.frames())).toEqual(Array(3).fill([hub.output(0, 3)]));
});

test("a slow viewer is sent a window and no more, and slows nobody", async () => {
  const slow = await hub.watch(gateway);
  const fast = await hub.watch(gateway);
  let place = 0;
  for (let n = 0; n < 10; n += 1) {
    place = await flood(place, 1, fast);
    fast.send(hub.ack(place));
    await fast.settle();
  }
  await slow.settle();

  expect(fast.frames().length).toBe(10);
  expect(slow.frames().length).toBe(3);
  expect(slow.closed).toBeNull();
});

test("a viewer that was behind goes on from a fresh snapshot once it has nearly drawn all", async () => {
  const viewer = await hub.watch(gateway);
  await flood(0, 8, viewer);
  const got = viewer.frames().length;
  vi.setSystemTime(Date.now() + 1_000);
  viewer.send(hub.ack(FRAME + FRAME - 1));
  await viewer.settle();
  const early = asked();
  viewer.send(hub.ack((got - 1) * FRAME));
  await viewer.settle();
  await gateway.get("session.snapshot.request", 2);
  gateway.send(hub.snapshot(8 * FRAME, "fresh"));
  await flood(8 * FRAME, 1, viewer);

  expect([got, early, asked()]).toEqual([3, 1, 2]);
  expect(viewer.of("session.snapshot").map(({ data }) => data)).toEqual(["$ ", "fresh"]);
  expect(viewer.frames().slice(got)).toEqual([hub.output(8 * FRAME, FRAME)]);
});

test("a viewer that is always behind costs two snapshots a second at most", async () => {
  const viewer = await hub.watch(gateway);
  await flood(0, 8, viewer);
  viewer.send(hub.ack(3 * FRAME));
  await viewer.settle();
  const before = asked();
  const ran = await hub.pass(500);
  await gateway.get("session.snapshot.request", 2);

  expect([before, ran]).toEqual([1, true]);
});

test("a large snapshot leaves room in the window", async () => {
  const viewer = await hub.view();
  gateway.send(hub.snapshot(0, "x".repeat(786_432)));
  await flood(0, 2, viewer);

  expect(viewer.frames().length).toBe(2);
});

test("output that has a gap is replaced by a snapshot", async () => {
  const viewer = await hub.watch(gateway);
  vi.setSystemTime(Date.now() + 1_000);
  gateway.send(hub.output(0, 5));
  gateway.send(hub.output(50, 5));
  gateway.send(hub.output(55, 5));
  await gateway.get("session.snapshot.request", 2);
  gateway.send(hub.snapshot(60, "whole"));
  gateway.send(hub.output(60, 5));
  await gateway.settle();
  await viewer.settle();

  expect(viewer.frames()).toEqual([hub.output(0, 5), hub.output(60, 5)]);
  expect(viewer.of("session.snapshot").at(-1)?.data).toBe("whole");
});

test("a snapshot that does not come is asked for again", async () => {
  await hub.view();
  await gateway.get("session.snapshot.request");
  await hub.pass(10_000);
  await gateway.get("session.snapshot.request", 2);

  expect(asked()).toBe(2);
});

test("a viewer is told that there is no snapshot, and gets one when the session starts", async () => {
  const viewer = await hub.view();
  const { id } = await gateway.get("session.snapshot.request");
  const error = { code: "no-such-session", message: "There is no such session." };
  gateway.send({ type: "ack", id, ok: false, error });
  const told = await viewer.get("error");
  await hub.pass(10_000);
  await gateway.settle();
  const meanwhile = asked();
  gateway.send({ type: "session.started", session_id: hub.session, sequence: 0, ...SIZE });
  await gateway.get("session.snapshot.request", 2);

  expect(told).toEqual({ type: "error", error, about: "session.snapshot" });
  expect(meanwhile).toBe(1);
});

test("the gateway hears of what the fastest viewer has drawn, in steps", async () => {
  const viewer = await hub.watch(gateway);
  await flood(0, 2, viewer);
  const places = [1, 2, 32 * KIB, 32 * KIB + 1, FRAME, FRAME + 1, FRAME + 2];
  for (const place of places) viewer.send(hub.ack(place));
  await viewer.settle();
  await gateway.settle();

  expect(gateway.of("session.ack").map(({ sequence }) => sequence)).toEqual([
    1,
    32 * KIB + 1,
    FRAME + 1,
  ]);
});

test.each([1_000_000, 3])("an ack of %d that cannot be is of no effect", async (place) => {
  const viewer = await hub.watch(gateway, 10);
  viewer.send(hub.ack(place));
  await viewer.settle();
  await flood(10, 5, viewer);

  expect(viewer.frames().length).toBe(3);
  expect(viewer.of("error")).toEqual([]);
});

test("what viewers type goes to the gateway, and only what the protocol knows of it", async () => {
  const viewer = await hub.watch(gateway);
  const input = { type: "session.input", session_id: hub.session, data: "ls\r" } as const;
  const resize = {
    type: "session.resize",
    session_id: hub.session,
    columns: 90,
    rows: 30,
  } as const;
  viewer.send(JSON.stringify({ ...input, id: "smuggled" }));
  viewer.send(resize);
  await viewer.settle();
  await gateway.settle();

  expect(gateway.of("session.input")).toEqual([input]);
  expect(gateway.of("session.resize")).toEqual([resize]);
});

test("who resizes a session keeps the picture, and all others get a new one", async () => {
  const [one, other] = [await hub.watch(gateway, 100), await hub.watch(gateway, 100)];
  const before = asked();
  vi.setSystemTime(Date.now() + 1_000);
  one.send({ type: "session.resize", session_id: hub.session, columns: 90, rows: 30 });
  await one.settle();
  await gateway.settle();
  const types = gateway.heard.map((message) => (message as { type: string }).type);
  const behind = types.slice(types.indexOf("session.resize"));
  gateway.send(hub.snapshot(100));
  await gateway.settle();
  await Promise.all([one.settle(), other.settle()]);

  expect(behind.slice(0, 2)).toEqual(["session.resize", "session.snapshot.request"]);
  expect(asked()).toBe(before + 1);
  expect([one.of("session.snapshot").length, other.of("session.snapshot").length]).toEqual([1, 2]);
});

test("nobody types into another session", async () => {
  const viewer = await hub.watch(gateway);
  viewer.send({ type: "session.input", session_id: hub.gateway, data: "ls\r" });
  const { error } = await viewer.get("error");
  await gateway.settle();

  expect(error.code).toBe("wrong-session");
  expect(gateway.of("session.input")).toEqual([]);
});

test("viewers hear of the session, the gateway, and the session's end", async () => {
  const viewer = await hub.watch(gateway);
  gateway.send({ type: "agent.installed", agent: "claude-code", ok: true });
  const error = { code: "no-space", message: "The disk is full." };
  gateway.send({ type: "session.error", session_id: hub.session, error });
  gateway.send({ type: "session.error", session_id: hub.gateway, error });
  const ended = { session_id: hub.session, reason: "exited", exit_code: 3 } as const;
  gateway.send({ type: "session.ended", ...ended });
  const end = await viewer.end();

  expect(viewer.of("agent.installed").length).toBe(1);
  expect(viewer.of("session.error").length).toBe(1);
  expect(viewer.of("session.ended")).toEqual([{ type: "session.ended", ...ended }]);
  expect(end).toEqual({ code: 1000, reason: "the session has ended" });
});

test("input while the gateway is away is refused, and asks for nothing", async () => {
  const viewer = await hub.watch(gateway);
  gateway.socket.close(1000, "bye");
  await viewer.get("gateway.status", 2);
  viewer.send({ type: "session.input", session_id: hub.session, data: "ls\r" });

  expect((await viewer.get("error")).error.code).toBe("gateway-offline");
  expect(viewer.of("gateway.status").at(-1)?.connected).toBe(false);
});

test("a viewer that came first gets its snapshot when the gateway comes", async () => {
  const world = await HubWorld.make();
  const viewer = await world.view();
  await viewer.get("gateway.status");
  const late = await world.start();
  await late.get("session.snapshot.request");
  late.send(world.snapshot(7));
  await viewer.get("session.snapshot");

  expect(viewer.of("gateway.status").map(({ connected }) => connected)).toEqual([false, true]);
});

test("a viewer that is silent for ten minutes is closed, one that pings is not", async () => {
  const silent = await hub.watch(gateway);
  const active = await hub.watch(gateway);
  for (let minute = 0; minute < 10; minute += 1) {
    await hub.pass(60_000);
    await gateway.settle();
    if (minute < 9) await active.settle();
  }
  const end = await silent.end();
  await active.settle();

  expect(end).toEqual({ code: 4001, reason: "silent for too long" });
  expect(active.closed).toBeNull();
});

test("a viewer shows anew who it is after an hour, however busy it is", async () => {
  const viewer = await hub.watch(gateway);
  for (let minute = 1; minute < 60; minute += 1) {
    await hub.pass(60_000);
    await gateway.settle();
    await viewer.settle();
  }
  await hub.pass(60_000);

  expect(await viewer.end()).toEqual({ code: 4002, reason: "show anew who you are" });
});

test("a session has 16 viewers at most", async () => {
  for (let n = 0; n < 16; n += 1) await hub.view();
  const refused = await hub.open();

  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("30");
});
