import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { beforeEach, describe, expect, test } from "vitest";
import { identify } from "../src/identity.ts";
import { KeySet } from "../src/jwks.ts";
import { HTML, OTHER, OWNER, service, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.make();
  await world.publish();
});

describe("a token", () => {
  const past = Math.floor(Date.now() / 1000) - 10;

  test.each([
    ["another issuer", { iss: "http://evil.example" }],
    ["another audience", { aud: "anon" }],
    ["another role", { role: "anon" }],
    ["no time left", { exp: past }],
    ["a time before it begins", { nbf: Math.floor(Date.now() / 1000) + 600 }],
  ])("with %s is invalid", async (_, claims) => {
    const authorization = `Bearer ${await world.token(claims)}`;

    const response = await world.get("/x", { authorization });

    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toContain("Bearer");
    expect(world.toMachine).toEqual([]);
  });

  test("that is invalid leads a browser to sign in again", async () => {
    const response = await world.get("/x?y=1", { ...HTML, cookie: "invoker_token=nonsense" });

    expect(response.status).toBe(401);
    const page = await response.text();
    expect(page).toContain("Sign in again");
    expect(page).toContain('name="next" value="/x?y=1"');
  });

  test("without a signature is invalid", async () => {
    const [, payload] = (await world.token()).split(".");
    const header = btoa('{"alg":"none"}').replaceAll("=", "");

    expect(await identify(world.env, `${header}.${payload}.`)).toEqual({ kind: "invalid" });
  });

  test("cannot have the public key used as an HMAC secret", async () => {
    const jwk = JSON.stringify(await exportJWK(world.user.publicKey));
    const forged = await new SignJWT({ role: "authenticated" })
      .setProtectedHeader({ alg: "HS256", kid: "user-1" })
      .setSubject(OWNER)
      .setIssuer(world.env.JWT_ISSUER)
      .setAudience("authenticated")
      .setExpirationTime("5m")
      .sign(new TextEncoder().encode(jwk));

    expect(await identify(world.env, forged)).toEqual({ kind: "invalid" });
  });

  test("of an HS256 project is verified with its secret", async () => {
    world.env.JWT_SECRET = "a-secret-of-at-least-32-characters!!";
    const token = await new SignJWT({ role: "authenticated" })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject(OWNER)
      .setIssuer(world.env.JWT_ISSUER)
      .setAudience("authenticated")
      .setExpirationTime("5m")
      .sign(new TextEncoder().encode(world.env.JWT_SECRET));

    expect((await identify(world.env, token)).kind).toBe("user");
  });

  test("of an RS256 project is verified", async () => {
    const { publicKey, privateKey } = await generateKeyPair("RS256");
    const key = { ...(await exportJWK(publicKey)), kid: "rsa" };
    world.env.AUTH = service(() => Response.json({ keys: [key] }));
    const token = await new SignJWT({ role: "authenticated" })
      .setProtectedHeader({ alg: "RS256", kid: "rsa" })
      .setSubject(OWNER)
      .setIssuer(world.env.JWT_ISSUER)
      .setAudience("authenticated")
      .setExpirationTime("5m")
      .sign(privateKey);

    expect((await identify(world.env, token)).kind).toBe("user");
  });

  test("that nobody can judge is an incident, not a refusal", async () => {
    world.env.AUTH = service(() => Promise.reject(new Error("refused")));

    expect((await world.get("/x", await world.as(OWNER))).status).toBe(503);
  });
});

