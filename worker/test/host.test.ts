import { describe, expect, test } from "vitest";
import { safeNext } from "../src/form.ts";
import { parseHost } from "../src/host.ts";
import { clientKey } from "../src/limiter.ts";
import { World } from "./world.ts";

describe("parseHost", () => {
  test.each([
    ["localhost", "apex"],
    ["www.localhost", "apex"],
    ["localhost.", "apex"],
    ["api.localhost", "api"],
    ["alice.localhost", "user"],
    ["alice.localhost.", "user"],
    ["a-1.localhost", "user"],
    [`${"a".repeat(63)}.localhost`, "user"],
    [`${"a".repeat(64)}.localhost`, "invalid"],
    ["a.b.localhost", "invalid"],
    ["-a.localhost", "invalid"],
    ["a-.localhost", "invalid"],
    ["a_b.localhost", "invalid"],
    [".localhost", "invalid"],
    ["alicelocalhost", "invalid"],
    ["alice.localhost.evil.example", "invalid"],
    ["127.0.0.1", "invalid"],
    ["[::1]", "invalid"],
    ["", "invalid"],
  ])("%s is %s", (hostname, kind) => {
    expect(parseHost(hostname, "localhost").kind).toBe(kind);
  });

  test("a host that is not ours is refused", async () => {
    const world = await World.make();

    expect((await world.get("http://evil.example/")).status).toBe(400);
  });
});

describe("safeNext", () => {
  test.each([
    ["/a/b?c=d", "/a/b?c=d"],
    ["/", "/"],
    [null, "/"],
    ["", "/"],
    ["a", "/"],
    ["https://evil.example/", "/"],
    ["//evil.example/", "/"],
    ["///evil.example/", "/"],
    ["/\\evil.example/", "/"],
    ["/\t/evil.example/", "/"],
    ["/..//evil.example/", "/"],
    ["/.//evil.example/", "/"],
    ["javascript:alert(1)", "/"],
  ])("%j leads to %s", (next, expected) => {
    expect(safeNext(next)).toBe(expected);
  });
});

describe("clientKey", () => {
  test.each([
    [null, "local"],
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::1", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
  ])("%s counts as %s", (address, expected) => {
    expect(clientKey(address)).toBe(expected);
  });
});
