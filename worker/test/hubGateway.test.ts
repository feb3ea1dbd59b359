import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HubWorld, peerOf, TOKEN } from "./hubWorld.ts";
import { problemCode } from "./world.ts";

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The requests that the Worker sent to the API, but for reports. */
function questions(): string[] {
  return hub.world.toApi.map(({ url }) => new URL(url).pathname);
}

describe("a gateway's upgrade", () => {
  test("is for the API to allow, each time anew", async () => {
    const first = await hub.connect();
    const second = await hub.connect();
    hub.authentication = 401;
    const third = await hub.connect();

    expect([first.status, second.status, third.status]).toEqual([101, 101, 401]);
    expect(questions().filter((path) => path.endsWith("/authentication")).length).toBe(3);
  });

  test.each([
    [{ upgrade: "" }, 426, "upgrade-required"],
    [{ "x-gateway-id": "" }, 401, "unauthenticated"],
    [{ "x-gateway-id": "../../api/vps" }, 401, "unauthenticated"],
    [{ authorization: "" }, 401, "unauthenticated"],
    [{ authorization: "Basic abc" }, 401, "unauthenticated"],
    [{ authorization: "Bearer short" }, 401, "unauthenticated"],
  ])("with %j is refused without asking", async (headers, status, code) => {
    const response = await hub.connect(headers);

    expect([response.status, await problemCode(response)]).toEqual([status, code]);
    expect(questions()).toEqual([]);
  });

  test.each([
    [401, 401, "unauthenticated"],
    [404, 404, "not-found"],
    [500, 503, "incident"],
    [200, 503, "incident"],
  ])("that the API answers with %d is refused", async (answer, status, code) => {
    hub.authentication = answer;
    const response = await hub.connect();

    expect([response.status, await problemCode(response)]).toEqual([status, code]);
  });

  test("is not refused for good by a 404 that is not the API's own", async () => {
    hub.authentication = 404;
    hub.notFound = "about:blank";

    expect((await hub.connect()).status).toBe(503);
  });

  test("is refused while the API cannot be reached, and no token is logged", async () => {
    const lines = vi.spyOn(console, "error").mockImplementation(() => undefined);
    hub.world.api = () => Promise.reject(new Error(`lost with ${TOKEN}`));
    const response = await hub.connect();

    expect(response.status).toBe(503);
    expect(JSON.stringify(lines.mock.calls)).not.toContain(TOKEN);
  });

  test("is nobody's on a user's subdomain", async () => {
    const response = await hub.world.get("/gw/connect", { upgrade: "websocket" });

    expect(response.status).toBe(404);
    expect(questions()).toEqual([`/api/routing/${hub.world.name}`]);
  });
});

describe("a terminal's upgrade", () => {
  test("asks the API with the cookie, the VPS and the session", async () => {
    const seen: unknown[] = [];
    const { api } = hub.world;
    hub.world.api = async (request) => {
      seen.push(await request.clone().json());
      return api(request);
    };
    const response = await hub.open({}, "my%20box", "main");

    expect(response.status).toBe(101);
    expect(seen).toEqual([{ vps: "my box", session: "main", cookie: "session=abc" }]);
  });

  test("from no browser needs no origin", async () => {
    const address = "http://localhost:8787/vps/box/terminal?session_id=main";
    const headers = { upgrade: "websocket", cookie: "session=abc" };

    expect((await hub.world.get(address, headers)).status).toBe(101);
  });

  test.each([
    [{ origin: "http://evil.example" }, 403, "cross-origin"],
    [{ origin: "http://alice.localhost:8787" }, 403, "cross-origin"],
    [{ origin: "null" }, 403, "cross-origin"],
    [{ cookie: "" }, 401, "unauthenticated"],
    [{ cookie: "c".repeat(8_193) }, 401, "unauthenticated"],
    [{ upgrade: "" }, 426, "upgrade-required"],
  ])("with %o is refused without asking", async (headers, status, code) => {
    const response = await hub.open(headers);

    expect([response.status, await problemCode(response)]).toEqual([status, code]);
    expect(questions()).toEqual([]);
  });

  test.each(["box", "%ff"])("of %s without a session is refused", async (vps) => {
    expect((await hub.open({}, vps, "")).status).toBe(404);
  });

  test.each([
    [401, 401],
    [403, 403],
    [404, 404],
    [500, 503],
  ])("that the API answers with %d is refused", async (answer, status) => {
    hub.authorization = answer;

    expect((await hub.open()).status).toBe(status);
  });

  test.each([{}, { gateway: "no uid" }, { viewer: "v".repeat(129) }])(
    "is refused when the API's answer is wrong: %j",
    async (change) => {
      vi.spyOn(console, "error").mockImplementation(() => undefined);
      const { gateway, session } = hub;
      const right = { gateway, session, viewer: "v", account: "a" };
      const answer = Object.keys(change).length === 0 ? {} : { ...right, ...change };
      hub.world.api = () => Response.json(answer);

      expect((await hub.open()).status).toBe(503);
    },
  );
});

