import { beforeEach, describe, expect, test } from "vitest";
import { HTML, OTHER, OWNER, problemCode, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.make();
});

describe("waking", () => {
  test("an owner's page shows that the machine wakes while the wake goes on", async () => {
    await world.publish({ state: "asleep" });

    const response = await world.get("/x", { ...HTML, ...(await world.as(OWNER)) });

    expect(response.status).toBe(503);
    expect(response.headers.get("x-invoker-woken")).toBe("1");
    expect(world.toMachine.map((request) => request.url)).toEqual(["https://inv-x.fly.dev/x"]);
  });

  test("the retry is the machine's answer although KV still says asleep", async () => {
    await world.publish({ state: "asleep" });
    world.api = () => world.routing({ state: "asleep" });
    const owner = { ...HTML, ...(await world.as(OWNER)) };
    const first = await world.get("/x", owner);
    const cookie = first.headers.get("set-cookie")?.split(";")[0] ?? "";

    const second = await world.get("/x", { ...owner, cookie });

    expect(await second.text()).toBe("from the machine");
    expect(second.headers.get("x-invoker-woken")).toBe("1");
    expect(world.toMachine.at(-1)?.headers.get("cookie")).toBeNull();
  });

  test("a program's request waits for the machine", async () => {
    await world.publish({ state: "asleep" });

    const response = await world.get("/x", await world.as(OWNER));

    expect(await response.text()).toBe("from the machine");
    expect(response.headers.get("x-invoker-woken")).toBe("1");
  });

  test("a machine that cannot be woken yet is still waking", async () => {
    await world.publish({ state: "asleep" });
    world.machine = () => new Response(null, { status: 503 });

    expect(await problemCode(await world.get("/x", await world.as(OWNER)))).toBe("waking");
  });

  test("an owner's request starts a stopped machine with the owner's token", async () => {
    await world.publish({ state: "stopped", target: null });
    world.api = (request) =>
      request.method === "POST" ? Response.json({}) : world.routing({ state: "stopped" });
    const owner = await world.as(OWNER);

    const response = await world.get("/x", { ...HTML, ...owner });

    expect(await response.text()).toContain("Your machine is starting");
    const start = world.toApi.at(-1);
    expect([start?.method, start?.url]).toEqual(["POST", "http://api.internal/api/vm/start"]);
    expect(start?.headers.get("authorization")).toBe(owner.authorization);
  });

  test("a refused start says why", async () => {
    await world.publish({ state: "stopped", target: null });
    const detail = "The quota of this month is used up.";
    world.api = (request) =>
      request.method === "POST"
        ? Response.json({ detail }, { status: 402 })
        : world.routing({ state: "stopped" });

    const response = await world.get("/x", { ...HTML, ...(await world.as(OWNER)) });

    expect(await response.text()).toContain(detail);
  });

  test.each(["stopped", "starting", "crashed", "suspended"] as const)(
    "a stale %s does not hide a machine that runs again",
    async (state) => {
      await world.publish({ state, target: null });
      world.api = () => world.routing({ stamp: 2 });

      expect(await (await world.get("/x")).text()).toBe("from the machine");
    },
  );

  test("an old writer's answer does not win", async () => {
    await world.publish({ state: "suspended", stamp: 5 });
    world.api = () => world.routing({ stamp: 4 });

    expect((await world.get("/x")).status).toBe(403);
  });

  test("a page that polls asks the API once a second at most", async () => {
    await world.publish({ state: "crashed" });
    world.api = () => world.routing({ state: "crashed" });
    await Promise.all([world.get("/"), world.get("/")]);
    const before = world.toApi.length;
    await world.get("/");

    expect(world.toApi.length).toBe(before);
  });
});

describe("a running route whose machine does not answer", () => {
  beforeEach(async () => {
    await world.publish();
    world.machine = (request) =>
      request.headers.get("fly-force-instance-id") === "instance-2"
        ? new Response("from the new machine")
        : new Response("no machine", { status: 502 });
  });

  test("is repaired by the API's newer entry", async () => {
    world.api = () => world.routing({ stamp: 2, instance: "instance-2" });

    expect(await (await world.get("/x", HTML)).text()).toBe("from the new machine");
  });

  test("shows the newer state", async () => {
    world.api = () => world.routing({ stamp: 2, state: "crashed" });

    expect(await problemCode(await world.get("/x"))).toBe("crashed");
  });

  test("is checked against the account again", async () => {
    world.api = () => world.routing({ stamp: 2, instance: "instance-2", account: OTHER });

    expect((await world.get("/x", await world.as(OWNER))).status).toBe(403);
  });

  test("is a page for people and the proxy's words for programs", async () => {
    world.api = () => world.routing();

    expect(await (await world.get("/x", HTML)).text()).toContain("does not answer");
    expect(await (await world.get("/x")).text()).toBe("no machine");
  });

  test("never has a request with a body sent twice", async () => {
    world.api = () => world.routing({ stamp: 2, instance: "instance-2" });

    const response = await world.get("/x", {}, { method: "POST", body: "once" });

    expect(response.status).toBe(502);
    expect(world.toMachine.length).toBe(1);
  });

  test("is a problem when the connection fails", async () => {
    world.machine = () => Promise.reject(new Error("refused"));
    world.api = () => world.routing();

    expect(await problemCode(await world.get("/x"))).toBe("not-answering");
  });

  test("is not found when its workspace is gone", async () => {
    expect((await world.get("/x", HTML)).status).toBe(404);
  });
});
