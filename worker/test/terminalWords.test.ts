import { describe, expect, test } from "vitest";
import { addressOf, type Place, placeOf, socketAddress } from "../terminal/address.ts";
import { Api, type Fetch, type Init } from "../terminal/api.ts";
import type { Connection, Key, Session, Vps } from "../terminal/model.ts";
import { type Pace, Poller } from "../terminal/poller.ts";
import { Problem, readProblem, sortErrors } from "../terminal/problem.ts";
import {
  bytesWords,
  connectionWords,
  durationWords,
  endWords,
  expiryOf,
  keyWords,
  sessionWords,
  vpsWords,
} from "../terminal/words.ts";
import { ManualClock } from "./terminalWorld.ts";

const VPS: Vps = {
  vps_id: "v",
  name: "box",
  status: "running",
  message: "",
  remedy: null,
  region: "ams3",
  size: "s-1vcpu-1gb",
  image: "debian",
  ipv4: "203.0.113.7",
  power: "on",
  created_at: "2026-01-01T00:00:00Z",
  monthly_usd: 6,
  gateway: { connected: true, version: "1.0.0", last_seen_at: null },
  health: {
    cpu_percent: 3.4,
    memory_used_bytes: 210_000_000,
    memory_total_bytes: 1_010_000_000,
    disk_used_bytes: 2_100_000_000,
    disk_total_bytes: 25_000_000_000,
    uptime_seconds: 8_000,
    at: "2026-01-01T00:00:00Z",
  },
  agents: [],
};

const SESSION: Session = {
  session_id: "s",
  name: "session-1",
  vps_id: "v",
  title: "build",
  agent_type: "shell",
  workdir: "/root",
  status: "running",
  message: "",
  created_at: "2026-01-01T00:00:00Z",
  started_at: null,
  ended_at: null,
  exit_code: null,
};

const KEY: Key = {
  key_id: "k",
  name: "key-1",
  vps_id: "v",
  fingerprint: "SHA256:abc",
  label: "laptop",
  type: "user",
  expires_at: null,
  status: "authorized",
  message: "",
};

function fact(vps: Vps, name: string): string | undefined {
  return vpsWords(vps).facts.find((one) => one.name === name)?.text;
}

describe("a VPS in words", () => {
  test("says what it costs, where it is and how it is", () => {
    expect(fact(VPS, "cost")).toBe("$6.00 a month");
    expect(fact(VPS, "ipv4")).toBe("203.0.113.7");
    expect(fact(VPS, "health")).toBe(
      "CPU 3 %, memory 210 MB of 1.0 GB, disk 2.1 GB of 25 GB, up 2 h",
    );
    expect(fact({ ...VPS, monthly_usd: null }, "cost")).toBe("not known yet");
    expect(fact({ ...VPS, health: null }, "health")).toBeUndefined();
  });

  test.each<[string, string, boolean, string | null, boolean]>([
    ["provisioning", "on", true, null, true],
    ["provisioning_timeout", "on", false, null, true],
    ["running", "on", false, "off", true],
    ["offline", "on", false, "off", true],
    ["powering_off", "off", true, null, true],
    ["off", "off", false, "on", true],
    ["powering_on", "on", true, null, true],
    ["deleting", "on", true, null, false],
    ["from_the_future", "on", false, "off", true],
  ])("%s: what is under way, and what can be asked", (status, power, busy, can, deletable) => {
    const words = vpsWords({ ...VPS, status, power: power as "on" | "off" });

    expect([words.busy, words.power, words.canDelete]).toEqual([busy, can, deletable]);
    expect(words.text).not.toContain("_");
  });

  test("numbers are short", () => {
    expect([0, 999, 1_000, 999_600, 12_345_678].map(bytesWords)).toEqual([
      "0 B",
      "999 B",
      "1.0 KB",
      "1.0 MB",
      "12 MB",
    ]);
    expect([59, 3_599, 3_600, 200_000].map(durationWords)).toEqual([
      "0 min",
      "59 min",
      "1 h",
      "2 days",
    ]);
  });
});