test("what else is below /vps and /auth is the API's", async () => {
  hub.world.api = () => new Response("from the API");
  const texts = await Promise.all(
    ["/vps", "/vps/box/sessions", "/auth/do", "/hub/api/machines"].map(async (path) =>
      (await hub.world.get(`http://localhost:8787${path}`)).text(),
    ),
  );

  expect(texts).toEqual(Array(4).fill("from the API"));
});

describe("a gateway's connection", () => {
  test("gives way to a newer one, and its late end changes nothing", async () => {
    const older = await hub.start();
    const viewer = await hub.watch(older);
    const newer = await hub.start();
    const end = await older.end();
    newer.send(hub.snapshot(0));
    newer.send(hub.output(0, 4));
    await newer.settle();
    await viewer.settle();
    await hub.pass(1_000);
    await hub.pass(40_000);

    expect(end).toEqual({ code: 4000, reason: "replaced by a newer connection" });
    expect(viewer.frames()).toEqual([hub.output(0, 4)]);
    expect(hub.kinds()).not.toContain("disconnected");
  });

  test("may be away for 30 s before it counts as offline", async () => {
    const gateway = await hub.start();
    await hub.pass(1_000);
    gateway.socket.close(1000, "bye");
    await gateway.end();
    await hub.pass(29_999);
    const within = hub.kinds();
    await hub.pass(1);
    await hub.pass(1_000);

    expect(within).toEqual(["connected", "gateway.hello"]);
    expect(hub.kinds()).toEqual(["connected", "gateway.hello", "disconnected"]);
  });

  test("that comes back within the grace was never offline", async () => {
    const gateway = await hub.start();
    await hub.pass(1_000);
    gateway.socket.close(1000, "bye");
    await gateway.end();
    await hub.pass(20_000);
    const again = await hub.start();
    await hub.pass(20_000);
    await again.settle();

    expect(hub.kinds()).toEqual(["connected", "gateway.hello", "gateway.hello"]);
  });

  test("that comes back after it was offline is connected anew", async () => {
    const gateway = await hub.start();
    await hub.pass(1_000);
    gateway.socket.close(1000, "bye");
    await gateway.end();
    await hub.pass(30_000);
    await hub.pass(1_000);
    await hub.start();
    await hub.pass(1_000);

    expect(hub.kinds().slice(2)).toEqual(["disconnected", "connected", "gateway.hello"]);
  });

  test("that is silent for 90 s is ended", async () => {
    const gateway = await hub.start();
    await hub.pass(89_999);
    const open = gateway.closed === null;
    await hub.pass(1);
    const end = await gateway.end();

    expect(open).toBe(true);
    expect(end).toEqual({ code: 1008, reason: "silent for too long" });
  });

  test("has to say hello within 10 s", async () => {
    const gateway = peerOf(await hub.connect());
    gateway.send({
      type: "session.ended",
      session_id: hub.session,
      reason: "lost",
      exit_code: null,
    });
    const { error } = await gateway.get("error");
    await gateway.settle();
    await hub.pass(10_000);

    expect(error.code).toBe("no-hello");
    expect(await gateway.end()).toEqual({ code: 1008, reason: "no hello" });
  });

  test("that speaks another version is ended", async () => {
    const gateway = peerOf(await hub.connect());
    gateway.send({ ...hub.hello(), protocol: 2 });

    expect(await gateway.end()).toEqual({ code: 1008, reason: "the hub speaks version 1" });
  });

  test("is answered pings without waking anybody", async () => {
    const gateway = peerOf(await hub.connect());
    gateway.send({ type: "ping" });

    expect(await gateway.get("pong")).toEqual({ type: "pong" });
  });

  test("ends when the API no longer knows the gateway, and nothing is left", async () => {
    const gateway = await hub.start();
    const viewer = await hub.watch(gateway);
    hub.observations = 404;
    await hub.pass(1_000);
    const ends = [await gateway.end(), await viewer.end()];

    expect(ends).toEqual(Array(2).fill({ code: 4004, reason: "the gateway is not known" }));
    expect(await hub.pass(1_000_000)).toBe(false);
  });

  test("stays while something else than the API answers that nothing is there", async () => {
    const gateway = await hub.start();
    hub.observations = 404;
    hub.notFound = "about:blank";
    await hub.pass(1_000);
    hub.observations = 204;
    await hub.pass(1_000);

    expect(hub.kinds()).toEqual(["connected", "gateway.hello"]);
    expect(gateway.closed).toBe(null);
  });

  test("says hello once", async () => {
    const gateway = await hub.start();
    gateway.send(hub.hello());

    expect((await gateway.get("error")).error.code).toBe("malformed");
    await hub.pass(1_000);
    expect(hub.kinds()).toEqual(["connected", "gateway.hello"]);
  });
});
