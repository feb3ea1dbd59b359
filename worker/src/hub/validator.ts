/** As much of JSON Schema (draft 2020-12) as the protocol uses; any other keyword asserts nothing. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** Keywords that say something about a value, and those that only describe. */
export const KEYWORDS = {
  asserting: [
    "$ref",
    "type",
    "const",
    "enum",
    "properties",
    "required",
    "items",
    "maxItems",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
  ],
  describing: ["$schema", "$id", "$defs", "title", "description", "examples"],
} as const;

/** A value that its schema does not allow: where, and which rule it breaks; never the value. */
export class Invalid extends Error {
  constructor(
    readonly path: string,
    readonly rule: string,
  ) {
    super(`${path === "" ? "the message" : path}: ${rule}`);
  }
}

const REFERENCE = "common.json#/$defs/";
const patterns = new Map<string, RegExp>();

/**
 * Reads a value by its schema: a copy with the properties that the schema knows, in its order.
 * What else an object holds is left out, so that an older side can hear a newer one.
 * @throws Invalid the value breaks a rule.
 */
export function read(
  schema: Schema,
  value: unknown,
  shared: Readonly<Record<string, Schema>>,
  path = "",
): unknown {
  const target = resolve(schema, shared);
  checkType(target, value, path);
  if (target.const !== undefined && value !== target.const) {
    throw new Invalid(path, `is not ${JSON.stringify(target.const)}`);
  }
  if (target.enum !== undefined && !target.enum.includes(value)) {
    throw new Invalid(path, `is none of ${JSON.stringify(target.enum)}`);
  }
  if (typeof value === "string") checkText(target, value, path);
  if (typeof value === "number") checkNumber(target, value, path);
  if (Array.isArray(value)) return readItems(target, value, shared, path);
  if (isObject(value)) return readProperties(target, value, shared, path);
  return value;
}

function resolve(schema: Schema, shared: Readonly<Record<string, Schema>>): Schema {
  if (schema.$ref === undefined) return schema;
  const found = shared[schema.$ref.slice(REFERENCE.length)];
  if (found === undefined) throw new Error(`nothing at ${schema.$ref}`);
  return found;
}

function checkType(schema: Schema, value: unknown, path: string): void {
  if (schema.type === undefined) return;
  const types = [schema.type].flat();
  if (!types.some((type) => isOf(type, value)))
    throw new Invalid(path, `is no ${types.join(" or ")}`);
}

function isOf(type: string, value: unknown): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  if (type === "null") return value === null;
  return typeof value === type;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkText(schema: Schema, value: string, path: string): void {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = schema;
  if (value.length < minLength) throw new Invalid(path, `is shorter than ${minLength}`);
  if (isLonger(value, maxLength)) throw new Invalid(path, `is longer than ${maxLength}`);
  if (pattern !== undefined && !compiled(pattern).test(value)) {
    throw new Invalid(path, `does not match ${pattern}`);
  }
}

/** JSON Schema counts characters, of which some are two of JavaScript's units. */
function isLonger(value: string, most: number): boolean {
  if (value.length <= most) return false;
  return value.length > 2 * most || [...value].length > most;
}

function compiled(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const made = new RegExp(pattern, "u");
  patterns.set(pattern, made);
  return made;
}

function checkNumber(schema: Schema, value: number, path: string): void {
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
  if (value < minimum) throw new Invalid(path, `is less than ${minimum}`);
  if (value > maximum) throw new Invalid(path, `is more than ${maximum}`);
}

function readItems(
  schema: Schema,
  value: readonly unknown[],
  shared: Readonly<Record<string, Schema>>,
  path: string,
): unknown[] {
  const { items = {}, maxItems = Number.POSITIVE_INFINITY } = schema;
  if (value.length > maxItems) throw new Invalid(path, `has more than ${maxItems} items`);
  return value.map((item, index) => read(items, item, shared, `${path}[${index}]`));
}

function readProperties(
  schema: Schema,
  value: Record<string, unknown>,
  shared: Readonly<Record<string, Schema>>,
  path: string,
): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  const inside = (name: string) => (path === "" ? name : `${path}.${name}`);
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) throw new Invalid(inside(name), "is missing");
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (Object.hasOwn(value, name)) copy[name] = read(property, value[name], shared, inside(name));
  }
  return copy;
}
