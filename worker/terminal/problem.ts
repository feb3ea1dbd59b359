/** One field and the rule that it breaks. */
export interface FieldError {
  field: string;
  rule: string;
}

/** A refusal (RFC 9457), or that nobody answered. */
export class Problem extends Error {
  constructor(
    /** The HTTP status; 0: nobody answered. */
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly errors: FieldError[] = [],
    /** Seconds after which it is worth asking again. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail === "" ? title : `${title}: ${detail}`);
  }
}

export const unreachable = new Problem(
  0,
  "unreachable",
  "Not reachable",
  "Nobody answers. Check your connection; this page tries again by itself.",
);

/** A problem's body, whatever it is. */
export function readProblem(status: number, retryAfter: string | null, body: string): Problem {
  const told = decoded(body);
  const title = text(told.title) ?? `The answer was ${status}`;
  const detail = text(told.detail) ?? "";
  const code = text(told.type)?.replace("urn:invoker:problem:", "") ?? "unknown";
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  const wait = Number.isFinite(seconds) && seconds > 0 ? seconds : null;
  return new Problem(status, code, title, detail, fields(told.errors), wait);
}

function decoded(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function fields(value: unknown): FieldError[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: Record<string, unknown> | null) => {
    const [field, rule] = [text(one?.field), text(one?.rule)];
    return field === null || rule === null ? [] : [{ field, rule }];
  });
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** The errors of a form with these fields: each where it belongs, the others in words. */
export function sortErrors(
  problem: Problem,
  names: readonly string[],
): { byField: Map<string, string>; general: string } {
  const byField = new Map<string, string>();
  const rest: string[] = [];
  for (const { field, rule } of problem.errors) {
    // A list's item is told at its list.
    const name = names.find((one) => field === one || field.startsWith(`${one}.`));
    if (name === undefined) rest.push(`${field}: ${rule}`);
    else byField.set(name, [byField.get(name), rule].filter(Boolean).join("; "));
  }
  if (problem.errors.length > 0 && rest.length === 0) {
    return { byField, general: "Correct what is marked, and send it again." };
  }
  return { byField, general: rest.length > 0 ? rest.join("; ") : problem.message };
}
