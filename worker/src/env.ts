import type { GatewayHub } from "./hub/hub.ts";
import type { Limiter } from "./limiter.ts";
import type { Tally } from "./tally.ts";

/** What the runtime gives the Worker; docs/protocols.md lists both deployments. */
export interface Env {
  ROUTES: KVNamespace;
  LIMITER: DurableObjectNamespace<Limiter>;
  GATEWAY_HUB: DurableObjectNamespace<GatewayHub>;
  /** The files of the terminal's page. */
  ASSETS: Fetcher;
  /** Adds up the metrics; without it nothing is counted. */
  TALLY?: DurableObjectNamespace<Tally>;
  /** The API as a service of the same workerd; absent on Cloudflare. */
  API?: Fetcher;
  /** Where `JWKS_URL` is reached in workerd, whose own outbound is the machines' proxy. */
  AUTH?: Fetcher;
  API_URL: string;
  DOMAIN: string;
  SCHEME: string;
  PUBLIC_PORT: string;
  JWKS_URL: string;
  JWT_ISSUER: string;
  JWT_AUDIENCE: string;
  RATE_LIMIT_PER_MINUTE: string;
  EDGE_TOKEN: string;
  EDGE_SIGNING_KEY: string;
  JWT_SECRET: string;
}

/** The first of `service` and the open internet that exists. */
export function via(service: Fetcher | undefined, request: Request): Promise<Response> {
  return service === undefined ? fetch(request) : service.fetch(request);
}
