import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HubWorld, type Peer, SIZE } from "./hubWorld.ts";

const FRAME = 65_536;

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Everything that takes part in a life of a hub. */
interface Cast {
  gateway?: Peer;
  newer?: Peer;
  first?: Peer;
  second?: Peer;
  response?: Promise<Response>;
  answers: string[];
}

type Step = (cast: Required<Cast>) => Promise<unknown> | unknown;

/** A hub's life: each step ends when the hub has nothing left to do. */
const LIFE: Record<string, Step> = {
  "the gateway comes": async (cast) => {
    cast.gateway = await hub.start();
  },
  "a viewer comes": async (cast) => {
    cast.first = await hub.view();
    await cast.gateway.get("session.snapshot.request");
  },
  "its snapshot comes": async ({ gateway, first }) => {
    gateway.send(hub.snapshot(0));
    await first.get("session.snapshot");
  },
  "the session starts": async ({ gateway, first }) => {
    gateway.send({ type: "session.started", session_id: hub.session, sequence: 0, ...SIZE });
    await first.get("session.started");
  },
  "half a second goes by": async ({ gateway }) => {
    await hub.pass(500);
    await gateway.get("session.snapshot.request", 2);
  },
  "the session's snapshot comes": async ({ gateway, first }) => {
    gateway.send(hub.snapshot(0, "new"));
    await first.get("session.snapshot", 2);
  },
  "there is output": async ({ gateway, first }) => {
    gateway.send(hub.output(0, FRAME));
    await gateway.settle();
    await first.settle();
  },
  "the viewer draws it": async ({ gateway, first }) => {
    first.send(hub.ack(FRAME));
    await gateway.get("session.ack");
  },
  "there is more than the viewer draws": async ({ gateway, first }) => {
    for (let n = 1; n < 8; n += 1) gateway.send(hub.output(n * FRAME, FRAME));
    await gateway.settle();
    await first.settle();
  },
  "somebody types": async ({ gateway, first }) => {
    first.send({ type: "session.input", session_id: hub.session, data: "x" });
    await gateway.get("session.input");
  },
  "the viewer catches up": async ({ gateway, first }) => {
    vi.setSystemTime(Date.now() + 1_000);
    first.send(hub.ack(first.frames().length * FRAME));
    await gateway.get("session.snapshot.request", 3);
  },
  "another viewer comes": async (cast) => {
    cast.second = await hub.view();
    await cast.second.settle();
  },
  "both get the snapshot": async ({ gateway, first, second }) => {
    gateway.send(hub.snapshot(8 * FRAME, "both"));
    await first.get("session.snapshot", 3);
    await second.get("session.snapshot");
  },
  "a command is done": async ({ gateway, answers }) => {
    const response = hub.command(hub.end("c-1"));
    await gateway.get("session.end");
    gateway.send({ type: "ack", id: "c-1", ok: true });
    answers.push(await (await response).text());
  },
  "it is sent again": async ({ answers }) => {
    answers.push(await (await hub.command(hub.end("c-1"))).text());
  },
  "what was seen is reported": () => hub.pass(200),
  "a newer connection comes": async (cast) => {
    cast.newer = await hub.start();
    await cast.gateway.end();
    await hub.pass(500);
    await cast.newer.get("session.snapshot.request");
  },
  "it shows the screen": async ({ newer, first, second }) => {
    newer.send(hub.snapshot(5, "again"));
    newer.send(hub.output(5, 5));
    await newer.settle();
    await first.settle();
    await second.settle();
  },
  "it sends nonsense": async ({ newer }) => {
    for (let n = 0; n < 9; n += 1) newer.send("nonsense");
    await newer.settle();
  },
  "and once too often": async ({ newer }) => {
    newer.send("nonsense");
    await newer.end();
  },
  "29 s go by": () => hub.pass(29_999),
  "and another": () => hub.pass(1_000),
  "the viewers go": async ({ first, second }) => {
    first.socket.close(1000, "done");
    second.socket.close(1000, "done");
    await Promise.all([first.end(), second.end()]);
  },
  "the rest is reported": () => hub.pass(60_000),
};