test("a session can be attached to while it is not over", () => {
  const states = ["starting", "waiting", "running", "ended", "failed"];
  const words = states.map((status) => sessionWords({ ...SESSION, status }));

  expect(words.map(({ open }) => open)).toEqual([true, true, true, false, false]);
  expect(words.map(({ busy }) => busy)).toEqual([true, true, false, false, false]);
  expect(sessionWords({ ...SESSION, message: "It runs." }).about).toBe("shell · /root · It runs.");
});

test("an end says its exit code, when there is one", () => {
  expect(endWords(0)).toBe("The session has ended with exit code 0.");
  expect(endWords(null)).toBe("The session has ended.");
});

test("a key says whose it is and until when", () => {
  const ends = { ...KEY, type: "support", expires_at: "2026-01-02T00:00:00Z" };

  expect(keyWords(KEY, String).about).toBe("SHA256:abc · yours · without end");
  expect(keyWords(ends, String).about).toContain("support's · until 2026-01-02");
  expect(expiryOf("1d", 0)).toBe("1970-01-02T00:00:00.000Z");
  expect(expiryOf("never", 0)).toBeNull();
});

test.each<[string, string | null, boolean]>([
  ["none", "connect", false],
  ["connecting", null, true],
  ["connected", "disconnect", false],
  ["refreshing", "disconnect", false],
  ["revoked", "connect", false],
  ["disconnecting", null, true],
  ["disconnected", "connect", false],
])("a connection that is %s", (state, can, busy) => {
  const connection: Connection = { state, team: null, message: "" };

  const words = connectionWords(connection);

  expect([words.can, words.busy]).toEqual([can, busy]);
});

describe("an address", () => {
  const places: Place[] = [
    { kind: "home" },
    { kind: "vps", vps: "a b" },
    { kind: "session", vps: "a&b", session: "ü" },
  ];

  test.each(places)("leads back to $kind", (place) => {
    expect(placeOf(new URL(addressOf(place), "http://x").search)).toEqual(place);
  });

  test("of a socket is on the page's own host, and escaped", () => {
    const page = { protocol: "https:", host: "example.test:8443" };

    expect(socketAddress(page, "../x", "a&b")).toBe(
      "wss://example.test:8443/vps/..%2Fx/terminal?session_id=a%26b",
    );
  });
});

describe("a problem", () => {
  test("is told by title and detail, and a field's where the field is", () => {
    const errors = [
      { field: "region", rule: "is none" },
      { field: "agents.0", rule: "is unknown" },
      { field: "body", rule: "is odd" },
    ];
    const body = JSON.stringify({ type: "urn:invoker:problem:x", title: "T", detail: "D", errors });

    const problem = readProblem(422, "7", body);
    const { byField, general } = sortErrors(problem, ["region", "agents"]);

    expect([problem.message, problem.code, problem.retryAfter]).toEqual(["T: D", "x", 7]);
    expect([...byField]).toEqual([
      ["region", "is none"],
      ["agents", "is unknown"],
    ]);
    expect(general).toBe("body: is odd");
  });

  test.each(["", "<html>", "null", '{"errors": [null, {}]}'])("is told of %s", (body) => {
    const problem = readProblem(502, null, body);

    expect([problem.message, problem.errors]).toEqual(["The answer was 502", []]);
  });
});

