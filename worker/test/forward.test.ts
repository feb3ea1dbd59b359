import { beforeEach, describe, expect, test } from "vitest";
import { HTML, OWNER, problemCode, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.make();
  await world.publish();
});

describe("a request to a machine", () => {
  test.each(["/", "/a?b=c&d", "//evil.example/x", "/%2e%2e/x", "/api/health", "/a%20b"])(
    "keeps %s and never leaves the target",
    async (path) => {
      await world.get(path);

      expect(world.toMachine[0]?.url).toBe(`https://inv-x.fly.dev${path}`.replace("/%2e%2e", ""));
    },
  );

  test("carries no hop-by-hop header", async () => {
    const hop = { connection: "keep-alive, x-hop", "x-hop": "1", te: "trailers", upgrade: "h2c" };
    await world.get("/", hop);

    const seen = [...(world.toMachine[0]?.headers.keys() ?? [])];
    expect(seen.filter((name) => name in hop)).toEqual([]);
  });

  test("says where it came from", async () => {
    await world.get("/", { "cf-connecting-ip": "192.0.2.1" });

    const headers = world.toMachine[0]?.headers;
    expect(headers?.get("x-forwarded-host")).toBe(`${world.name}.localhost:8787`);
    expect(headers?.get("x-forwarded-proto")).toBe("http");
    expect(headers?.get("x-forwarded-for")).toBe("192.0.2.1");
  });

  test("streams up: the machine reads the first part before the last is sent", async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    world.machine = async (request) => {
      const reader = request.body?.getReader();
      const first = await reader?.read();
      await writer.close();
      return new Response(first?.value);
    };
    const sent = writer.write(new TextEncoder().encode("first"));
    const response = await world.get("/", {}, { method: "POST", body: readable });
    await sent;

    expect(await response.text()).toBe("first");
  });

  test("streams down: the client reads the first event before the last is written", async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    world.machine = () =>
      new Response(readable, { headers: { "content-type": "text/event-stream" } });
    const response = await world.get("/");
    const reader = response.body?.getReader();
    const sent = writer.write(new TextEncoder().encode("data: 1\n\n"));

    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("data: 1\n\n");
    await sent;
    await writer.close();
  });

  test("may become a WebSocket, with the owner's identity", async () => {
    world.machine = () => {
      const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
      return new Response(null, { status: 101, webSocket: client });
    };
    const response = await world.get("/ws", { upgrade: "websocket", ...(await world.as(OWNER)) });
    const socket = response.webSocket;
    const answer = new Promise((resolve) =>
      socket?.addEventListener("message", ({ data }) => resolve(data)),
    );
    socket?.accept();
    socket?.send("hello");

    expect(await answer).toBe("echo hello");
    expect(world.toMachine[0]?.headers.get("upgrade")).toBe("websocket");
    expect(world.toMachine[0]?.headers.has("x-invoker-identity")).toBe(true);
    socket?.close();
  });
});

describe("a machine's answer", () => {
  test("cannot speak in the edge's name", async () => {
    world.machine = () =>
      new Response(null, {
        headers: [
          ["x-invoker-woken", "1"],
          ["set-cookie", "invoker_token=planted; Domain=localhost"],
          ["set-cookie", "theirs=1"],
        ],
      });
    const { headers } = await world.get("/");

    expect(headers.has("x-invoker-woken")).toBe(false);
    expect(headers.getSetCookie()).toEqual(["theirs=1"]);
  });

  test("keeps its redirects, and its own address becomes the public one", async () => {
    world.machine = ({ url }) =>
      new Response(null, {
        status: 302,
        headers: { location: url.endsWith("/own") ? "https://inv-x.fly.dev/a" : "/relative" },
      });

    expect((await world.get("/own")).headers.get("location")).toBe(`${world.origin}/a`);
    expect((await world.get("/x")).headers.get("location")).toBe("/relative");
  });

  test("of 401 becomes the sign-in page for a browser, and stays itself for a program", async () => {
    world.machine = () => new Response("who are you?", { status: 401 });
    const page = await world.get("/x", HTML);
    const plain = await world.get("/x");

    expect(page.status).toBe(401);
    expect(await page.text()).toContain('action="/.invoker/sign-in"');
    expect(await plain.text()).toBe("who are you?");
  });
});

describe("the bare domain", () => {
  test.each([
    ["http://localhost:8787/api/vm/status?x=1", true],
    ["http://api.localhost:8787/api/vm/status", true],
    ["http://localhost:8787/hub/api/x", true],
    ["http://localhost:8787/health", true],
    ["http://localhost:8787/healthy", false],
    ["http://localhost:8787/apis", false],
    ["http://localhost:8787/", false],
  ])("%s goes to the API: %s", async (address, goes) => {
    world.api = () => new Response("from the API");
    const response = await world.get(address, { "x-invoker-identity": "forged" });

    expect((await response.text()) === "from the API").toBe(goes);
    expect(world.toApi[0]?.headers.get("x-invoker-identity") ?? null).toBeNull();
  });

  test("says what this is and how to sign up", async () => {
    const page = await (await world.get("http://localhost:8787/", HTML)).text();

    expect(page).toContain("Sign up");
    expect(page).not.toMatch(/(?:src|href)="https?:/);
  });

  test("tells an incident when the API is down", async () => {
    world.api = () => Promise.reject(new Error("refused"));

    const response = await world.get("http://localhost:8787/api/vm/status");

    expect(response.status).toBe(503);
    expect(await problemCode(response)).toBe("incident");
  });

  test("is only spoken to over https where there is https", async () => {
    world.env.SCHEME = "https";
    const response = await world.get("http://localhost/a?b");

    expect(response.headers.get("location")).toBe("https://localhost/a?b");
  });
});
