// `npm run protocol`: writes src/hub/messages.ts and schemas.ts from the schemas of this folder.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { render } from "./typescript.ts";

const folder = new URL(".", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const names = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "flows.json");
const schemas = Object.fromEntries(names.map((name) => [name.slice(0, -5), read(name)]));
for (const [name, text] of Object.entries(render(schemas, read("flows.json")))) {
  writeFileSync(new URL(`../src/hub/${name}`, folder), text);
}