/** Lives a hub's life; what everybody saw of it, and what the API was told. */
async function live(isEvicted: (step: number) => boolean): Promise<unknown> {
  const cast: Cast = { answers: [] };
  for (const [number, step] of Object.values(LIFE).entries()) {
    await step(cast as Required<Cast>);
    if (isEvicted(number)) await evictDurableObject(hub.hub);
  }
  const { gateway, newer, first, second, answers } = cast;
  const peers = [gateway, newer, first, second].map((peer) => [seen(peer), peer?.closed]);
  return [peers, answers, hub.told.map(({ kind, observed_at }) => [kind, observed_at])];
}

/** What a peer heard, without what differs from world to world. */
function seen(peer: Peer | undefined): string[] {
  return (peer?.heard ?? [])
    .map((one) => (one instanceof ArrayBuffer ? `${one.byteLength} bytes` : JSON.stringify(one)))
    .map((text) => text.replaceAll(hub.session, "session"));
}

describe("a life is the same", () => {
  let whole: unknown;
  beforeEach(async () => {
    whole ??= await live(() => false);
    vi.useRealTimers();
    hub = await HubWorld.make();
  });

  test("with nobody evicted, which is what it should be", async () => {
    const [, answers, told] = (await live(() => false)) as [unknown, string[], string[][]];
    const kinds = told.map(([kind]) => kind);

    expect(answers).toEqual(Array(2).fill('{"type":"ack","id":"c-1","ok":true}'));
    expect(kinds).toEqual([
      "connected",
      "gateway.hello",
      "session.started",
      "gateway.hello",
      "disconnected",
    ]);
  });

  test.each([...Object.keys(LIFE).entries()])("evicted after step %d: %s", async (number) => {
    expect(await live((step) => step === number)).toEqual(whole);
  });

  test("evicted after every step", async () => {
    expect(await live(() => true)).toEqual(whole);
  });
});

test("an object that is stopped together with its connections begins the grace", async () => {
  const gateway = await hub.start();
  await hub.pass(200);
  await evictDurableObject(hub.hub, { webSockets: "close" });
  await gateway.end();
  // Whoever comes first wakes it.
  await hub.view();
  await hub.pass(30_000);
  await hub.pass(200);

  expect(hub.kinds()).toEqual(["connected", "gateway.hello", "disconnected"]);
});

test("what is due is not put off by an eviction", async () => {
  await hub.start();
  const before = await alarm();
  await evictDurableObject(hub.hub);
  await hub.view();

  expect(before).toBe(Date.now() + 200);
  expect(await alarm()).toBe(before);
});

/** When the object's alarm goes off. */
function alarm(): Promise<number | null> {
  return runInDurableObject(hub.hub, (_, { storage }) => storage.getAlarm());
}

test("a command that waits while the object is broken off is asked for again", async () => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const gateway = await hub.start();
  const response = hub.command(hub.end("c-1"));
  await gateway.get("session.end");
  await abortAllDurableObjects();
  const { status } = await response;

  // The gateway's connection is gone with the object.
  expect(status).toBe(503);
  expect(warned).toHaveBeenCalledOnce();
});

test("a report that fails is retried by the next object, no earlier", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  await hub.start();
  hub.observations = 500;
  await hub.pass(200);
  await evictDurableObject(hub.hub);
  await hub.pass(999);
  const early = hub.reports;
  await evictDurableObject(hub.hub);
  hub.observations = 204;
  await hub.pass(1);

  expect([early, hub.reports]).toEqual([1, 2]);
  expect(hub.kinds()).toEqual(["connected", "gateway.hello"]);
});

test("silence and idleness are noticed by the next object", async () => {
  const gateway = await hub.start();
  const viewer = await hub.watch(gateway);
  await evictDurableObject(hub.hub);
  await hub.pass(90_000);
  const silent = await gateway.end();
  await evictDurableObject(hub.hub);
  await hub.pass(510_000);

  expect(silent.reason).toBe("silent for too long");
  expect((await viewer.end()).code).toBe(4001);
});
