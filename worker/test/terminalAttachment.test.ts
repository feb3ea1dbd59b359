import { beforeEach, describe, expect, test } from "vitest";
import { Attachment } from "../terminal/attachment.ts";
import { PING, waitBefore } from "../terminal/link.ts";
import {
  FakeSocket,
  FakeSurface,
  ManualClock,
  output,
  SESSION,
  settled,
  snapshot,
} from "./terminalWorld.ts";

let clock: ManualClock;
let surface: FakeSurface;
beforeEach(() => {
  clock = new ManualClock();
  surface = new FakeSurface();
});

describe("a view of a session", () => {
  let sockets: FakeSocket[];
  let refusal: string | null;
  let view: Attachment;
  beforeEach(() => {
    sockets = [];
    refusal = null;
    view = new Attachment({
      session: SESSION,
      surface,
      clock,
      random: () => 0,
      open: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      changed: () => undefined,
      shown: () => undefined,
      whyRefused: async () => refusal,
    });
    view.connect();
  });

  function last(): FakeSocket {
    const socket = sockets.at(-1);
    if (socket === undefined) throw new Error("no socket");
    return socket;
  }

  function live(sequence = 0, data = "$ "): void {
    last().onopen?.();
    last().tell({ type: "gateway.status", connected: true });
    last().tell(snapshot(sequence, data));
    surface.draw();
  }

  test("is told from the first try to the screen", () => {
    const states = [view.told.state];
    last().onopen?.();
    states.push(view.told.state);
    last().tell({ type: "gateway.status", connected: true });
    last().tell(snapshot(0, "$ "));
    surface.draw();
    states.push(view.told.state);

    expect(states).toEqual(["connecting", "waiting", "live"]);
    expect(last().of("session.ack")).toEqual([
      { type: "session.ack", session_id: SESSION, sequence: 0 },
    ]);
  });

  test("sends keys while it is live, and none while it is not", () => {
    view.type("early");
    live();
    view.type("l");
    last().tell({ type: "gateway.status", connected: false });
    view.type("late");

    expect(view.told.state).toBe("offline");
    expect(
      last()
        .of("session.input")
        .map(({ data }) => data),
    ).toEqual(["l"]);
  });

  test("gets its screen back when the gateway is back", () => {
    live(5, "before");
    last().tell({ type: "gateway.status", connected: false });
    last().tell({ type: "gateway.status", connected: true });
    const between = view.told.state;
    last().tell(snapshot(9, "after"));
    surface.draw();

    expect([between, view.told.state, surface.text]).toEqual(["waiting", "live", "after"]);
  });

  test("comes back after a break, with a new picture and acks of its own", async () => {
    live(5, "before");
    last().onclose?.({ code: 1006 });
    const lost = view.told.state;
    await clock.pass(500);
    live(2, "after");

    expect([lost, sockets.length, view.told.state, surface.text]).toEqual([
      "lost",
      2,
      "live",
      "after",
    ]);
    expect(
      last()
        .of("session.ack")
        .map(({ sequence }) => sequence),
    ).toEqual([2]);
  });

  test("takes a new connection when output is missing", async () => {
    live();
    const first = last();
    first.tell(output(100, "x"));
    await clock.pass(500);

    expect([first.closed, sockets.length]).toEqual([true, 2]);
  });

  test.each([
    [1000, "ended"],
    [4004, "gone"],
  ])("does not come back after %i", async (code, state) => {
    live();
    last().onclose?.({ code });
    await clock.pass(600_000);

    expect([view.told.state, sockets.length, clock.waiting]).toEqual([state, 1, 0]);
  });

  test.each([1006, 1008, 1009, 1012, 4001])("comes back after %i", async (code) => {
    live();
    last().onclose?.({ code });
    await clock.pass(500);

    expect(sockets.length).toBe(2);
  });

  test("tells how a session has ended", () => {
    live();
    const ended = { type: "session.ended", session_id: SESSION, reason: "exited", exit_code: 3 };
    last().tell(ended);
    last().onclose?.({ code: 1000 });

    expect(view.told).toEqual({
      state: "ended",
      text: "The session has ended with exit code 3.",
    });
  });

  test("comes back to a session that was lost with its VPS' memory, and may begin anew", async () => {
    live(50, "before");
    const first = last();
    const reason = { reason: "lost", exit_code: null };
    first.tell({ type: "session.ended", session_id: SESSION, ...reason });
    first.onclose?.({ code: 1000 });
    const told = view.notice;
    await clock.pass(500);
    live(0, "anew");

    expect(told).toContain("no longer has this session");
    expect([sockets.length, view.told.state, view.notice, surface.text]).toEqual([
      2,
      "live",
      "",
      "anew",
    ]);
  });

  test("asks why it was refused, and stays away when that is for good", async () => {
    refusal = "There is no such session.";
    last().onclose?.({ code: 1006 });
    await clock.pass(600_000);

    expect([view.told, sockets.length]).toEqual([{ state: "refused", text: refusal }, 1]);
  });

  test("tries again when a refusal is not for good", async () => {
    last().onclose?.({ code: 1006 });
    await clock.pass(500);

    expect(sockets.length).toBe(2);
  });

  test("waits longer each time, until a connection was a good one", async () => {
    const waits: number[] = [];
    for (let tries = 0; tries < 9; tries += 1) {
      last().onclose?.({ code: 1006 });
      await settled();
      const before = clock.now();
      const count = sockets.length;
      while (sockets.length === count) await clock.pass(100);
      waits.push(clock.now() - before);
    }
    live();
    await clock.pass(20_000);
    last().onclose?.({ code: 1006 });
    await clock.pass(500);

    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    expect(sockets.length).toBe(11);
  });

  test("tries at once when it is asked to", async () => {
    live();
    last().onclose?.({ code: 1006 });
    view.connect();
    await clock.pass(5_000);

    expect(sockets.length).toBe(2);
  });

  test("pings every four minutes, written as the hub wants it", async () => {
    live();
    for (let minute = 0; minute < 12; minute += 1) {
      await clock.pass(60_000);
      last().tell({ type: "pong" });
    }

    expect(last().sent.filter((text) => text === PING).length).toBe(3);
    expect(sockets.length).toBe(1);
  });

  test("gives up a connection on which nothing answers", async () => {
    live();
    const first = last();
    view.check();
    await clock.pass(20_000);

    expect([first.closed, view.told.state]).toEqual([true, "lost"]);
  });

  test("gives up a connection that does not open", async () => {
    await clock.pass(15_500);

    expect([sockets[0]?.closed, sockets.length]).toEqual([true, 2]);
  });

  test("says what was not sent, until the screen is new", () => {
    live();
    const error = { code: "gateway-offline", message: "The gateway is not connected." };
    last().tell({ type: "error", error, about: "session.input" });
    const told = view.notice;
    last().tell(snapshot(0, "$ "));

    expect([told, view.notice]).toEqual(["What you typed was not sent: the VPS is away.", ""]);
  });

  test("overhears what it does not know", () => {
    live();
    last().tell({ type: "from.the.future" });
    last().onmessage?.({ data: "not JSON" });

    expect(view.told.state).toBe("live");
  });

  test("leaves nothing behind", async () => {
    live();
    view.type("x".repeat(100_000));
    view.stop();

    expect([last().closed, clock.waiting]).toEqual([true, 0]);
  });
});

test("waits are shorter by chance, by half at most", () => {
  expect([waitBefore(0, 0), waitBefore(0, 1), waitBefore(3, 0.5), waitBefore(50, 1)]).toEqual([
    500, 250, 3_000, 15_000,
  ]);
});
