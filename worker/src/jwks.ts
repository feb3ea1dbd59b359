import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";

/** The keys could not be had: nothing can be said about a token. */
export class KeysUnavailable extends Error {}

type Resolve = ReturnType<typeof createLocalJWKSet>;

// Supabase serves its JWKS with max-age=600.
const MAX_AGE_MS = 600_000;
// An unknown key id may be a rotation or a forgery; forgeries must not become requests.
const COOL_DOWN_MS = 30_000;
const RETRY_AFTER_FAILURE_MS = 2_000;
const TIMEOUT_MS = 5_000;

/**
 * A JWKS that is fetched when it is old or does not know a key, at most once in 30 s.
 * Old keys stay in use while the auth server is away.
 */
export class KeySet {
  #resolve: Resolve | null = null;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #nextTry = Number.NEGATIVE_INFINITY;
  #fetching = false;

  constructor(
    private readonly fetchKeys: (signal: AbortSignal) => Promise<Response>,
    private readonly now: () => number = Date.now,
  ) {}

  readonly get: JWTVerifyGetKey = async (header, token) => {
    if (this.now() - this.#fetchedAt >= MAX_AGE_MS) await this.#refresh();
    try {
      return await this.#known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#refresh();
      return await this.#known(header, token);
    }
  };

  #known(...[header, token]: Parameters<Resolve>): ReturnType<Resolve> {
    if (this.#resolve === null) throw new KeysUnavailable("no key set");
    return this.#resolve(header, token);
  }

  async #refresh(): Promise<void> {
    // A request may not await another one's fetch in this runtime, but it may look again.
    const deadline = this.now() + TIMEOUT_MS;
    while (this.#fetching && this.now() < deadline) await scheduler.wait(10);
    if (this.#fetching || this.now() < this.#nextTry) return;
    this.#fetching = true;
    try {
      await this.#load();
    } catch (error) {
      this.#nextTry = this.now() + RETRY_AFTER_FAILURE_MS;
      console.error("jwks fetch failed", String(error));
    } finally {
      this.#fetching = false;
    }
  }

  async #load(): Promise<void> {
    const response = await this.fetchKeys(AbortSignal.timeout(TIMEOUT_MS));
    if (!response.ok) throw new Error(`status ${response.status}`);
    this.#resolve = createLocalJWKSet(await response.json<JSONWebKeySet>());
    this.#fetchedAt = this.now();
    this.#nextTry = this.now() + COOL_DOWN_MS;
  }
}
