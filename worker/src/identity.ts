import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { type Env, via } from "./env.ts";
import { KeySet, KeysUnavailable } from "./jwks.ts";

/** A user whose token has been verified. */
export interface User {
  sub: string;
  email: string;
  token: string;
  expiresAt: number;
}

/** Who calls: nobody known, a user, or somebody with a token that proves nothing. */
export type Caller =
  | { kind: "anonymous" }
  | { kind: "user"; user: User }
  | { kind: "invalid" }
  | { kind: "unknowable" };

const keySets = new Map<string, KeySet>();

/** Verifies the caller's token, offline but for the key set. */
export async function identify(env: Env, token: string | null): Promise<Caller> {
  if (token === null) return { kind: "anonymous" };
  try {
    return { kind: "user", user: readClaims(await verify(env, token), token) };
  } catch (error) {
    if (error instanceof KeysUnavailable) return { kind: "unknowable" };
    if (error instanceof errors.JOSEError || error instanceof TypeError) return { kind: "invalid" };
    throw error;
  }
}

async function verify(env: Env, token: string): Promise<JWTPayload> {
  const rules = {
    issuer: env.JWT_ISSUER,
    audience: env.JWT_AUDIENCE,
    requiredClaims: ["sub", "exp"],
  };
  if (decodeProtectedHeader(token).alg === "HS256" && env.JWT_SECRET) {
    const secret = new TextEncoder().encode(env.JWT_SECRET);
    return (await jwtVerify(token, secret, { ...rules, algorithms: ["HS256"] })).payload;
  }
  // The key set yields an EC key for ES256 and an RSA key for RS256 only, so that the token
  // cannot choose how its key is used.
  const algorithms = ["ES256", "RS256"];
  return (await jwtVerify(token, keySet(env).get, { ...rules, algorithms })).payload;
}

function readClaims(claims: JWTPayload, token: string): User {
  const { sub, exp, role, email } = claims;
  if (role !== "authenticated") throw new errors.JWTInvalid("role is not authenticated");
  if (typeof sub !== "string" || sub === "" || typeof exp !== "number") {
    throw new errors.JWTInvalid("sub and exp are required");
  }
  return { sub, email: typeof email === "string" ? email : "", token, expiresAt: exp };
}

function keySet(env: Env): KeySet {
  const known = keySets.get(env.JWKS_URL);
  if (known !== undefined) return known;
  // Bindings outlive a request; an isolate has one env.
  const made = new KeySet((signal) => via(env.AUTH, new Request(env.JWKS_URL, { signal })));
  keySets.set(env.JWKS_URL, made);
  return made;
}

/** Forgets all key sets; for tests. */
export function forgetKeys(): void {
  keySets.clear();
}
