import { beforeEach, describe, expect, test } from "vitest";
import type { State } from "../src/entry.ts";
import { HTML, OTHER, problemCode, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.make();
});

describe("every state has its answer", () => {
  const nobody: [State, number, string][] = [
    ["asleep", 401, "asleep"],
    ["stopped", 401, "asleep"],
    ["starting", 503, "waking"],
    ["crashed", 503, "crashed"],
    ["suspended", 403, "suspended"],
    ["quarantined", 403, "quarantined"],
  ];

  test.each(nobody)("%s tells a program without a token %i %s", async (state, status, code) => {
    await world.publish({ state });
    world.api = () => world.routing({ state });

    const response = await world.get("/x");

    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await problemCode(response)).toBe(code);
    expect(world.toMachine).toEqual([]);
  });

  test.each(nobody)("%s tells a browser the same as a page", async (state, status) => {
    await world.publish({ state });
    world.api = () => world.routing({ state });

    const response = await world.get("/x", HTML);

    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  test.each([...nobody.map(([state]) => state), "running" as const])(
    "%s is closed to another user's valid token",
    async (state) => {
      await world.publish({ state });
      world.api = () => world.routing({ state });

      const response = await world.get("/x", await world.as(OTHER));

      expect(response.status).toBe(403);
      expect(world.toMachine).toEqual([]);
    },
  );

  test("the waking page retries by itself", async () => {
    await world.publish({ state: "starting" });
    world.api = () => world.routing({ state: "starting" });

    const response = await world.get("/x?y", HTML);

    expect(response.headers.get("retry-after")).toBe("3");
    expect(await response.text()).toContain('<meta http-equiv="refresh" content="3">');
  });

  test("a renamed workspace redirects, path and query kept", async () => {
    await world.publish({ state: "redirect", redirect: "ada", target: null });

    const response = await world.get("/a//b?c=d");

    expect(response.status).toBe(308);
    expect(response.headers.get("location")).toBe("http://ada.localhost:8787/a//b?c=d");
  });

  test.each(["evil.example", "https://evil.example/", "ada.localhost.evil.example", "a b", "@"])(
    "a route cannot redirect to %s",
    async (redirect) => {
      await world.publish({ state: "redirect", redirect });

      expect((await world.get("/")).status).toBe(404);
    },
  );
});

describe("the API answers where KV does not", () => {
  test("a miss is looked up with the edge token and forwarded", async () => {
    world.api = () => world.routing();

    const response = await world.get("/x");

    expect(await response.text()).toBe("from the machine");
    expect(world.toApi.map((request) => request.url)).toEqual([
      `http://api.internal/api/routing/${world.name}`,
    ]);
    expect(world.toApi[0]?.headers.get("authorization")).toBe("Bearer edge-token");
  });

  test("an unknown subdomain is not found", async () => {
    const response = await world.get("/", HTML);

    expect(response.status).toBe(404);
    expect(await response.text()).toContain("Account not found");
  });

  test.each([
    ["answers 500", () => new Response(null, { status: 500 })],
    ["answers nonsense", () => new Response("<html>")],
    ["is down", () => Promise.reject(new Error("refused"))],
  ])("an API that %s is an incident, not an unknown name", async (_, api) => {
    world.api = api;

    const response = await world.get("/", HTML);

    expect(response.status).toBe(503);
    expect(await response.text()).toContain("experiencing issues");
  });

  test("a machine that was never healthy is waking", async () => {
    world.api = () => Response.json({ subdomain: world.name, status: "starting", url: "" });

    expect(await problemCode(await world.get("/"))).toBe("waking");
  });

  test("a healthy route costs the API nothing", async () => {
    await world.publish();
    await world.get("/x");

    expect(world.toApi).toEqual([]);
  });

  test("a declared incident explains bad news and hides no healthy machine", async () => {
    await world.publish({ state: "crashed" });
    world.api = () => world.routing({ state: "crashed" });
    const flag = { version: 1, incident: true, message: "Fly.io is <down>." };
    await world.env.ROUTES.put("platform:status", JSON.stringify(flag));
    const sick = await (await world.get("/", HTML)).text();
    await world.publish();
    const well = await (await world.get("/", HTML)).text();
    await world.env.ROUTES.delete("platform:status");

    expect(sick).toContain("Fly.io is &lt;down&gt;.");
    expect(well).toBe("from the machine");
  });
});
