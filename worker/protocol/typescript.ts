// The TypeScript of the protocol, from its schemas. Pure, so that a test can compare; generate.mjs
// reads and writes the files.

/** As much of JSON Schema (draft 2020-12) as the protocol uses; src/hub/validator.ts knows the same. */
export interface Schema {
  $ref?: string;
  description?: string;
  type?: string | readonly string[];
  const?: unknown;
  enum?: readonly unknown[];
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
}

export interface Flows {
  version: number;
  gatewayToHub: readonly string[];
  hubToGateway: readonly string[];
  viewerToHub: readonly string[];
  hubToViewer: readonly string[];
  answers: Readonly<Record<string, string>>;
}

const SIMPLE: Readonly<Record<string, string>> = {
  string: "string",
  integer: "number",
  number: "number",
  boolean: "boolean",
  null: "null",
};

const ORIGIN = "// Made by `npm run protocol` from protocol/*.json: change those.";

/** What is made: the files' texts by name; `schemas` by file name without its ending. */
export function render(
  schemas: Readonly<Record<string, Schema>>,
  flows: Flows,
): Record<string, string> {
  const names = Object.keys(schemas)
    .filter((name) => name !== "common")
    .sort();
  return {
    "messages.ts": types(names, schemas),
    "schemas.ts": registry(names, flows),
  };
}

function types(names: readonly string[], schemas: Readonly<Record<string, Schema>>): string {
  const parts = [
    ORIGIN,
    ...names.map((name) => declaration(name, schemas)),
    "\n/** Every message by its type. */",
    "export interface Messages {",
    ...names.map((name) => `  ${key(name)}: ${typeName(name)};`),
    "}",
  ];
  return `${parts.join("\n")}\n`;
}

function registry(names: readonly string[], flows: Flows): string {
  const parts = [
    ORIGIN,
    ...[...names, "common"]
      .sort()
      .map((name) => `import ${variable(name)} from "../../protocol/${name}.json";`),
    'import type { Messages } from "./messages.ts";',
    'import type { Schema } from "./validator.ts";',
    "",
    "/** The protocol's version. */",
    `export const PROTOCOL = ${flows.version};`,
    "",
    "/** Every message's schema by its type. */",
    "export const SCHEMAS = {",
    ...names.map((name) => `  ${key(name)}: ${variable(name)},`),
    "} satisfies Record<keyof Messages, Schema>;",
    "",
    "/** What several messages share. */",
    "export const SHARED: Readonly<Record<string, Schema>> = common.$defs;",
    "",
    list("GATEWAY_SENDS", flows.gatewayToHub),
    list("GATEWAY_HEARS", flows.hubToGateway),
    list("VIEWER_SENDS", flows.viewerToHub),
    list("VIEWER_HEARS", flows.hubToViewer),
    "/** Commands, and what answers them when they succeed. */",
    "export const ANSWERS = {",
    ...Object.entries(flows.answers).map(([from, to]) => `  ${key(from)}: "${to}",`),
    "} as const satisfies Partial<Record<keyof Messages, keyof Messages>>;",
  ];
  return `${parts.join("\n")}\n`;
}

function declaration(name: string, schemas: Readonly<Record<string, Schema>>): string {
  const schema = schemas[name] ?? {};
  const body = shape(schema, schemas, 0);
  return `\n/** ${schema.description ?? name} */\nexport interface ${typeName(name)} ${body}`;
}

function shape(schema: Schema, schemas: Readonly<Record<string, Schema>>, depth: number): string {
  const indent = "  ".repeat(depth + 1);
  const lines = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const mark = schema.required?.includes(name) ? "" : "?";
    return `${indent}${key(name)}${mark}: ${typeOf(property, schemas, depth + 1)};`;
  });
  return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}

function typeOf(schema: Schema, schemas: Readonly<Record<string, Schema>>, depth: number): string {
  if (schema.$ref !== undefined) return typeOf(shared(schema.$ref, schemas), schemas, depth);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "object") return shape(schema, schemas, depth);
  if (schema.type === "array") return `Array<${typeOf(schema.items ?? {}, schemas, depth)}>`;
  const types = [schema.type ?? []].flat();
  return types.map((type) => SIMPLE[type] ?? "unknown").join(" | ");
}

function shared(reference: string, schemas: Readonly<Record<string, Schema>>): Schema {
  const name = reference.replace("common.json#/$defs/", "");
  const found = (schemas.common as { $defs?: Record<string, Schema> }).$defs?.[name];
  if (found === undefined) throw new Error(`nothing at ${reference}`);
  return found;
}

function list(name: string, types: readonly string[]): string {
  const rows = types.map((type) => `  "${type}",`).join("\n");
  return `export const ${name} = [\n${rows}\n] as const satisfies ReadonlyArray<keyof Messages>;\n`;
}

function words(name: string): string[] {
  return name.split(".").map((word) => word.charAt(0).toUpperCase() + word.slice(1));
}

function typeName(name: string): string {
  return `${words(name).join("")}Message`;
}

function variable(name: string): string {
  const joined = words(name).join("");
  return joined.charAt(0).toLowerCase() + joined.slice(1);
}

function key(name: string): string {
  return /^[a-z_][a-z0-9_]*$/i.test(name) ? name : `"${name}"`;
}
