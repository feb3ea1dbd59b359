import { createExecutionContext, env, evictDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Env } from "../src/env.ts";
import worker from "../src/index.ts";
import { OTHER, World } from "./world.ts";

let world: World;

beforeEach(async () => {
  world = await World.make();
  world.env.TALLY = tally();
  // What was counted is told at once.
  vi.stubGlobal("scheduler", { wait: () => Promise.resolve() });
});

afterEach(() => {
  vi.useRealTimers();
});

function tally(): NonNullable<Env["TALLY"]> {
  return (env as unknown as Required<Env>).TALLY;
}

async function metrics(token = "edge-token"): Promise<Response> {
  const headers = { authorization: `Bearer ${token}` };
  return world.get("http://localhost:8787/.invoker/metrics", headers);
}

/** The counts by series; those of other tests are in them, too. */
async function counts(): Promise<Map<string, number>> {
  const text = await (await metrics()).text();
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(samples.map((line) => line.split(" ") as [string, string]).map(toCount));
}

function toCount([series, value]: [string, string]): [string, number] {
  return [series, Number(value)];
}

/** What something adds to the series that it adds to. */
async function added(act: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await counts();
  await act();
  const after = await counts();
  const grown = [...after].map(([series, value]) => [series, value - (before.get(series) ?? 0)]);
  return Object.fromEntries(grown.filter(([, value]) => value !== 0));
}

const of = (outcome: string) => `invoker_edge_requests_total{outcome="${outcome}"}`;

test("only the edge token opens the metrics", async () => {
  const refused = await metrics("another");
  const shown = await metrics();

  expect([refused.status, shown.status]).toEqual([401, 200]);
  expect(await refused.text()).toBe("");
  expect(shown.headers.get("content-type")).toContain("version=0.0.4");
});

test("every outcome is there from the start", async () => {
  const found = await counts();

  expect(found.has(of("not-answering"))).toBe(true);
  expect(found.get("invoker_edge_stale_entries_total")).toBe(0);
});

test("requests are counted by what they got", async () => {
  await world.publish();
  const grown = await added(async () => {
    await world.get("/");
    await world.get("/", { authorization: `Bearer ${await world.token({ sub: OTHER })}` });
    await world.get("http://nobody-has-this.localhost:8787/");
    await world.get("http://localhost:8787/api/machines");
  });

  // The scrape before counts itself, as one of the edge's own pages.
  expect(grown).toEqual({
    [of("forwarded")]: 1,
    [of("forbidden")]: 1,
    [of("not-found")]: 1,
    [of("api")]: 1,
    [of("page")]: 1,
  });
});

test("a machine that does not answer is a request routed wrong", async () => {
  await world.publish();
  world.machine = () => new Response(null, { status: 502 });
  const grown = await added(() => world.get("/"));

  expect(grown[of("not-answering")]).toBe(1);
});

test("a stale entry is counted, and the request by what it got after the repair", async () => {
  await world.publish();
  const moved = world.entry({ stamp: 2, instance: "instance-2" });
  world.api = () => Response.json({ status: "running", entry: moved });
  world.machine = (request) =>
    request.headers.get("fly-force-instance-id") === "instance-2"
      ? new Response("there")
      : new Response(null, { status: 503 });
  const grown = await added(() => world.get("/"));

  expect(grown.invoker_edge_stale_entries_total).toBe(1);
  expect(grown[of("forwarded")]).toBe(1);
});

test("an edge that breaks is counted as such", async () => {
  const { DOMAIN } = world.env;
  const grown = await added(async () => {
    Object.defineProperty(world.env, "DOMAIN", { configurable: true, get: breakDown });
    await world.get("/").catch(() => null);
    Object.defineProperty(world.env, "DOMAIN", { value: DOMAIN });
    // What went along with the broken request is told by the next one.
    await world.get("/");
  });

  expect(grown[of("failed")]).toBe(1);
});

function breakDown(): never {
  throw new Error("broken on purpose");
}

test("a telling that was cut short is taken up by a later request", async () => {
  vi.stubGlobal("scheduler", { wait: () => new Promise(() => undefined) });
  const request = new Request(world.origin) as unknown as Parameters<typeof worker.fetch>[0];
  await worker.fetch(request, world.env, createExecutionContext());
  vi.stubGlobal("scheduler", { wait: () => Promise.resolve() });
  const grown = await added(async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    await world.get("/");
  });

  expect(grown[of("not-found")]).toBe(2);
});

test("counts outlive the object's eviction", async () => {
  await world.get("/");
  const before = await counts();
  await evictDurableObject(tally().get(tally().idFromName("edge")));
  const after = await counts();

  expect(after.get(of("not-found"))).toBe(before.get(of("not-found")));
});

test("without a tally nothing is counted and nothing breaks", async () => {
  delete world.env.TALLY;
  await world.publish();

  expect((await world.get("/")).status).toBe(200);
  expect((await metrics()).status).toBe(404);
});
