import { beforeEach, describe, expect, test } from "vitest";
import { problemCode, World } from "./world.ts";

const BARE = "http://localhost:8787";

let world: World;
beforeEach(async () => {
  world = await World.make();
});

describe("the gateway's releases", () => {
  test.each([
    "/gateway/",
    "/gateway/gateway-9.9.9.pyz",
    "/gateway/index.html",
    "/gateway/..%2findex.html",
    "/gateway/gateway-.pyz",
  ])("are nothing else: %s", async (path) => {
    const response = await world.get(BARE + path);

    expect(response.status).toBe(404);
    expect(await problemCode(response)).toBe("not-found");
  });

  test("are the bare domain's, not a machine's", async () => {
    const response = await world.get("http://alice.localhost:8787/gateway/gateway-1.0.0.pyz");

    expect(response.headers.get("content-type")).not.toBe("application/octet-stream");
  });
});
