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
        },
      },
    }),
  ],
  test: { include: ["test/**/*.test.ts"] },
});
