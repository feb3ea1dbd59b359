import { expect, test } from "vitest";
import flows from "../protocol/flows.json";
import { render } from "../protocol/typescript.ts";
import messagesText from "../src/hub/messages.ts?raw";
import { check, Misunderstood, parse, type Type } from "../src/hub/protocol.ts";
import { ANSWERS, SCHEMAS, SHARED } from "../src/hub/schemas.ts";
import schemasText from "../src/hub/schemas.ts?raw";
import { Invalid, KEYWORDS, read, type Schema } from "../src/hub/validator.ts";

const files = import.meta.glob<{ default: Document }>("../protocol/*.json", { eager: true });
type Document = Schema & { $id?: string; examples?: Array<Record<string, unknown>> };

const documents = Object.fromEntries(
  Object.entries(files)
    .map(([path, { default: document }]) => [path.replace(/^.*\/|\.json$/g, ""), document] as const)
    .filter(([name]) => name !== "flows"),
);
const types = Object.keys(SCHEMAS) as Type[];
const examples = types.flatMap((type) =>
  (documents[type]?.examples ?? []).map((example) => ({ type, example })),
);

/** Every schema inside a schema. */
function parts(schema: Schema): Schema[] {
  const inner = [...Object.values(schema.properties ?? {}), schema.items ?? []].flat();
  return [schema, ...inner.flatMap(parts)];
}

function target(schema: Schema): Schema {
  return schema.$ref === undefined ? schema : (SHARED[schema.$ref.split("/").at(-1) ?? ""] ?? {});
}

/** Values that a schema does not allow. */
function wrong(reference: Schema): unknown[] {
  const schema = target(reference);
  const { maximum, minimum, maxItems, maxLength, minLength, pattern } = schema;
  return [
    ...(isOpen(schema) ? [] : [[[]], { not: "this" }, "\u0000 no such word", -0.5]),
    ...(minimum === undefined ? [] : [minimum - 1]),
    ...(maximum === undefined ? [] : [maximum * 2 + 1]),
    ...(maxItems === undefined ? [] : [Array(maxItems + 1).fill(null)]),
    ...(maxLength === undefined ? [] : ["/".padEnd(maxLength + 1, "a")]),
    ...(minLength === undefined ? [] : [""]),
    ...(pattern === undefined ? [] : ["", " "]),
  ].filter((value) => !fits(schema, value));
}

// Text of any kind is what some properties are for.
function isOpen({ type, pattern }: Schema): boolean {
  return [type].flat().includes("string") && pattern === undefined;
}

/** Whether a made-up value happens to be of the schema's type and within its bounds. */
function fits(schema: Schema, value: unknown): boolean {
  const { type, enum: words, const: only, pattern, maxLength = 1e9, minLength = 0 } = schema;
  if (words !== undefined) return words.includes(value);
  if (only !== undefined) return only === value;
  if (typeof value !== "string" || ![type].flat().includes("string")) return false;
  const length = value.length >= minLength && value.length <= maxLength;
  return length && (pattern === undefined || new RegExp(pattern, "u").test(value));
}

test("the TypeScript is what the schemas make", () => {
  const made = render(documents, flows);

  expect(made["messages.ts"]).toBe(messagesText);
  expect(made["schemas.ts"]).toBe(schemasText);
});

test("every file is one type's, and says so", () => {
  const ids = Object.values(documents).map(({ $id }) => $id);

  expect(Object.keys(documents).sort()).toEqual([...types, "common"].sort());
  expect(ids.sort()).toEqual(
    [...types, "common"].map((name) => `https://invoker.dev/protocol/${name}.json`).sort(),
  );
});

test("the schemas use no keyword that the validator does not know", () => {
  const known: readonly string[] = [...KEYWORDS.asserting, ...KEYWORDS.describing];
  const used = [...Object.values(documents), ...Object.values(SHARED)]
    .flatMap(parts)
    .flatMap((schema) => Object.keys(schema));

  expect(used.filter((keyword) => !known.includes(keyword))).toEqual([]);
});

test("every type goes some way, and every command has an answer that the gateway may send", () => {
  const { gatewayToHub, hubToGateway, viewerToHub, hubToViewer } = flows;
  const going = new Set([...gatewayToHub, ...hubToGateway, ...viewerToHub, ...hubToViewer]);

  expect([...going].sort()).toEqual([...types].sort());
  expect(Object.values(ANSWERS).filter((type) => !gatewayToHub.includes(type))).toEqual([]);
  expect(Object.keys(ANSWERS).filter((type) => !hubToGateway.includes(type))).toEqual([]);
});

test.each(types)("%s has examples, and all of them are valid", (type) => {
  const found = examples.filter((one) => one.type === type).map(({ example }) => example);

  expect(found.length).toBeGreaterThan(0);
  expect(found.map((example) => check(example, types))).toEqual(found);
});

test.each(examples)("$type without any one of its properties is not valid", ({ type, example }) => {
  const passed = (SCHEMAS[type].required ?? []).filter((name) => {
    const { [name]: _, ...rest } = example;
    return accepts(rest);
  });

  expect(passed).toEqual([]);
});

test("for every property there are values that are wrong", () => {
  const properties = types.flatMap((type) => Object.values<Schema>(SCHEMAS[type].properties));

  expect(properties.filter((property) => wrong(property).length === 0)).toEqual([]);
});

test.each(examples)("$type with any one property wrong is not valid", ({ type, example }) => {
  const schema: Schema = SCHEMAS[type];
  const passed = Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    wrong(property)
      .filter((value) => accepts({ ...example, [name]: value }))
      .map((value) => [name, value]),
  );

  expect(passed).toEqual([]);
});

function accepts(value: unknown): boolean {
  try {
    check(value, types);
    return true;
  } catch (error) {
    if (error instanceof Misunderstood) return false;
    throw error;
  }
}

test("what is inside arrays and objects is checked, too, and named", () => {
  const session = { session_id: "0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a10", sequence: -1 };
  const hello = { type: "gateway.hello", protocol: 1, version: "1.0.0", sessions: [session] };

  expect(() => check(hello, types)).toThrow("sessions[0].sequence: is less than 0");
});

test("properties that are not known are left out", () => {
  const text = '{"type": "ping", "extra": 1, "__proto__": {"extra": 2}}';

  expect(parse(text, types)).toEqual({ type: "ping" });
});

test.each(["", "{", "null", "[]", "7", '"ping"', "{}", '{"type": 7}', '{"type": "no"}'])(
  "%j is no message",
  (text) => {
    expect(() => parse(text, types)).toThrow(Misunderstood);
  },
);

test("a message that others may send is refused", () => {
  expect(() => parse('{"type": "ping"}', ["pong"])).toThrow("is not to be sent here");
});

test("an error never repeats what it is about", () => {
  const message = { type: "ssh.list", id: "a secret that is no id" };

  expect(() => check(message, types)).toThrow(/^id: does not match/);
});

test.each([
  ["😀😀", 2, true],
  ["😀😀😀", 2, false],
  ["aaa", 2, false],
])("the length of %s is counted in characters", (text, maxLength, fine) => {
  const reading = () => read({ type: "string", maxLength }, text, {});

  if (fine) expect(reading()).toBe(text);
  else expect(reading).toThrow(Invalid);
});
