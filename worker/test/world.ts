import { createExecutionContext, env, waitOnExecutionContext } from "cloudflare:test";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { vi } from "vitest";
import type { Entry } from "../src/entry.ts";
import type { Env } from "../src/env.ts";
import worker from "../src/index.ts";

export const OWNER = "11111111-1111-4111-8111-111111111111";
export const OTHER = "22222222-2222-4222-8222-222222222222";
export const HTML = { accept: "text/html,application/xhtml+xml" };

type Handler = (request: Request) => Response | Promise<Response>;
type Keys = Awaited<ReturnType<typeof generateKeyPair>>;

let worlds = 0;

/** The edge among neighbours that a test can script; every world has a subdomain of its own. */
export class World {
  readonly name = `user${++worlds}`;
  readonly origin = `http://${this.name}.localhost:8787`;
  readonly toMachine: Request[] = [];
  readonly toApi: Request[] = [];
  readonly env: Env;
  machine: Handler = () => new Response("from the machine");
  api: Handler = () => Response.json({ title: "Not found" }, { status: 404 });

  private constructor(
    readonly user: Keys,
    readonly edge: Keys,
    signingKey: string,
    jwks: unknown,
  ) {
    this.env = {
      ROUTES: (env as unknown as Env).ROUTES,
      LIMITER: (env as unknown as Env).LIMITER,
      GATEWAY_HUB: (env as unknown as Env).GATEWAY_HUB,
      ASSETS: (env as unknown as Env).ASSETS,
      API: service((request) => {
        this.toApi.push(request);
        return this.api(request);
      }),
      AUTH: service(() => Response.json(jwks)),
      API_URL: "http://api.internal",
      DOMAIN: "localhost",
      SCHEME: "http",
      PUBLIC_PORT: "8787",
      JWKS_URL: `http://auth.internal/${this.name}/jwks.json`,
      JWT_ISSUER: "http://auth.internal/auth/v1",
      JWT_AUDIENCE: "authenticated",
      RATE_LIMIT_PER_MINUTE: "0",
      EDGE_TOKEN: "edge-token",
      EDGE_SIGNING_KEY: signingKey,
      JWT_SECRET: "",
    };
    vi.stubGlobal("fetch", async (input: RequestInfo, init?: RequestInit) => {
      const request = new Request(input, init);
      this.toMachine.push(request);
      return this.machine(request);
    });
  }

  static async make(): Promise<World> {
    const [user, edge] = await Promise.all([newKeys(), newKeys()]);
    const jwk = { ...(await exportJWK(edge.privateKey)), kid: "edge-1" };
    const key = { ...(await exportJWK(user.publicKey)), kid: "user-1", alg: "ES256" };
    return new World(user, edge, JSON.stringify(jwk), { keys: [key] });
  }

  entry(change: Partial<Entry> = {}): Entry & { version: 1 } {
    return {
      version: 1,
      stamp: 1,
      route: `route-of-${this.name}`,
      account: OWNER,
      state: "running",
      target: "https://inv-x.fly.dev",
      machine: "machine-uid",
      instance: "instance-1",
      redirect: null,
      ...change,
    };
  }

  async publish(change: Partial<Entry> = {}): Promise<void> {
    await this.env.ROUTES.put(`route:${this.name}`, JSON.stringify(this.entry(change)));
  }

  /** The API's answer to a routing lookup. */
  routing(change: Partial<Entry> = {}): Response {
    const entry = this.entry(change);
    return Response.json({ subdomain: this.name, status: entry.state, url: this.origin, entry });
  }

  async token(claims: JWTPayload = {}, header: { alg?: string; kid?: string } = {}) {
    return new SignJWT({ role: "authenticated", email: "ada@example.com", ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "user-1", ...header })
      .setIssuer(String(claims.iss ?? this.env.JWT_ISSUER))
      .setAudience(String(claims.aud ?? "authenticated"))
      .setSubject(claims.sub ?? OWNER)
      .setExpirationTime(claims.exp ?? Math.floor(Date.now() / 1000) + 600)
      .sign(this.user.privateKey);
  }

  async as(sub: string): Promise<{ authorization: string }> {
    return { authorization: `Bearer ${await this.token({ sub })}` };
  }

  /** Sends a request for a path of the user's subdomain, or for a whole address. */
  async get(path: string, headers: HeadersInit = {}, init: RequestInit = {}): Promise<Response> {
    const address = path.startsWith("http") ? path : this.origin + path;
    const ctx = createExecutionContext();
    const request = new Request(address, { ...init, headers }) as Parameters<
      typeof worker.fetch
    >[0];
    const response = await worker.fetch(request, this.env, ctx);
    await waitOnExecutionContext(ctx);
    return response;
  }

  /** Posts one of the edge's own forms. */
  async post(path: string, fields: Record<string, string>, headers: HeadersInit = {}) {
    const init = { method: "POST", body: new URLSearchParams(fields).toString() };
    const type = "application/x-www-form-urlencoded";
    return this.get(path, { ...HTML, "content-type": type, ...headers }, init);
  }
}

function newKeys(): Promise<Keys> {
  return generateKeyPair("ES256", { extractable: true });
}

export function service(handler: Handler): Fetcher {
  const answer = async (input: RequestInfo, init?: RequestInit) =>
    handler(new Request(input, init));
  return { fetch: answer } as unknown as Fetcher;
}

/** The last part of a problem's type. */
export async function problemCode(response: Response): Promise<string> {
  const { type } = await response.json<{ type: string }>();
  return type.replace("urn:invoker:problem:", "");
}
