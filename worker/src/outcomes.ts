import type vocabulary from "./outcomes.json";

/** What a request got: a word of outcomes.json, which docs and alerts are made from, too. */
export type Outcome = keyof typeof vocabulary.outcomes;

const marks = new WeakMap<Response, Outcome>();

/** Notes what a response means, for the count. */
export function mark(response: Response, outcome: Outcome): Response {
  marks.set(response, outcome);
  return response;
}

/** What was noted of a response. */
export function outcomeOf(response: Response): Outcome | undefined {
  return marks.get(response);
}
