import { FRAME_PAYLOAD } from "./limits.ts";

const VERSION = 1;
/** Version (1 byte), session id (16), sequence (8, big-endian); the payload follows. */
export const HEADER = 25;
/** The largest frame, in bytes. */
export const FRAME_SIZE = HEADER + FRAME_PAYLOAD;

/** What a frame's header says. */
export interface Frame {
  session: string;
  /** The session's output before this frame, in bytes. */
  sequence: number;
  length: number;
}

/** Reads a frame's header; null: it is none of version 1, or empty. */
export function readFrame(data: ArrayBuffer): Frame | null {
  const length = data.byteLength - HEADER;
  if (length < 1) return null;
  const view = new DataView(data);
  if (view.getUint8(0) !== VERSION) return null;
  const sequence = view.getBigUint64(17);
  if (sequence > BigInt(Number.MAX_SAFE_INTEGER - length)) return null;
  return { session: readSession(data), sequence: Number(sequence), length };
}

function readSession(data: ArrayBuffer): string {
  const bytes = [...new Uint8Array(data, 1, 16)];
  const digits = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
