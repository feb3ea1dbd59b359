import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { h } from "./dom.ts";
import type { Surface } from "./screen.ts";

/** A terminal's size in characters. */
export interface Size {
  columns: number;
  rows: number;
}

// The protocol's largest; below two columns xterm.js draws nothing.
const MOST = 1_000;
const LEAST = 2;
const SETTLED_MS = 150;

/** The terminal on the page. */
export class TerminalView implements Surface {
  readonly element = h("div", { class: "screen", "data-testid": "screen" });
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #observer: ResizeObserver;
  #timer = 0;

  constructor(
    title: string,
    listener: {
      text(data: string): void;
      bytes(data: string): void;
      /** The window has another size, or this is where somebody types now. */
      fitted(size: Size): void;
      /** Somebody wants out. */
      left(): void;
    },
  ) {
    this.#terminal = new Terminal({
      fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize: 14,
      scrollback: 5_000,
      minimumContrastRatio: 4.5,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      theme: { background: "#17161c", foreground: "#efedf4", cursor: "#c0a9ff" },
    });
    this.#terminal.loadAddon(this.#fit);
    answerNothing(this.#terminal);
    this.#terminal.attachCustomKeyEventHandler((event) => this.#key(event, () => listener.left()));
    this.#terminal.onData((data) => listener.text(data));
    this.#terminal.onBinary((data) => listener.bytes(data));
    this.element.setAttribute("aria-label", `Terminal of ${title}`);
    const tell = () => {
      const size = this.propose();
      if (size !== null) listener.fitted(size);
    };
    this.element.addEventListener("focusin", tell);
    this.#observer = new ResizeObserver(() => {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(tell, SETTLED_MS);
    });
  }

  /** Draws; the element must be on the page. */
  open(): void {
    this.#terminal.open(this.element);
    // The border box: with scrollbars, for a session larger than the window, nobody resized it.
    this.#observer.observe(this.element, { box: "border-box" });
  }

  get size(): Size {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** The size that fills the window; null: it is not shown. */
  propose(): Size | null {
    // A fitted terminal needs no scrollbars: those that are there now leave it no less room.
    this.element.style.overflow = "hidden";
    const found = this.#fit.proposeDimensions();
    this.element.style.overflow = "";
    if (found === undefined || !(found.cols > 0 && found.rows > 0)) return null;
    const within = (number: number) => Math.min(MOST, Math.max(LEAST, number));
    return { columns: within(found.cols), rows: within(found.rows) };
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  write(data: string | Uint8Array, drawn: () => void): void {
    this.#terminal.write(data, drawn);
  }

  /** Whether what is typed goes anywhere. */
  set enabled(enabled: boolean) {
    this.#terminal.options.disableStdin = !enabled;
  }

  /** Whether what is shown is there for screen readers as well; it costs time. */
  set spoken(spoken: boolean) {
    this.#terminal.options.screenReaderMode = spoken;
  }

  focus(): void {
    this.#terminal.focus();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#observer.disconnect();
    this.#terminal.dispose();
  }

  /** Whether a key is the program's. */
  #key(event: KeyboardEvent, left: () => void): boolean {
    if (event.type !== "keydown" || !event.ctrlKey || event.altKey || event.metaKey) return true;
    if (event.key === "F6") {
      event.preventDefault();
      left();
      return false;
    }
    // The browser copies a selection; without one it interrupts the program, as ever.
    return !(event.key === "c" && !event.shiftKey && this.#terminal.hasSelection());
  }
}

/**
 * Keeps a terminal from answering what programs ask of it: what it is, where the cursor is.
 * The droplet's own terminal has answered that already, and every viewer would once more.
 */
function answerNothing({ parser }: Terminal): void {
  const silent = () => true;
  const questions = [
    { final: "c" },
    { prefix: ">", final: "c" },
    { prefix: "=", final: "c" },
    { final: "n" },
    { prefix: "?", final: "n" },
    { prefix: ">", final: "q" },
    { intermediates: "$", final: "p" },
    { prefix: "?", intermediates: "$", final: "p" },
  ];
  for (const question of questions) parser.registerCsiHandler(question, silent);
  parser.registerDcsHandler({ intermediates: "$", final: "q" }, silent);
  // Colours: a question mark asks, anything else sets.
  for (const colour of [4, 10, 11, 12])
    parser.registerOscHandler(colour, (data) => data.split(";").includes("?"));
}