describe("the API", () => {
  function answering(status: number, body: string): { asked: Array<[string, Init]>; fetch: Fetch } {
    const asked: Array<[string, Init]> = [];
    const fetch: Fetch = async (path, init) => {
      asked.push([path, init]);
      return new Response(body === "" ? null : body, { status });
    };
    return { asked, fetch };
  }

  test("is asked on this host, with the browser's session and no token", async () => {
    const { asked, fetch } = answering(200, '{"vps": []}');

    await new Api(fetch, () => undefined).list();

    expect(asked).toEqual([
      [
        "/vps",
        {
          method: "GET",
          headers: { accept: "application/json" },
          credentials: "same-origin",
          redirect: "error",
        },
      ],
    ]);
  });

  test("is asked about what it is asked about", async () => {
    const { asked, fetch } = answering(202, "");

    await new Api(fetch, () => undefined).end("a/b", "..%");

    expect(asked.map(([path]) => path)).toEqual(["/vps/a%2Fb/sessions/..%25"]);
  });

  test("is asked again with the same key until it is known what became of a wish", async () => {
    const { asked, fetch } = answering(202, "{}");
    const answers = [503, 0, 202, 202];
    const failing: Fetch = async (path, init) => {
      const status = answers[asked.length] ?? 202;
      const response = await fetch(path, init);
      if (status === 0) throw new TypeError("failed");
      return status === 202 ? response : new Response("{}", { status });
    };
    const api = new Api(failing, () => undefined);
    for (let tries = 0; tries < 4; tries += 1) {
      await api.create({ region: "ams3" }).catch(() => undefined);
    }
    await api.create({ region: "fra1" });
    const keys = asked.map(([, { headers }]) => headers["idempotency-key"] ?? "");

    expect(new Set(keys.slice(0, 3)).size).toBe(1);
    expect(new Set(keys.slice(2)).size).toBe(3);
    expect(keys.every((key) => /^[0-9a-f]{32}$/.test(key))).toBe(true);
  });

  test.each([
    [200, true],
    [404, true],
    [401, false],
  ])("tells by %i whether somebody is signed in", async (status, signedIn) => {
    const told: boolean[] = [];
    const { fetch } = answering(status, '{"vps": []}');

    await new Api(fetch, (one) => told.push(one)).list().catch(() => undefined);

    expect(told).toEqual([signedIn]);
  });

  test("that does not answer is a problem like any other", async () => {
    const api = new Api(
      () => Promise.reject(new TypeError("failed")),
      () => undefined,
    );

    const problem: unknown = await api.list().catch((error: unknown) => error);

    expect(problem).toBeInstanceOf(Problem);
    expect((problem as Problem).status).toBe(0);
  });
});

describe("looking again", () => {
  function polling(answers: Array<Pace | Problem>) {
    const clock = new ManualClock();
    const looks: number[] = [];
    const poller = new Poller(async () => {
      looks.push(clock.now());
      const answer = answers[Math.min(looks.length, answers.length) - 1] ?? "later";
      if (answer instanceof Problem) throw answer;
      return answer;
    }, clock);
    return { clock, looks, poller };
  }

  test("is soon while something is under way, and seldom otherwise", async () => {
    const { clock, looks, poller } = polling(["soon", "soon", "later"]);
    poller.now();
    await clock.pass(40_000);

    expect(looks).toEqual([0, 2_000, 4_000, 19_000, 34_000]);
  });

  test("stops while nobody sees it, and is done at once when somebody does", async () => {
    const { clock, looks, poller } = polling(["soon"]);
    poller.now();
    await clock.pass(1_000);
    poller.hide(true);
    await clock.pass(600_000);
    poller.hide(false);
    await clock.pass(1_000);

    expect(looks).toEqual([0, 601_000]);
  });

  test("waits as long as it is told to, and not at all for ever", async () => {
    const limited = new Problem(429, "rate-limited", "Slow down", "", [], 30);
    const { clock, looks, poller } = polling([limited, new Problem(503, "x", "", ""), "later"]);
    poller.now();
    await clock.pass(36_000);

    expect(looks).toEqual([0, 30_000, 35_000]);
  });

  test("is one look at a time", async () => {
    const clock = new ManualClock();
    let [under, most, count] = [0, 0, 0];
    const poller = new Poller(async () => {
      count += 1;
      under += 1;
      most = Math.max(most, under);
      await new Promise<void>((resolve) => clock.after(3_000, resolve));
      under -= 1;
      return "later";
    }, clock);
    poller.now();
    poller.now();
    poller.now();
    await clock.pass(10_000);

    expect([most, count]).toEqual([1, 2]);
  });

  test("ends", async () => {
    const { clock, looks, poller } = polling(["soon"]);
    poller.now();
    await clock.pass(0);
    poller.stop();
    await clock.pass(60_000);

    expect([looks.length, clock.waiting]).toEqual([1, 0]);
  });
});
