// Second half of `npm run build`: the terminal's page into dist/terminal/.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const folder = here("../dist/terminal");

mkdirSync(folder, { recursive: true });
const { metafile } = await build({
  entryPoints: [here("terminal.ts"), here("icon.svg")],
  outdir: folder,
  entryNames: "[name].[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  // Of xterm.js, which says there whose work it is.
  legalComments: "inline",
  loader: { ".svg": "copy" },
  logLevel: "warning",
  metafile: true,
});
const made = Object.keys(metafile.outputs).map((path) => basename(path));
const named = (kind) => made.find((name) => name.endsWith(`.${kind}`));

// The page last: until then the one that is there names files that are still there.
const page = readFileSync(here("index.html"), "utf8").replace(/%(\w+)%/g, (_, kind) => named(kind));
writeFileSync(`${folder}/index.html`, page);
// The gateways' programs are beside it (deploy/gateway/build.py).
for (const name of readdirSync(folder)) {
  const ours = name === "index.html" || made.includes(name) || name.endsWith(".pyz");
  if (!ours) rmSync(`${folder}/${name}`);
}
