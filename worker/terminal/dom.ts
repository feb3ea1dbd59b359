type Child = Node | string | null;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/** An element: attributes by name, listeners as `onclick`; text is never markup. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Sets a text, and leaves alone what says that already: a selection in it stays. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element: HTMLElement, shown: boolean): void {
  element.hidden = !shown;
}

/** Something on the page that is kept up to date. */
export interface Part<T> {
  readonly element: HTMLElement;
  update(value: T): void;
}

/** A list whose items stay the same elements, so that focus and typed text stay. */
export class Keyed<T> {
  readonly #parts = new Map<string, Part<T>>();

  constructor(
    private readonly parent: HTMLElement,
    private readonly key: (value: T) => string,
    private readonly make: (value: T) => Part<T>,
  ) {}

  update(values: readonly T[]): void {
    const keys = new Set(values.map(this.key));
    for (const [key, part] of this.#parts) {
      if (keys.has(key)) continue;
      part.element.remove();
      this.#parts.delete(key);
    }
    for (const [index, value] of values.entries()) this.#place(value, index);
  }

  #place(value: T, index: number): void {
    const key = this.key(value);
    const part = this.#parts.get(key) ?? this.make(value);
    this.#parts.set(key, part);
    part.update(value);
    const there = this.parent.children[index] ?? null;
    if (there !== part.element) this.parent.insertBefore(part.element, there);
  }
}

/** A status in words, whose look is no more than a hint. */
export function badge(testId: string): HTMLElement {
  return h("span", { class: "badge", "data-testid": testId });
}

export function setBadge(
  element: HTMLElement,
  { text, tone }: { text: string; tone: string },
): void {
  setText(element, text);
  element.dataset.tone = tone;
}

/** A moment as people here write it. */
export function timeWords(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