describe("the machine is told who calls", () => {
  test("by a token for this machine, signed with the edge key, for a minute", async () => {
    const owner = await world.as(OWNER);
    await world.get("/x", owner);

    const headers = world.toMachine[0]?.headers;
    const header = headers?.get("x-invoker-identity") ?? "";
    const { payload, protectedHeader } = await jwtVerify(header, world.edge.publicKey, {
      issuer: "invoker-edge",
      audience: "machine-uid",
      algorithms: ["ES256"],
    });
    expect(protectedHeader.kid).toBe("edge-1");
    expect(payload).toMatchObject({ sub: OWNER, email: "ada@example.com" });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(60);
    expect(headers?.get("authorization")).toBe(owner.authorization);
  });

  test("from the cookie as from the header", async () => {
    const token = await world.token();
    await world.get("/x", { cookie: `a=1; invoker_token=${token}; b=2` });

    const headers = world.toMachine[0]?.headers;
    expect(headers?.get("authorization")).toBe(`Bearer ${token}`);
    expect(headers?.get("cookie")).toBe("a=1; b=2");
  });

  test("never by the client", async () => {
    await world.get("/x", {
      "x-invoker-identity": "forged",
      "x-invoker-anything": "forged",
      "fly-force-instance-id": "forged",
      "fly-prefer-region": "forged",
      "x-forwarded-host": "forged",
    });

    const headers = [...(world.toMachine[0]?.headers ?? [])];
    expect(headers.filter(([, value]) => value === "forged")).toEqual([]);
    expect(world.toMachine[0]?.headers.get("fly-force-instance-id")).toBe("instance-1");
  });

  test("not at all when nobody is known", async () => {
    await world.get("/x");

    const headers = world.toMachine[0]?.headers;
    expect([headers?.get("authorization"), headers?.get("x-invoker-identity")]).toEqual([
      null,
      null,
    ]);
  });
});

describe("a cookie counts only for the subdomain's own pages", () => {
  test.each([
    ["another user's page posting", { origin: "http://mallory.localhost:8787" }],
    ["another site's page loading", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" }],
    ["another user's page loading", { "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors" }],
  ])("%s is anonymous", async (_, headers) => {
    await world.get("/x", { cookie: `invoker_token=${await world.token()}`, ...headers });

    expect(world.toMachine[0]?.headers.get("x-invoker-identity")).toBeNull();
  });

  test("a link that is followed is the user", async () => {
    const followed = {
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
    };
    await world.get("/x", { cookie: `invoker_token=${await world.token()}`, ...followed });

    expect(world.toMachine[0]?.headers.get("x-invoker-identity")).not.toBeNull();
  });

  test("behind https only the name that subdomains cannot plant is read", async () => {
    world.env.SCHEME = "https";
    const address = `https://${world.name}.localhost/x`;
    await world.get(address, { cookie: `invoker_token=${await world.token({ sub: OTHER })}` });
    await world.get(address, { cookie: `__Host-invoker_token=${await world.token()}` });

    const seen = world.toMachine.map((request) => request.headers.has("x-invoker-identity"));
    expect(seen).toEqual([false, true]);
  });
});

describe("the key set", () => {
  async function rotating() {
    const keys = [await generateKeyPair("ES256"), await generateKeyPair("ES256")];
    const jwks = await Promise.all(
      keys.map(async ({ publicKey }, n) => ({ ...(await exportJWK(publicKey)), kid: `k${n}` })),
    );
    const auth = { served: [jwks[0]] as unknown[], fetches: 0, up: true, now: 0 };
    const set = new KeySet(
      async () => {
        auth.fetches += 1;
        return auth.up ? Response.json({ keys: auth.served }) : new Response(null, { status: 500 });
      },
      () => auth.now,
    );
    const has = (kid: string) =>
      Promise.resolve(set.get({ alg: "ES256", kid }, { payload: "", signature: "" })).then(
        () => true,
        () => false,
      );
    return { auth, has, rotate: () => auth.served.push(jwks[1]) };
  }

  test("is fetched once for many", async () => {
    const { auth, has } = await rotating();
    await Promise.all([has("k0"), has("k0"), has("k0")]);

    expect(auth.fetches).toBe(1);
  });

  test("takes up a new key when it is first seen", async () => {
    const { auth, has, rotate } = await rotating();
    await has("k0");
    rotate();
    auth.now = 30_000;

    expect([await has("k1"), auth.fetches]).toEqual([true, 2]);
  });

  test("is fetched for unknown keys once in 30 s", async () => {
    const { auth, has } = await rotating();
    await has("k0");
    for (let second = 0; second < 60; second += 1) {
      auth.now = second * 1000;
      await Promise.all([has(`forged-${second}`), has(`other-${second}`)]);
    }

    expect(auth.fetches).toBe(2);
  });

  test("stays in use while the auth server is away", async () => {
    const { auth, has } = await rotating();
    await has("k0");
    auth.up = false;
    auth.now = 3_600_000;

    expect(await has("k0")).toBe(true);
  });

  test("drops a key that was withdrawn, ten minutes later", async () => {
    const { auth, has } = await rotating();
    await has("k0");
    auth.served = [];
    auth.now = 600_000;

    expect(await has("k0")).toBe(false);
  });
});
