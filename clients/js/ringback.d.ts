export type Message = import("./types.d.ts").Message;
export type Options = import("./types.d.ts").Options;
export type State = import("./types.d.ts").State;
export type Token = import("./types.d.ts").Token;
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
    get state(): import("./types.d.ts").State;
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
