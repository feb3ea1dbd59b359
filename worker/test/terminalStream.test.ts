import { beforeEach, describe, expect, test } from "vitest";
import { Input } from "../terminal/input.ts";
import { Screen } from "../terminal/screen.ts";
import { FakeSurface, ManualClock, output, SESSION, snapshot } from "./terminalWorld.ts";

const HELD = 30_000;

let clock: ManualClock;
let surface: FakeSurface;
beforeEach(() => {
  clock = new ManualClock();
  surface = new FakeSurface();
});

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
    screen.frame(SESSION, output(0, "ab"));
    screen.frame(SESSION, output(5, "f"));
    surface.draw();

    expect(surface.text).toBe("abcdef");
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
