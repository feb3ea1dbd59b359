import { evictDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HubWorld } from "./hubWorld.ts";

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
});

test("a viewer gets a snapshot, then the output behind it", async () => {
  const gateway = await hub.start();
  const viewer = await hub.watch(gateway, 100);

  gateway.send(hub.output(100, 10));
  gateway.send(hub.output(110, 5));
  await gateway.settle();
  await viewer.settle();

  expect(viewer.frames().map((data) => data.byteLength)).toEqual([35, 30]);
  expect(viewer.of("gateway.status")).toEqual([{ type: "gateway.status", connected: true }]);
});

test("x", async () => {
  const gateway = await hub.start();
  const viewer = await hub.watch(gateway, 100);
  await evictDurableObject(hub.hub);
  gateway.send(hub.output(100, 10));
  await gateway.settle();
  await viewer.settle();

  expect(viewer.frames().map((data) => data.byteLength)).toEqual([35]);
  await hub.pass(1000);
  expect(hub.kinds()).toEqual(["connected", "gateway.hello"]);
  gateway.socket.close(1000, "bye");
  await gateway.end();
  await viewer.get("gateway.status", 2);
  await hub.pass(30_000);
  await hub.pass(1000);
  expect(hub.kinds()).toEqual(["connected", "gateway.hello", "disconnected"]);
});
