import { FAULTS, FAULTS_WITHIN_MS, type Rate } from "./limits.ts";

/** What one connection has used up of its rate, and what it did wrong lately. */
export interface Allowance {
  messages: number;
  characters: number;
  at: number;
  faults: number;
  faultsSince: number;
}

/** An allowance of which nothing is used. */
export function fullAllowance(now: number): Allowance {
  return { messages: 0, characters: 0, at: now, faults: 0, faultsSince: now };
}

/** Takes a message from the allowance; false: it is more than the rate. */
export function take(used: Allowance, rate: Rate, characters: number, now: number): boolean {
  const seconds = Math.max(0, now - used.at) / 1000;
  used.at = now;
  used.messages = Math.max(0, used.messages - seconds * rate.messages);
  used.characters = Math.max(0, used.characters - seconds * rate.characters);
  const fits =
    used.messages + 1 <= rate.messagesAtOnce &&
    used.characters + characters <= rate.charactersAtOnce;
  if (!fits) return false;
  used.messages += 1;
  used.characters += characters;
  return true;
}

/** Gives a message back. */
export function refund(used: Allowance): void {
  used.messages = Math.max(0, used.messages - 1);
}

/** Notes that something was wrong; true: once too often. */
export function fault(used: Allowance, now: number): boolean {
  if (now - used.faultsSince >= FAULTS_WITHIN_MS) {
    used.faults = 0;
    used.faultsSince = now;
  }
  used.faults += 1;
  return used.faults >= FAULTS;
}
