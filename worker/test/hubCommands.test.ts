import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../src/hub/protocol.ts";
import { HubWorld, type Peer } from "./hubWorld.ts";
import { problemCode } from "./world.ts";

let hub: HubWorld;
beforeEach(async () => {
  hub = await HubWorld.make();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Whoever waits for something to take too long waits no time. */
function hurry(): number[] {
  const waits: number[] = [];
  vi.stubGlobal("scheduler", {
    wait: (milliseconds: number) => {
      waits.push(milliseconds);
      return Promise.resolve();
    },
  });
  return waits;
}

async function acked(gateway: Peer, count = 1): Promise<Message<"session.end">> {
  const command = await gateway.get("session.end", count);
  gateway.send({ type: "ack", id: command.id, ok: true });
  return command;
}

async function outcome(response: Response): Promise<[number, string]> {
  return [response.status, await problemCode(response)];
}

describe("a command", () => {
  test("is sent to the gateway, and its ack is the answer", async () => {
    const gateway = await hub.start();
    const response = hub.command({ ...hub.end("c-1"), extra: "left out" });
    const sent = await acked(gateway);

    expect(sent).toEqual(hub.end("c-1"));
    expect((await response).status).toBe(200);
    expect(await (await response).json()).toEqual({ type: "ack", id: "c-1", ok: true });
  });

  test("gets an id when it has none", async () => {
    const gateway = await hub.start();
    const response = hub.command(hub.end());
    const { id } = await acked(gateway);

    expect(await (await response).json()).toEqual({ type: "ack", id, ok: true });
  });

  test("that the gateway refuses is answered with its words", async () => {
    const gateway = await hub.start();
    const response = hub.command(hub.end("c-1"));
    const { id } = await gateway.get("session.end");
    const error = { code: "no-such-session", message: "There is no such session." };
    gateway.send({ type: "ack", id, ok: false, error });

    expect(await (await response).json()).toEqual({ type: "ack", id, ok: false, error });
  });

  test("that asks for something waits for it, beyond the ack", async () => {
    const gateway = await hub.start();
    const response = hub.command({ type: "ssh.list", id: "c-1" });
    await gateway.get("ssh.list");
    const keys: Message<"ssh.keys"> = { type: "ssh.keys", id: "c-1", keys: [] };
    gateway.send({ type: "ack", id: "c-1", ok: true });
    gateway.send({
      type: "file.content",
      id: "c-1",
      path: "/",
      offset: 0,
      size_bytes: 0,
      data: "",
    });
    gateway.send(keys);

    expect(await (await response).json()).toEqual(keys);
  });

  test("for a snapshot gets it, and so does who waits for one", async () => {
    const gateway = await hub.start();
    const viewer = await hub.view();
    const command = { type: "session.snapshot.request", session_id: hub.session, id: "c-1" };
    const response = hub.command(command);
    await gateway.get("session.snapshot.request", 2);
    gateway.send({ ...hub.snapshot(9), id: "c-1" });
    const answer = await (await response).json();
    await viewer.get("session.snapshot");

    expect(answer).toEqual({ ...hub.snapshot(9), id: "c-1" });
  });

  test("that is not answered within 10 s is a 504", async () => {
    const waits = hurry();
    await hub.start();
    const found = await outcome(await hub.command(hub.end("c-1")));

    expect(found).toEqual([504, "gateway-timeout"]);
    expect(waits).toEqual([10_000]);
  });

  test("without a gateway is a 503", async () => {
    const response = await hub.command(hub.end());

    expect(response.headers.get("retry-after")).toBe("5");
    expect(await outcome(response)).toEqual([503, "gateway-offline"]);
  });

  test("before the gateway's hello is a 503", async () => {
    await hub.connect();

    expect(await outcome(await hub.command(hub.end()))).toEqual([503, "gateway-offline"]);
  });

  test.each(["goes", "is replaced"])("while which the gateway %s is a 503", async (how) => {
    const gateway = await hub.start();
    const response = hub.command(hub.end());
    await gateway.get("session.end");
    if (how === "goes") gateway.socket.close(1000, "bye");
    else await hub.connect();

    expect(await outcome(await response)).toEqual([503, "gateway-lost"]);
  });
});

describe("the same id", () => {
  test("again is answered as before, and not sent again", async () => {
    const gateway = await hub.start();
    const first = hub.command(hub.end("c-1"));
    await acked(gateway);
    const answers = [await (await first).text(), await (await hub.command(hub.end("c-1"))).text()];
    await gateway.settle();

    expect(answers[1]).toBe(answers[0]);
    expect(gateway.of("session.end").length).toBe(1);
  });

  test("while it is on its way waits for the same answer", async () => {
    const gateway = await hub.start();
    const first = hub.command(hub.end("c-1"));
    await gateway.get("session.end");
    const second = hub.command({ id: "c-1", session_id: hub.session, type: "session.end" });
    await gateway.settle();
    await acked(gateway);

    expect([(await first).status, (await second).status]).toEqual([200, 200]);
    expect(gateway.of("session.end").length).toBe(1);
  });

  test("of another command is a 409", async () => {
    const gateway = await hub.start();
    const first = hub.command(hub.end("c-1"));
    await acked(gateway);
    await first;

    expect(await outcome(await hub.command({ type: "ssh.list", id: "c-1" }))).toEqual([
      409,
      "conflict",
    ]);
  });

  test("after a late ack is answered with it", async () => {
    const gateway = await hub.start();
    hurry();
    const late = await hub.command(hub.end("c-1"));
    await acked(gateway);
    await gateway.settle();
    const again = await hub.command(hub.end("c-1"));

    expect([late.status, again.status]).toEqual([504, 200]);
    expect(gateway.of("session.end").length).toBe(1);
  });

  test("after the connection was lost is sent to the new one", async () => {
    const older = await hub.start();
    const first = hub.command(hub.end("c-1"));
    await older.get("session.end");
    const newer = await hub.start();
    const again = hub.command(hub.end("c-1"));
    await acked(newer);

    expect([(await first).status, (await again).status]).toEqual([503, 200]);
  });

  test("is forgotten after ten minutes", async () => {
    const gateway = await hub.start();
    const first = hub.command(hub.end("c-1"));
    await acked(gateway);
    await first;
    for (let minute = 0; minute < 10; minute += 1) {
      await hub.pass(60_000);
      await gateway.settle();
    }
    const again = hub.command(hub.end("c-1"));
    await acked(gateway, 2);

    expect((await again).status).toBe(200);
  });
});

describe("a command is refused", () => {
  test.each(["", "Bearer another", "Basic edge-token"])("with %j", async (authorization) => {
    const response = await hub.command(hub.end(), { authorization });

    expect(await outcome(response)).toEqual([401, "unauthenticated"]);
  });

  test.each([
    ["{", "the body is not JSON"],
    ["null", "command: type: is missing"],
    [{ type: "session.input" }, "session.input: is not to be sent here"],
    [{ type: "session.end" }, "session.end: session_id: is missing"],
    [{ type: "ssh.list", id: "hub.x" }, "id: those that begin with hub. are the hub's own"],
    [{ type: "file.remove", path: "etc" }, "file.remove: path: does not match ^/[^\\u0000]*$"],
  ])("that is %j, with what is wrong", async (body, detail) => {
    const response = await hub.command(body);

    expect(response.status).toBe(400);
    expect((await response.json<{ detail: string }>()).detail).toBe(detail);
  });

  test("that is too large", async () => {
    expect((await hub.command("x".repeat(524_289))).status).toBe(413);
  });

  test("by another method", async () => {
    const address = `http://localhost:8787/hub/${hub.gateway}/commands`;
    const response = await hub.world.get(address, { authorization: "Bearer edge-token" });

    expect(await outcome(response)).toEqual([405, "method-not-allowed"]);
  });

  test("when 64 others wait", async () => {
    const gateway = await hub.start();
    const waiting = Array.from({ length: 64 }, () => hub.command(hub.end()));
    await gateway.get("session.end", 64);
    const refused = await hub.command(hub.end());
    for (const { id } of gateway.of("session.end")) gateway.send({ type: "ack", id, ok: true });

    expect(await outcome(refused)).toEqual([429, "busy"]);
    expect((await Promise.all(waiting)).every(({ status }) => status === 200)).toBe(true);
  });
});

test("commands do not count against the clients' rate limit, guesses at the token do", async () => {
  hub.world.env.RATE_LIMIT_PER_MINUTE = "3";
  const guess = { authorization: "Bearer guess", "cf-connecting-ip": "203.0.113.9" };
  const guesses = [];
  for (let n = 0; n < 4; n += 1) guesses.push((await hub.command(hub.end(), guess)).status);
  const right = await hub.command(hub.end(), { "cf-connecting-ip": "203.0.113.9" });

  expect(guesses).toEqual([401, 401, 401, 429]);
  expect(right.status).toBe(503);
});

test("a hub that breaks off is asked again, with the same id, and then it is a 503", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const ids: string[] = [];
  const command = ({ id }: { id: string }) => {
    ids.push(id);
    return Promise.reject(new Error("reset"));
  };
  const broken = { idFromName: () => "", get: () => ({ command }) };
  hub.world.env.GATEWAY_HUB = broken as unknown as typeof hub.world.env.GATEWAY_HUB;
  const found = await outcome(await hub.command(hub.end()));

  expect(found).toEqual([503, "hub-unavailable"]);
  expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
});
