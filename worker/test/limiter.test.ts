import { evictDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { clientKey } from "../src/limiter.ts";
import { problemCode, World } from "./world.ts";

let world: World;
let clients = 0;
let client: { "cf-connecting-ip": string };

beforeEach(async () => {
  world = await World.make();
  await world.publish();
  world.env.RATE_LIMIT_PER_MINUTE = "20";
  clients += 1;
  client = { "cf-connecting-ip": `192.0.2.${clients}` };
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
});

afterEach(() => {
  vi.useRealTimers();
});

async function statuses(count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let n = 0; n < count; n += 1) seen.push((await world.get("/", client)).status);
  return seen;
}

test("the request after the last allowed one is told when to come again", async () => {
  const allowed = await statuses(20);
  const refused = await world.get("/", client);

  expect(allowed.every((status) => status === 200)).toBe(true);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("60");
  expect(await problemCode(refused)).toBe("rate-limited");
});

test("an allowance comes back exactly when it was promised", async () => {
  await statuses(10);
  vi.setSystemTime(Date.now() + 30_000);
  await statuses(10);
  const refused = await world.get("/", client);
  const seconds = Number(refused.headers.get("retry-after"));
  vi.setSystemTime(Date.now() + seconds * 1000);

  expect(seconds).toBe(30);
  expect(await statuses(11)).toEqual([...Array(10).fill(200), 429]);
});

test("refused requests do not prolong the wait", async () => {
  await statuses(40);
  vi.setSystemTime(Date.now() + 60_000);

  expect(await statuses(1)).toEqual([200]);
});

test("addresses are counted apart", async () => {
  await statuses(21);
  client = { "cf-connecting-ip": `198.51.100.${clients}` };

  expect(await statuses(1)).toEqual([200]);
});

test("a spent allowance outlives the object's eviction", async () => {
  await statuses(20);
  const { LIMITER } = world.env;
  const name = clientKey(client["cf-connecting-ip"]);
  await evictDurableObject(LIMITER.get(LIMITER.idFromName(name)));

  expect(await statuses(1)).toEqual([429]);
});

test("a limiter that fails lets requests through", async () => {
  const broken = {
    idFromName: () => "",
    get: () => ({ take: () => Promise.reject(new Error("x")) }),
  };
  world.env.LIMITER = broken as unknown as typeof world.env.LIMITER;

  expect(await statuses(1)).toEqual([200]);
});
