/** How long a gateway may be away before it counts as offline. */
export const GRACE_MS = 30_000;
/** A gateway that is silent for so long (three healths) has a connection that is none. */
export const SILENCE_MS = 90_000;
/** How long a connection may take to say hello. */
export const HELLO_MS = 10_000;
/** How long a viewer may be silent, pings included. */
export const IDLE_MS = 600_000;
/** How long a viewer may watch before it has to show anew who it is: accounts and sign-ins end. */
export const VIEW_MS = 3_600_000;
/** How long a command may wait for its answer. */
export const COMMAND_MS = 10_000;
/** How long a command's id is remembered. */
export const REMEMBERED_MS = 600_000;
/** Commands that may wait for answers at once. */
export const COMMANDS_WAITING = 64;
/** Commands that are remembered at once. */
export const COMMANDS_REMEMBERED = 1_000;
/** An answer with more characters is not remembered; such commands only read. */
export const ANSWER_REMEMBERED = 4_096;

/** Characters of a gateway's text message; a snapshot or a piece of a file fits. */
export const GATEWAY_TEXT = 1_048_576;
/** Characters of a viewer's text message. */
export const VIEWER_TEXT = 65_536;
/** Bytes of terminal output in one frame. */
export const FRAME_PAYLOAD = 65_536;
/** Bytes of a command's body: a piece of a file, base64, and its envelope. */
export const COMMAND_BODY = 524_288;

/** Output that a viewer may not have acknowledged yet, in bytes. */
export const VIEWER_WINDOW = 262_144;
/** An ack of so many bytes is not counted by the rate: output bounds those, in bytes. */
export const ACK_FREE = 16_384;
/** A viewer that was behind has caught up when no more than this is left, in bytes. */
export const VIEWER_LEFT = 65_536;
/**
 * The gateway is told of acknowledged output in such steps, in bytes. Its own window is 192 KiB:
 * with a step that is still under way, the fastest viewer's is never full.
 */
export const ACK_STEP = 32_768;
/** The least time between two snapshots for one viewer. */
export const SNAPSHOT_EVERY_MS = 500;
/** A snapshot that has not come by then is asked for again. */
export const SNAPSHOT_MS = 10_000;
/** Viewers of one session, and of all sessions of a gateway. */
export const VIEWERS_OF_SESSION = 16;
export const VIEWERS = 64;

/** Messages that are not understood, or too many, within a minute: then the connection ends. */
export const FAULTS = 10;
export const FAULTS_WITHIN_MS = 60_000;

/** What a sender may send: so many a second, and so many at once. */
export interface Rate {
  messages: number;
  messagesAtOnce: number;
  characters: number;
  charactersAtOnce: number;
}

export const VIEWER_RATE: Rate = {
  messages: 100,
  messagesAtOnce: 400,
  characters: 262_144,
  charactersAtOnce: 1_048_576,
};

export const GATEWAY_RATE: Rate = {
  messages: 200,
  messagesAtOnce: 1_000,
  characters: 4_194_304,
  charactersAtOnce: 16_777_216,
};

/** Observations in one report, and characters of them. */
export const REPORT_SIZE = 100;
export const REPORT_CHARACTERS = 262_144;
/** What is observed within this time goes into one report. */
export const REPORT_AFTER_MS = 200;
/** The longest wait between two tries to report. */
export const REPORT_RETRY_MS = 60_000;
/** Things of which the newest observation is kept until it is reported. */
export const OBSERVATIONS = 1_000;
