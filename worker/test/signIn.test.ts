import { beforeEach, describe, expect, test } from "vitest";
import { World } from "./world.ts";

const FIELDS = { email: "ada@example.com", password: "secret", next: "/dash?tab=1" };

let world: World;
beforeEach(async () => {
  world = await World.make();
  world.api = async () => Response.json({ access_token: await world.token() });
});

describe("sign in", () => {
  test("sets the cookie and goes back to the page", async () => {
    const response = await world.post("/.invoker/sign-in", FIELDS, { origin: world.origin });

    expect(response.status).toBe(303);
    expect(response.headers.get("location")).toBe("/dash?tab=1");
    expect(response.headers.get("set-cookie")).toMatch(
      /^invoker_token=[\w.-]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/,
    );
    const login = world.toApi[0];
    expect(login?.url).toBe("http://api.internal/api/auth/login");
    expect(await login?.json()).toEqual({ email: FIELDS.email, password: FIELDS.password });
  });

  test("behind https the cookie is Secure and bound to the host", async () => {
    world.env.SCHEME = "https";
    const response = await world.post(`https://${world.name}.localhost/.invoker/sign-in`, FIELDS);

    expect(response.headers.get("set-cookie")).toMatch(/^__Host-invoker_token=.*; Secure$/);
  });

  test.each([
    { origin: "http://evil.example" },
    { origin: "http://mallory.localhost:8787" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate" },
  ])("is refused from elsewhere: %j", async (headers) => {
    const response = await world.post("/.invoker/sign-in", FIELDS, headers);

    expect([response.status, response.headers.get("set-cookie")]).toEqual([403, null]);
    expect(world.toApi).toEqual([]);
  });

  test.each(["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])(
    "cannot lead to %s",
    async (next) => {
      const response = await world.post("/.invoker/sign-in", { ...FIELDS, next });

      expect(response.headers.get("location")).toBe("/");
    },
  );

  test("says that the password is wrong, and keeps where to go", async () => {
    world.api = () => Response.json({ title: "Unauthorized" }, { status: 401 });
    const response = await world.post("/.invoker/sign-in", FIELDS);

    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null]);
    const page = await response.text();
    expect(page).toContain('role="alert"');
    expect(page).toContain('value="/dash?tab=1"');
    expect(page).not.toContain("secret");
  });

  test("never sets a token that does not verify", async () => {
    world.api = async () => Response.json({ access_token: await world.token({ exp: 1 }) });
    const response = await world.post("/.invoker/sign-in", FIELDS);

    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null]);
  });

  test("tells an incident when the API is down", async () => {
    world.api = () => Promise.reject(new Error("refused"));

    expect((await world.post("/.invoker/sign-in", FIELDS)).status).toBe(503);
  });

  test("passes on that there were too many attempts", async () => {
    world.api = () => new Response(null, { status: 429, headers: { "retry-after": "7" } });
    const response = await world.post("/.invoker/sign-in", FIELDS);

    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "7"]);
  });

  test("does not read a body without end", async () => {
    const response = await world.post("/.invoker/sign-in", { email: "x".repeat(20_000) });

    expect(response.status).toBe(400);
    expect(world.toApi).toEqual([]);
  });

  test("escapes what it repeats", async () => {
    await world.publish();
    world.machine = () => new Response(null, { status: 401 });
    const page = await (await world.get('/"><script>?"', { accept: "text/html" })).text();

    expect(page).not.toContain("<script");
  });

  test("the page never submits to another host", async () => {
    await world.publish();
    world.machine = () => new Response(null, { status: 401 });
    const page = await (await world.get("//evil.example/", { accept: "text/html" })).text();

    expect(page).toContain('name="next" value="/evil.example/"');
  });
});

test("sign out forgets the cookie", async () => {
  const response = await world.post("/.invoker/sign-out", {});

  expect(response.status).toBe(303);
  expect(response.headers.get("set-cookie")).toContain("invoker_token=; Path=/; Max-Age=0");
});

describe("sign up on the bare domain", () => {
  const form = { email: "ada@example.com", password: "secret1", first_name: "Ada" };

  test("says where the workspace will be", async () => {
    world.api = () => Response.json({ subdomain: "ada" }, { status: 201 });
    const response = await world.post("http://localhost:8787/.invoker/sign-up", form);

    expect(response.status).toBe(201);
    expect(await response.text()).toContain('href="http://ada.localhost:8787/.invoker/sign-in"');
    expect(await world.toApi[0]?.json()).toEqual(form);
  });

  test("says why it did not work", async () => {
    world.api = () => Response.json({ detail: "password: too short" }, { status: 422 });
    const response = await world.post("http://localhost:8787/.invoker/sign-up", form);

    expect(response.status).toBe(422);
    expect(await response.text()).toContain("password: too short");
  });

  test("wants the e-mail confirmed where Supabase does", async () => {
    world.api = () => Response.json({ subdomain: null, reason: "email_confirmation_required" });
    const response = await world.post("http://localhost:8787/.invoker/sign-up", form);

    expect(await response.text()).toContain("Confirm your e-mail");
  });
});
