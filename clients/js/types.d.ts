import type { RingbackError } from "./ringback.js";

/** A message, as it arrived. What the backend did not give is not there. */
export interface Message {
  id: string;
  /** What to dispatch on. */
  type: string;
  payload: any;
  /** When it was posted: RFC 3339, in UTC. */
  sentAt: string;
  /** Counted from 1. */
  attempt: number;
  /** The sender waits for the acknowledgement. */
  ack?: "client";
  ordered?: true;
  /** If ordered, its number among the recipient's ordered messages; else the backend's own. */
  sequence?: number;
  /** It is ordered, and later ones were handled before it. */
  late?: true;
  isFinal?: boolean;
  correlationId?: string;
  /** W3C Trace Context. */
  traceparent?: string;
}

export type State = "connecting" | "open" | "waiting" | "closed";

/** The state is another now. */
export interface Change {
  state: State;
  /** `waiting`: how many attempts in a row have failed. */
  attempt?: number;
  /** `waiting`: until the next one. */
  retryInSeconds?: number;
  /** `closed`: why, unless by `close()`. */
  error?: RingbackError;
}

/** A JWT. `null` closes the client: nobody is signed in. `undefined` is none for the moment. */
export type Token = string | null | undefined;

export interface Needed {
  /** The stack's output WebSocketUrl. */
  url: string;
  context: string;
  contextId: string;
  /**
   * A fixed one is used up to its end. A function is called for every connection; if it throws, or gives none, it is
   * called again later.
   */
  token: string | (() => Token | Promise<Token>);
  /** May be async. A message with `ack` is acknowledged when this is done, and comes again if this fails. */
  onMessage: (message: Message) => unknown;
}

export interface Further {
  onState: (change: Change) => void;
  /** Ordered messages that did not come in time. */
  onGap: (gap: { from: number; to: number }) => void;
  onError: (error: RingbackError, message?: Message) => void;
  /** Whose memory it is, where several people sign in in one tab. */
  user: string;
  /** Remembers what was handled: sessionStorage, where there is one. `null` for none. */
  storage: Pick<Storage, "getItem" | "setItem"> | null;
  /** Another class than the runtime's own. */
  WebSocket: typeof WebSocket;
}

export interface Tuning {
  /** How long to wait for a missing number: 45. */
  gapTimeoutSeconds: number;
  /** How long to collect before the first number, if nothing is remembered: 2. */
  settleSeconds: number;
  /** The silence after which to ask whether the connection is still there: 120. More than 0. */
  pingSeconds: number;
  /** How long to wait for the answer: 5. */
  pongSeconds: number;
  /** How long to wait for a token and a connection: 20. */
  handshakeSeconds: number;
  /** The wait is chance between 0 and base × 2^attempt: 1. */
  backoffBaseSeconds: number;
  /** But no more than this: 30. */
  backoffCapSeconds: number;
  /** When to replace a connection: 7000, because API Gateway ends it after two hours. */
  maxConnectionSeconds: number;
  /** How long to listen to a replaced one: 5. */
  lingerSeconds: number;
  /** How many frames may wait for a connection: 100. */
  sendQueueLimit: number;
  /** How many ids to remember: 1000. */
  seenLimit: number;
}

export type Options = Needed & Partial<Further & Tuning>;
