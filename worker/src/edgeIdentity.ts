import { importJWK, type JWK, SignJWT } from "jose";
import type { Env } from "./env.ts";
import type { User } from "./identity.ts";

const ISSUER = "invoker-edge";
const LIFETIME_SECONDS = 60;

interface SigningKey {
  source: string;
  kid: string;
  key: CryptoKey | Uint8Array;
}

let signingKey: SigningKey | null = null;

/** The `x-invoker-identity` header: tells one machine who calls, for a minute. */
export async function signIdentity(env: Env, user: User, machine: string): Promise<string> {
  const { key, kid } = await loadKey(env.EDGE_SIGNING_KEY);
  const issued = Math.floor(Date.now() / 1000);
  return new SignJWT({ email: user.email })
    .setProtectedHeader({ alg: "ES256", kid, typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(machine)
    .setSubject(user.sub)
    .setIssuedAt(issued)
    .setExpirationTime(issued + LIFETIME_SECONDS)
    .sign(key);
}

// Importing costs more than signing, and the key changes only with a deployment.
async function loadKey(source: string): Promise<SigningKey> {
  if (signingKey?.source === source) return signingKey;
  const jwk = JSON.parse(source) as JWK;
  if (typeof jwk.kid !== "string") throw new Error("EDGE_SIGNING_KEY has no kid");
  signingKey = { source, kid: jwk.kid, key: await importJWK(jwk, "ES256") };
  return signingKey;
}
