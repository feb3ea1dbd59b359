import { runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Alarm } from "../src/hub/alarm.ts";
import { Outbox } from "../src/hub/outbox.ts";
import type { Message } from "../src/hub/protocol.ts";
import { HubWorld, type Peer, SIZE } from "./hubWorld.ts";

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function health(cpu_percent: number): Message<"gateway.health"> {
  const memory = { memory_used_bytes: 1, memory_total_bytes: 2 };
  const disk = { disk_used_bytes: 1, disk_total_bytes: 2 };
  return { type: "gateway.health", cpu_percent, ...memory, ...disk, uptime_seconds: 5 };
}

function ended(session_id: string): Message<"session.ended"> {
  return { type: "session.ended", session_id, reason: "exited", exit_code: 0 };
}

/** A gateway of which everything so far has been reported. */
async function reported(): Promise<Peer> {
  const gateway = await hub.start();
  await hub.pass(200);
  hub.told.length = 0;
  hub.reports = 0;
  return gateway;
}

test("what is observed is reported in one batch, in order", async () => {
  const gateway = await hub.start();
  gateway.send({ type: "session.started", session_id: hub.session, sequence: 0, ...SIZE });
  gateway.send(health(5));
  await gateway.settle();
  await hub.pass(200);
  const [first, ...rest] = hub.told;

  expect(hub.reports).toBe(1);
  expect(hub.kinds()).toEqual(["connected", "gateway.hello", "session.started", "gateway.health"]);
  expect(first).toEqual({
    sequence: 1_900_000_000_000,
    observed_at: "2030-03-17T17:46:40.000Z",
    kind: "connected",
    message: null,
  });
  expect(rest.map(({ sequence }) => sequence - 1_900_000_000_000)).toEqual([1, 2, 3]);
  expect(rest[2]?.message).toEqual(health(5));
});

test("of one thing only the newest is reported", async () => {
  const gateway = await reported();
  for (let n = 0; n < 5; n += 1) gateway.send(health(n));
  gateway.send({ type: "session.started", session_id: hub.session, sequence: 0, ...SIZE });
  gateway.send(ended(hub.session));
  await gateway.settle();
  await hub.pass(200);

  expect(hub.told.map(({ message }) => message)).toEqual([health(4), ended(hub.session)]);
});

test("a report that fails is sent again, later each time, with what is new", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const gateway = await reported();
  hub.observations = 500;
  gateway.send(ended(hub.session));
  await gateway.settle();
  const waits = [];
  for (let n = 0, wait = 200; n < 9; n += 1) {
    await hub.pass(wait);
    await gateway.settle();
    wait = (await due()) ?? 0;
    waits.push(wait);
  }
  hub.observations = 204;
  gateway.send(health(1));
  await gateway.settle();
  await hub.pass(60_000);

  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1_000));
  expect(hub.kinds()).toEqual(["session.ended", "gateway.health"]);
});

/** In how many milliseconds the next report is due. */
function due(): Promise<number | null> {
  return runInDurableObject(hub.hub, (_, { storage }) => {
    const report = storage.kv.get<{ next: number | null }>("report");
    return report?.next == null ? null : report.next - Date.now();
  });
}

test("what happens while a report is under way is not lost", async () => {
  const gateway = await reported();
  const storage = await runInDurableObject(hub.hub, (_, state) => state.storage);
  const { machine } = hub.world;
  hub.world.machine = async (request) => {
    hub.world.machine = machine;
    // This runs as the object, which may touch its storage.
    const outbox = new Outbox(storage, hub.world.env, new Alarm(storage));
    outbox.add("gateway.health", health(2), Date.now());
    return machine(request);
  };
  gateway.send(health(1));
  await gateway.settle();
  await hub.pass(200);
  await hub.pass(200);

  expect(hub.told.map(({ message }) => message)).toEqual([health(1), health(2)]);
});

test("more than a hundred go in several reports", async () => {
  const gateway = await reported();
  const sessions = Array.from({ length: 150 }, () => crypto.randomUUID());
  for (const session of sessions) gateway.send(ended(session));
  await gateway.settle();
  await hub.pass(200);
  const first = hub.told.length;
  await hub.pass(0);

  expect([first, hub.told.length, hub.reports]).toEqual([100, 150, 2]);
  expect(hub.told.map(({ message }) => message?.session_id)).toEqual(sessions);
});

test("what the API refuses even alone is dropped, and the rest is reported", async () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const gateway = await reported();
  const { machine } = hub.world;
  hub.world.machine = async (request) => {
    const text = await request.clone().text();
    return text.includes(hub.session) ? new Response(null, { status: 422 }) : machine(request);
  };
  const others = [crypto.randomUUID(), crypto.randomUUID()];
  for (const session of [others[0] ?? "", hub.session, others[1] ?? ""])
    gateway.send(ended(session));
  await gateway.settle();
  await hub.pass(200);
  for (let n = 0; n < 3; n += 1) await hub.pass(0);

  expect(hub.told.map(({ message }) => message?.session_id)).toEqual(others);
});

test("an API that is away for long can leave a thousand things here, and no more", async () => {
  await hub.start();
  const found = await runInDurableObject(hub.hub, (_, { storage }) => {
    const outbox = new Outbox(storage, hub.world.env, new Alarm(storage));
    const added = Array.from({ length: 1_010 }, () => {
      return outbox.add("session.ended", ended(crypto.randomUUID()), Date.now());
    });
    const known = outbox.add("connected", null, Date.now());
    return { added: added.filter(Boolean).length, known };
  });

  // Two are of the gateway's connection.
  expect(found).toEqual({ added: 998, known: true });
});

test("once the gateway is offline and that is reported, nothing is left", async () => {
  const gateway = await hub.start();
  gateway.socket.close(1000, "bye");
  await gateway.end();
  await hub.pass(30_000);
  await hub.pass(200);
  const keys = await runInDurableObject(hub.hub, (_, { storage }) => [...storage.kv.list()]);

  expect(hub.kinds()).toEqual(["gateway.hello", "disconnected"]);
  expect(keys).toEqual([]);
  expect(await hub.pass(1_000_000)).toBe(false);
});
