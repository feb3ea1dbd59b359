# The edge on plain workerd, beside the embedded cloud. A template: deploy/local/edge.py fills in
# what stands behind dollar signs: texts, and how a service is reached.
# Secrets come from the environment, so that the filled-in file holds none.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "kv", $kv),
    (name = "api", $api),
    (name = "auth", $auth),
    # Whatever the Worker fetches goes here: to the simulator of Fly's proxy, https addresses too, over
    # plain http with the Host kept; or to the public network.
    (name = "machines", $machines),
    (name = "objects", disk = (path = $storage, writable = true)),
    (name = "assets", disk = (path = $assets)),
  ],
  sockets = [(name = "http", address = $listen, $socket, service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed $bundle)],
  compatibilityDate = "2026-08-01",
  globalOutbound = "machines",
  durableObjectNamespaces = [
    (className = "Limiter", uniqueKey = "invoker-edge-limiter", enableSql = true),
    (className = "Tally", uniqueKey = "invoker-edge-tally", enableSql = true),
    (className = "GatewayHub", uniqueKey = "invoker-edge-gateway-hub", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [
    (name = "ROUTES", kvNamespace = "kv"),
    (name = "LIMITER", durableObjectNamespace = "Limiter"),
    (name = "TALLY", durableObjectNamespace = "Tally"),
    (name = "GATEWAY_HUB", durableObjectNamespace = "GatewayHub"),
    (name = "ASSETS", service = "assets"),
    (name = "API", service = "api"),
    (name = "AUTH", service = "auth"),
    (name = "API_URL", text = $api_url),
    (name = "DOMAIN", text = $domain),
    (name = "SCHEME", text = $scheme),
    (name = "PUBLIC_PORT", text = $public_port),
    (name = "JWKS_URL", text = $jwks_url),
    (name = "JWT_ISSUER", text = $jwt_issuer),
    (name = "JWT_AUDIENCE", text = $jwt_audience),
    (name = "RATE_LIMIT_PER_MINUTE", text = $rate_limit),
    (name = "EDGE_TOKEN", fromEnvironment = "EDGE_TOKEN"),
    (name = "EDGE_SIGNING_KEY", fromEnvironment = "EDGE_SIGNING_KEY"),
    (name = "JWT_SECRET", fromEnvironment = "JWT_SECRET"),
  ],
);
