import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    cloudflareTest({
      main: "./src/index.ts",
      miniflare: {
        compatibilityDate: "2026-08-01",
        kvNamespaces: ["ROUTES"],
        durableObjects: {
          LIMITER: { className: "Limiter", useSQLite: true },
          TALLY: { className: "Tally", useSQLite: true },
          GATEWAY_HUB: { className: "GatewayHub", useSQLite: true },
        },
        // As on plain workerd; `npm run build` makes it.
        serviceBindings: { ASSETS: { disk: { path: "./dist/terminal" } } },
        // What objects are given; a Worker's own environment is its test's World.
        bindings: { API_URL: "http://api.internal", EDGE_TOKEN: "edge-token" },
      },
    }),
  ],
  test: { include: ["test/**/*.test.ts"] },
});
