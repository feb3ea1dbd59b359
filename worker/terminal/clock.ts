/** What goes off later, so that tests need not wait for it. */
export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Calls back after so many milliseconds, unless what it returns is called before. */
  after(milliseconds: number, callback: () => void): () => void;
}
