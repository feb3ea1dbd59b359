import { beforeEach, describe, expect, test } from "vitest";
import { Attachment } from "../terminal/attachment.ts";
import { Input } from "../terminal/input.ts";
import { PING, waitBefore } from "../terminal/link.ts";
import { Screen } from "../terminal/screen.ts";
import { frame } from "./hubWorld.ts";
import { FakeSocket, FakeSurface, ManualClock, settled } from "./terminalWorld.ts";

const SESSION = "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10";
const HELD = 30_000;

let clock: ManualClock;
let surface: FakeSurface;
beforeEach(() => {
  clock = new ManualClock();
  surface = new FakeSurface();
});

function output(sequence: number, text: string): ArrayBuffer {
  return frame(SESSION, sequence, new TextEncoder().encode(text));
}

function snapshot(sequence: number, data: string) {
  const id = "hub.snapshot";
  const size = { columns: 100, rows: 30 };
  return { type: "session.snapshot", id, session_id: SESSION, sequence, ...size, data } as const;
}

describe("a session's output", () => {
  let acks: number[];
  let screen: Screen;
  beforeEach(() => {
    acks = [];
    screen = new Screen(surface, clock, (sequence) => acks.push(sequence));
  });

  test("is drawn behind the snapshot, which replaces everything", () => {
    screen.snapshot(snapshot(10, "old"), () => undefined);
    screen.frame(SESSION, output(10, "er"));
    screen.snapshot(snapshot(40, "new"), () => undefined);
    screen.frame(SESSION, output(40, "est"));
    surface.draw();

    expect(surface.text).toBe("newest");
    expect(surface.size).toEqual([100, 30]);
  });

  test("is not drawn before a snapshot, nor of another session", () => {
    screen.frame(SESSION, output(0, "early"));
    screen.snapshot(snapshot(5, "$ "), () => undefined);
    screen.frame("99999999-6a7e-4c51-9a55-2f0c6d1f7a10", output(5, "other"));
    surface.draw();

    expect(surface.text).toBe("$ ");
  });

  test("is drawn once, even when it comes twice or in part", () => {
    screen.snapshot(snapshot(0, ""), () => undefined);
    screen.frame(SESSION, output(0, "abc"));
    screen.frame(SESSION, output(0, "abc"));
    screen.frame(SESSION, output(1, "bcde"));
    surface.draw();

    expect(surface.text).toBe("abcde");
  });

  test("with a gap is refused, and nothing is drawn until the next snapshot", () => {
    screen.snapshot(snapshot(0, ""), () => undefined);
    const missed = screen.frame(SESSION, output(7, "late"));
    screen.frame(SESSION, output(0, "x"));
    surface.draw();

    expect([missed, screen.live, surface.text]).toEqual([false, false, ""]);
  });

  test("is acknowledged only once it is drawn", async () => {
    screen.snapshot(snapshot(3, "abc"), () => undefined);
    screen.frame(SESSION, output(3, "x".repeat(HELD)));
    await clock.pass(1_000);
    const before = [...acks];
    surface.draw();
    const first = [...acks];
    await clock.pass(1_000);

    expect([before, first, acks]).toEqual([[], [3], [3, 3 + HELD]]);
  });

  test("is acknowledged at once after 32 KiB, and little of it together", async () => {
    screen.snapshot(snapshot(0, ""), () => undefined);
    for (let at = 0; at < 3; at += 1) {
      screen.frame(SESSION, output(at * HELD, "x".repeat(HELD)));
      surface.draw();
    }
    const large = [...acks];
    for (let at = 0; at < 5; at += 1) {
      screen.frame(SESSION, output(3 * HELD + at, "x"));
      surface.draw();
    }
    await clock.pass(100);

    expect(large).toEqual([0, 2 * HELD]);
    expect(acks).toEqual([0, 2 * HELD, 3 * HELD + 5]);
  });

  test("of a picture that has been replaced is not acknowledged", async () => {
    screen.snapshot(snapshot(900, "old"), () => undefined);
    screen.frame(SESSION, output(900, "x"));
    // The gateway began anew: its sequences did, too.
    screen.snapshot(snapshot(2, "new"), () => undefined);
    surface.draw();
    await clock.pass(1_000);

    expect(acks).toEqual([2]);
  });
});

describe("what is typed", () => {
  let sent: Array<[string, string]>;
  let input: Input;
  beforeEach(() => {
    sent = [];
    input = new Input((data, encoding) => {
      sent.push([data, encoding]);
      return data.length + 60;
    }, clock);
  });

  test("goes at once, as text or as bytes", () => {
    input.text("ä");
    input.bytes("\u001b[M\u00ff");

    expect(sent).toEqual([
      ["ä", "utf-8"],
      ["G1tN/w==", "base64"],
    ]);
  });

  test("goes in pieces when it is much, slower than the hub's rate, in order", async () => {
    const pasted = "0123456789".repeat(20_000);
    input.text(pasted);
    const atOnce = sent.length;
    input.text("!");
    await clock.pass(1_000);
    const within = sent.map(([data]) => data).join("").length;
    await clock.pass(10_000);

    expect(atOnce).toBe(1);
    expect(within).toBeLessThan(200_000);
    expect(sent.map(([data]) => data).join("")).toBe(`${pasted}!`);
    expect(Math.max(...sent.map(([data]) => data.length))).toBeLessThanOrEqual(16_384);
  });

  test("is cut between characters only", async () => {
    const pasted = `x${"😀".repeat(10_000)}`;
    input.text(pasted);
    await clock.pass(10_000);

    // `isWellFormed` is false of a text with half a character in it.
    expect(sent.every(([data]) => data.isWellFormed())).toBe(true);
    expect(sent.map(([data]) => data).join("")).toBe(pasted);
  });

  test("is not sent late", async () => {
    input.text("x".repeat(100_000));
    const dropped = input.drop();
    const count = sent.length;
    await clock.pass(10_000);

    expect([dropped, sent.length]).toEqual([true, count]);
  });
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
