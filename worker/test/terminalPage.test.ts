import { beforeEach, describe, expect, test } from "vitest";
import { HTML, problemCode, service, World } from "./world.ts";

const BARE = "http://localhost:8787";

let world: World;
beforeEach(async () => {
  world = await World.make();
});

/** The addresses that the page names. */
async function named(): Promise<string[]> {
  const page = await (await world.get(`${BARE}/terminal/`, HTML)).text();
  return [...page.matchAll(/(?:href|src)="(\/terminal\/[^"]+)"/g)].map(([, path]) => path ?? "");
}

describe("the terminal's page", () => {
  test.each([BARE, "http://www.localhost:8787"])("is on %s", async (origin) => {
    const response = await world.get(`${origin}/terminal/?vps=a&session=b`, HTML);

    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(await response.text()).toContain('<main id="main"');
  });

  test("is asked for anew, runs no script but its own, and is in no frame", async () => {
    const { headers } = await world.get(`${BARE}/terminal/`, HTML);
    const policy = (headers.get("content-security-policy") ?? "").split("; ");

    expect(headers.get("cache-control")).toBe("no-cache");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("connect-src 'self' ws://localhost:8787");
    expect(policy).toContain("frame-ancestors 'none'");
  });

  test("names files that never change, and they are there", async () => {
    const files = await named();
    const answers = await Promise.all(files.map((path) => world.get(BARE + path)));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));

    expect(files.map((path) => path.split(".").at(-1))).toEqual(["svg", "css", "js"]);
    expect(answers.map(({ headers }) => headers.get("content-type"))).toEqual([
      "image/svg+xml",
      "text/css; charset=utf-8",
      "text/javascript; charset=utf-8",
    ]);
    expect(bodies.every((body) => body.length > 100)).toBe(true);
    for (const { status, headers } of answers) {
      expect(status).toBe(200);
      expect(headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  test("holds no inline script and names nobody else", async () => {
    const page = await (await world.get(`${BARE}/terminal/`, HTML)).text();

    expect(page).not.toMatch(/<script(?![^>]* src=)/);
    expect(page).not.toMatch(/<style| style=|https?:/);
  });

  test("is not on a user's subdomain, where all is the machine's", async () => {
    await world.publish();

    const response = await world.get("/terminal/");

    expect(await response.text()).toBe("from the machine");
  });

  test("is not on the API's name", async () => {
    const response = await world.get("http://api.localhost:8787/terminal/");

    expect(response.status).toBe(404);
  });

  test("is found without its slash, with what the address asks for", async () => {
    const response = await world.get(`${BARE}/terminal?vps=a`, HTML);

    expect(response.status).toBe(308);
    expect(response.headers.get("location")).toBe("/terminal/?vps=a");
  });

  test.each(["index.html", "terminal.AAAAAAAA.js", "../config.capnp", "%2e%2e/x.js"])(
    "has no %s",
    async (name) => {
      const response = await world.get(`${BARE}/terminal/${name}`);

      expect(response.status).toBe(404);
      expect(await problemCode(response)).toBe("not-found");
    },
  );

  test("can be asked about, and takes nothing", async () => {
    const asked = await world.get(`${BARE}/terminal/`, {}, { method: "HEAD" });
    const posted = await world.get(`${BARE}/terminal/`, {}, { method: "POST", body: "x" });

    expect(asked.status).toBe(200);
    expect(asked.headers.get("cache-control")).toBe("no-cache");
    expect(await asked.text()).toBe("");
    expect(posted.status).toBe(405);
  });

  test("says so when it cannot be read", async () => {
    world.env.ASSETS = service(() => {
      throw new Error("away");
    });

    const response = await world.get(`${BARE}/terminal/`);

    expect(response.status).toBe(503);
    expect(await problemCode(response)).toBe("incident");
  });
});
