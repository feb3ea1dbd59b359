import type { Connection, Key, Session, Vps } from "./model.ts";
import { Problem, readProblem, unreachable } from "./problem.ts";

export interface Init {
  method: string;
  headers: Record<string, string>;
  body?: string;
  credentials: "same-origin";
  redirect: "error";
}

/** As much of `fetch` as is used here. */
export type Fetch = (
  path: string,
  init: Init,
) => Promise<{
  status: number;
  ok: boolean;
  headers: { get(name: string): string | null };
  text(): Promise<string>;
}>;

/** The API, with the browser's session: no token ever comes here. */
export class Api {
  /** The keys of wishes of which it is not known what became of them. */
  readonly #wishes = new Map<string, string>();

  /** `entered` is told of every answer whether it was for somebody who is signed in. */
  constructor(
    private readonly fetch: Fetch,
    private readonly entered: (signedIn: boolean) => void,
  ) {}

  async list(): Promise<Vps[]> {
    return (await this.#ask<{ vps: Vps[] }>("GET", "/vps")).vps;
  }

  get(vps: string): Promise<Vps> {
    return this.#ask("GET", path(vps));
  }

  create(wish: Record<string, unknown>): Promise<Vps> {
    return this.#wish("/vps", wish);
  }

  remove(vps: string): Promise<Vps> {
    return this.#ask("DELETE", path(vps));
  }

  power(vps: string, on: boolean): Promise<Vps> {
    return this.#ask("POST", path(vps, on ? "power-on" : "power-off"));
  }

  async sessions(vps: string): Promise<Session[]> {
    return (await this.#ask<{ sessions: Session[] }>("GET", path(vps, "sessions"))).sessions;
  }

  open(vps: string, wish: Record<string, unknown>): Promise<Session> {
    return this.#wish(path(vps, "sessions"), wish);
  }

  async end(vps: string, session: string): Promise<void> {
    await this.#ask("DELETE", path(vps, "sessions", session));
  }

  async keys(vps: string): Promise<Key[]> {
    return (await this.#ask<{ keys: Key[] }>("GET", path(vps, "keys"))).keys;
  }

  addKey(vps: string, wish: Record<string, unknown>): Promise<Key> {
    return this.#wish(path(vps, "keys"), wish);
  }

  async removeKey(vps: string, key: string): Promise<void> {
    await this.#ask("DELETE", path(vps, "keys", key));
  }

  connection(): Promise<Connection> {
    return this.#ask("GET", "/auth/do/connection");
  }

  disconnect(): Promise<Connection> {
    return this.#ask("POST", "/auth/do/disconnect");
  }

  /**
   * Has something made. An answer can be lost, and a droplet costs money:
   * the same wish carries the same key until there is one.
   */
  async #wish<T>(address: string, wish: Record<string, unknown>): Promise<T> {
    const body = JSON.stringify(wish);
    const which = `${address} ${body}`;
    const key = this.#wishes.get(which) ?? randomKey();
    this.#wishes.set(which, key);
    try {
      const headers = { "content-type": "application/json", "idempotency-key": key };
      const made = await this.#ask<T>("POST", address, headers, body);
      this.#wishes.delete(which);
      return made;
    } catch (error) {
      const unknown = error instanceof Problem && (error.status === 0 || error.status >= 500);
      if (!unknown) this.#wishes.delete(which);
      throw error;
    }
  }

  /** @throws Problem the API refuses, or nobody answers. */
  async #ask<T>(
    method: string,
    address: string,
    more: Record<string, string> = {},
    body?: string,
  ): Promise<T> {
    const headers = { accept: "application/json", ...more };
    const sent = body === undefined ? {} : { body };
    const init: Init = { method, headers, credentials: "same-origin", redirect: "error", ...sent };
    let status: number;
    let text: string;
    let retryAfter: string | null;
    try {
      const response = await this.fetch(address, init);
      ({ status } = response);
      retryAfter = response.headers.get("retry-after");
      text = await response.text();
    } catch {
      throw unreachable;
    }
    this.entered(status !== 401);
    if (status < 200 || status > 299) throw readProblem(status, retryAfter, text);
    try {
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch {
      throw unreachable;
    }
  }
}

function path(...parts: string[]): string {
  return `/vps/${parts.map(encodeURIComponent).join("/")}`;
}

// Not `randomUUID`, which browsers have behind https only.
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
