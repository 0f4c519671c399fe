export type Message = {
    id: string;
    /**
     * what to dispatch on
     */
    type: string;
    payload: any;
    /**
     * RFC 3339, UTC
     */
    sentAt: string;
    /**
     * from 1
     */
    attempt: number;
    /**
     * the sender waits for the acknowledgement
     */
    ack?: "client";
    ordered?: true;
    /**
     * if ordered, its number; else the backend's own
     */
    sequence?: number;
    /**
     * ordered, and later ones were handled before
     */
    late?: true;
    isFinal?: boolean;
    correlationId?: string;
    traceparent?: string;
};
export type State = "connecting" | "open" | "waiting" | "closed";
export type Token = string | null | undefined;
export type Needed = {
    /**
     * the stack's WebSocketUrl
     */
    url: string;
    context: string;
    contextId: string;
    /**
     * a function is called for every connection
     */
    token: Token | (() => Token | Promise<Token>);
    /**
     * may be async; then comes the acknowledgement. What fails, and has
     * `ack`, comes again
     */
    onMessage: (message: Message) => unknown;
};
export type Further = {
    /**
     * ordered messages that did not come in time
     */
    onGap: (gap: {
        from: number;
        to: number;
    }) => void;
    onState: (change: {
        state: State;
        error?: RingbackError;
        attempt?: number;
        retryInSeconds?: number;
    }) => void;
    onError: (error: RingbackError, message?: Message) => void;
    /**
     * whose memory it is, if several people sign in in one tab
     */
    user: string;
    /**
     * keeps what was handled: sessionStorage, if there
     */
    storage: Pick<Storage, "getItem" | "setItem"> | null;
    WebSocket: typeof WebSocket;
};
export type Options = Needed & Partial<Further & typeof DEFAULTS>;
/**
 * @typedef {object} Message As it arrived; what the backend did not give is not there.
 * @property {string} id
 * @property {string} type what to dispatch on
 * @property {any} payload
 * @property {string} sentAt RFC 3339, UTC
 * @property {number} attempt from 1
 * @property {"client"} [ack] the sender waits for the acknowledgement
 * @property {true} [ordered]
 * @property {number} [sequence] if ordered, its number; else the backend's own
 * @property {true} [late] ordered, and later ones were handled before
 * @property {boolean} [isFinal]
 * @property {string} [correlationId]
 * @property {string} [traceparent]
 *
 * @typedef {"connecting" | "open" | "waiting" | "closed"} State
 * @typedef {string | null | undefined} Token a JWT; none closes the client
 *
 * @typedef {object} Needed
 * @property {string} url the stack's WebSocketUrl
 * @property {string} context
 * @property {string} contextId
 * @property {Token | (() => Token | Promise<Token>)} token a function is called for every connection
 * @property {(message: Message) => unknown} onMessage may be async; then comes the acknowledgement. What fails, and has
 *   `ack`, comes again
 *
 * @typedef {object} Further
 * @property {(gap: { from: number, to: number }) => void} onGap ordered messages that did not come in time
 * @property {(change: { state: State, error?: RingbackError, attempt?: number, retryInSeconds?: number }) => void} onState
 * @property {(error: RingbackError, message?: Message) => void} onError
 * @property {string} user whose memory it is, if several people sign in in one tab
 * @property {Pick<Storage, "getItem" | "setItem"> | null} storage keeps what was handled: sessionStorage, if there
 * @property {typeof WebSocket} WebSocket
 *
 * @typedef {Needed & Partial<Further & typeof DEFAULTS>} Options
 */
declare const DEFAULTS: {
    /** how long to wait for a missing number */
    gapTimeoutSeconds: number;
    /** how long to collect before the first number, if nothing is remembered */
    settleSeconds: number;
    /** the silence after which to ping, and how long to wait for the answer */
    pingSeconds: number;
    pongSeconds: number;
    handshakeSeconds: number;
    backoffBaseSeconds: number;
    backoffCapSeconds: number;
    /** when to replace a connection: API Gateway ends it after two hours */
    maxConnectionSeconds: number;
    /** how long to listen to a replaced one */
    lingerSeconds: number;
    /** how many frames may wait for a connection */
    sendQueueLimit: number;
    /** how many ids to remember */
    seenLimit: number;
};
/** What went wrong: `code` for programs, the text for people. */
export declare class RingbackError extends Error {
    code: "connection" | "evicted" | "frame" | "handler" | "option" | "send" | "token";
    /**
     * @param {"option" | "token" | "connection" | "evicted" | "handler" | "frame" | "send"} code
     * @param {string} text
     * @param {unknown} [cause]
     */
    constructor(code: "option" | "token" | "connection" | "evicted" | "handler" | "frame" | "send", text: string, cause?: unknown);
}
/** One recipient's client: every message is handled once, the ordered ones in their order. */
export declare class RingbackClient {
    #private;
    /** @param {Options} options */
    constructor(options: Options);
    get state(): State;
    /** Connect, and stay connected until `close()`, or until the server says not to come back. */
    connect(): void;
    /** Close until the next `connect()`. What is not handled comes again. */
    close(): void;
    /**
     * Send a frame, now or as soon as there is a connection.
     * @param {{ action: string, [field: string]: unknown }} frame
     */
    send(frame: {
        action: string;
        [field: string]: unknown;
    }): void;
}
export {};
