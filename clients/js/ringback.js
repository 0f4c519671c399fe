// Ringback's client: delivery that survives tunnels, sleep and reloads. The protocol is docs/asyncapi.json.

/**
 * @typedef {import("./types.d.ts").Message} Message
 * @typedef {import("./types.d.ts").Options} Options
 * @typedef {import("./types.d.ts").State} State
 * @typedef {import("./types.d.ts").Token} Token
 */

const SKIPPED = "ringback.skipped";

const DEFAULTS = {
  gapTimeoutSeconds: 45,
  settleSeconds: 2,
  pingSeconds: 120,
  pongSeconds: 5,
  handshakeSeconds: 20,
  backoffBaseSeconds: 1,
  backoffCapSeconds: 30,
  maxConnectionSeconds: 7000,
  lingerSeconds: 5,
  sendQueueLimit: 100,
  seenLimit: 1000,
};

/** What went wrong: `code` for programs, the text for people. */
export class RingbackError extends Error {
  /**
   * @param {"option" | "token" | "connection" | "evicted" | "handler" | "frame" | "send"} code
   * @param {string} text
   * @param {unknown} [cause]
   */
  constructor(code, text, cause) {
    super(text, { cause });
    this.name = "RingbackError";
    this.code = code;
  }
}

/** One recipient's client: every message is handled once, the ordered ones in their order. */
export class RingbackClient {
  #options;
  #url;
  #key;
  /** @type {State} */
  #state = "closed";
  /** @type {WebSocket | undefined} */
  #socket; // the one in use; a replaced one is only listened to
  /** @type {{ socket?: WebSocket } | undefined} */
  #opening; // the next one
  /** @type {Set<WebSocket>} */
  #sockets = new Set(); // all there are
  #openedAt = 0;
  #attempt = 0;
  /** @type {Record<string, ReturnType<typeof setTimeout> | undefined>} */
  #timers = {};
  #listening = new AbortController();
  /** @type {string[]} */
  #queue = [];
  /** @type {Set<string>} */
  #acks = new Set(); // to be sent
  /** @type {Set<string>} */
  #seen = new Set(); // handled
  /** @type {Set<string>} */
  #held = new Set(); // being handled, or waiting for their turn
  /** @type {Map<number, Message>} */
  #waiting = new Map(); // by number
  /** @type {number | undefined} */
  #next; // whose turn it is
  #ordering = false;

  /** @param {Options} options */
  constructor(options) {
    const given = /** @type {Options} */ (Object.fromEntries(Object.entries(options).filter(([, it]) => it !== undefined)));
    const all = (this.#options = { WebSocket: globalThis.WebSocket, user: "", ...DEFAULTS, ...given });
    for (const name of /** @type {const} */ (["url", "context", "contextId", "token", "onMessage", "WebSocket"]))
      if (!all[name]) throw new RingbackError("option", `${name} is missing`);
    if (!/^wss?:/.test(all.url)) throw new RingbackError("option", "url has to begin with wss:// or ws://");
    for (const name of /** @type {(keyof typeof DEFAULTS)[]} */ (Object.keys(DEFAULTS)))
      if (!(all[name] >= 0)) throw new RingbackError("option", `${name} has to be a number, and not below 0`);
    const url = new URL(all.url);
    url.searchParams.set("context", all.context);
    url.searchParams.set("contextId", all.contextId);
    this.#url = url.href;
    this.#key = `ringback ${all.user} ${url}`;
    try {
      if (all.storage === undefined) all.storage = globalThis.sessionStorage;
      const memory = JSON.parse(all.storage?.getItem(this.#key) ?? "{}");
      this.#next = memory.next;
      this.#seen = new Set(memory.seen);
    } catch {} // forbidden, or not ours: begin anew
  }

  get state() {
    return this.#state;
  }

  /** Connect, and stay connected until `close()`, or until the server says not to come back. */
  connect() {
    if (this.#state !== "closed") return;
    const { signal } = (this.#listening = new AbortController());
    const online = () => {
      this.#opening?.socket?.close(); // on a network that is gone, as is what is open, though nobody tells it
      this.#opening = undefined;
      this.#open();
    };
    const visible = () => document.hidden || this.#check();
    globalThis.addEventListener?.("online", online, { signal });
    globalThis.document?.addEventListener("visibilitychange", visible, { signal });
    this.#open();
  }

  /** Close until the next `connect()`. What is not handled comes again. */
  close() {
    this.#end();
  }

  /**
   * Send a frame, now or as soon as there is a connection.
   * @param {{ action: string, [field: string]: unknown }} frame
   */
  send(frame) {
    const text = JSON.stringify(frame);
    if (this.#state === "closed") throw new RingbackError("send", "closed: connect first");
    if (new TextEncoder().encode(text).length > 32768) throw new RingbackError("send", "more than 32 KB: send less");
    if (this.#socket?.readyState === 1) this.#socket.send(text);
    else if (this.#queue.push(text) > this.#options.sendQueueLimit) {
      this.#queue.pop();
      throw new RingbackError("send", "too many frames wait for a connection: try again later");
    }
  }

  async #open() {
    if (this.#opening) return;
    /** @type {{ socket?: WebSocket }} */
    const opening = (this.#opening = {});
    const { token: given, WebSocket, maxConnectionSeconds, handshakeSeconds, lingerSeconds } = this.#options;
    const renews = typeof given === "function";
    this.#stop("retry");
    this.#after("handshake", handshakeSeconds, () => {
      if (opening.socket) this.#closed(opening.socket);
      else this.#failed(opening, new RingbackError("token", "the token function takes too long"));
    });
    if (!this.#socket) this.#become("connecting");
    /** @type {Token} */
    let token;
    try {
      token = renews ? await given() : given;
    } catch (error) {
      return this.#failed(opening, new RingbackError("token", "the token function failed", error));
    }
    if (this.#opening !== opening) return;
    const { exp = Infinity, iat = 0 } = claims(token);
    const left = exp - Date.now() / 1000;
    /** @type {WebSocket} */
    let socket;
    try {
      if (!token || (!renews && left < 0)) throw token ? "it has expired, and no function gets another" : "none";
      socket = opening.socket = new WebSocket(this.#url, ["bearer", token]);
    } catch (error) {
      const why = new RingbackError("token", `no token to connect with: ${error}`, error);
      return token !== null && renews ? this.#failed(opening, why) : this.#end(why);
    }
    this.#sockets.add(socket);
    socket.onerror = () => {}; // a close follows
    socket.onmessage = (event) => this.#read(socket, event.data);
    socket.onclose = () => this.#closed(socket);
    socket.onopen = () => {
      const old = this.#socket; // something may be on its way to it
      if (old) this.#after(`linger ${this.#openedAt}`, lingerSeconds, () => old.close());
      this.#opening = undefined;
      this.#socket = socket;
      this.#openedAt = Date.now();
      this.#stop("handshake");
      // Before the token's end, too: nothing is posted after it. Where this clock is wrong, its own life tells.
      const life = Math.max(5, renews ? Math.min(left > 0 ? left : Infinity, exp - iat) * 0.8 : left);
      this.#after("renew", Math.min(life, maxConnectionSeconds * (1 - Math.random() / 10)), () => this.#open());
      this.#alive();
      this.#become("open");
      for (const text of this.#queue.splice(0)) socket.send(text);
      this.#acknowledge();
      this.#order();
    };
  }

  /** @param {WebSocket} socket */
  #closed(socket) {
    const opening = this.#opening;
    if (opening && socket === opening.socket)
      this.#failed(opening, new RingbackError("connection", "no network, or refused: is the token right?"));
    else if (socket === this.#socket) {
      this.#socket = undefined;
      if (Date.now() - this.#openedAt > this.#options.backoffBaseSeconds * 1000) this.#attempt = 0;
      this.#stop("idle", "pong", "renew", "gap");
      if (opening) this.#become("connecting");
      else this.#retry();
    }
    this.#sockets.delete(socket);
    socket.close();
  }

  /**
   * @param {object} opening
   * @param {RingbackError} error
   */
  #failed(opening, error) {
    if (this.#opening !== opening) return;
    this.#opening = undefined;
    this.#report(error);
    this.#retry();
  }

  #retry() {
    const { backoffBaseSeconds, backoffCapSeconds } = this.#options;
    const retryInSeconds = Math.random() * Math.min(backoffCapSeconds, backoffBaseSeconds * 2 ** this.#attempt++);
    this.#after("retry", retryInSeconds, () => this.#open());
    if (!this.#socket) this.#become("waiting", { attempt: this.#attempt, retryInSeconds });
  }

  /** @param {RingbackError} [error] */
  #end(error) {
    this.#acknowledge();
    this.#socket = this.#opening = undefined;
    this.#listening.abort();
    this.#stop(...Object.keys(this.#timers));
    this.#queue = [];
    for (const socket of this.#sockets) socket.close();
    if (error) this.#report(error);
    this.#become("closed", { error });
  }

  /** A sign of life. */
  #alive() {
    this.#after("idle", this.#options.pingSeconds, () => this.#check());
  }

  /** A half-open connection looks like a quiet one. */
  #check() {
    const socket = this.#socket;
    if (!socket) return this.#open();
    socket.send('{"action":"ping"}');
    this.#after("pong", this.#options.pongSeconds, () => this.#closed(socket));
  }

  /**
   * @param {WebSocket} socket
   * @param {string} text
   */
  #read(socket, text) {
    if (this.#state === "closed") return;
    const frame = JSON.parse(text);
    if (socket === this.#socket) {
      this.#alive();
      if (frame.kind === "pong") this.#stop("pong"); // nothing else: it may have come before the connection died
      // While the next one is being opened, it may be what this one had to make room for.
      if (frame.kind === "close" && !frame.reconnect && !this.#opening)
        return this.#end(new RingbackError("evicted", `the server closed it for good: ${frame.reason}`));
    }
    if (frame.kind === "message") this.#take(frame);
    if (frame.kind === "batch") for (const message of frame.messages) this.#take(message);
    // API Gateway's own errors have no kind.
    if (frame.kind === "error" || (!frame.kind && frame.message)) this.#report(new RingbackError("frame", frame.message));
  }

  /** @param {Message} message */
  #take(message) {
    const { id, type, payload, ordered, sequence } = message;
    const turn = type === SKIPPED ? payload.sequence : ordered && sequence;
    if (this.#seen.has(id)) this.#handled(message);
    else if (!this.#held.has(id)) {
      this.#held.add(id);
      if (!turn) this.#handle(message);
      else if (turn < (this.#next ?? 0) || this.#waiting.has(turn)) this.#handle({ ...message, late: true });
      else {
        this.#waiting.set(turn, message);
        this.#order();
      }
    }
  }

  /** Handle those whose turn it is, one after the other. */
  async #order() {
    if (this.#ordering) return;
    this.#ordering = true;
    if (this.#waiting.has(1)) this.#next ??= 1;
    for (let turn = this.#next ?? 0; this.#state !== "closed"; this.#next = ++turn) {
      const message = this.#waiting.get(turn);
      if (!message) break;
      this.#stop("gap");
      this.#waiting.delete(turn);
      if (!(await this.#handle(message, turn))) break;
    }
    this.#ordering = false;
    if (!this.#waiting.size || this.#timers.gap || !this.#socket) return;
    const { gapTimeoutSeconds, settleSeconds } = this.#options;
    const from = this.#next;
    this.#after("gap", from === undefined ? settleSeconds : gapTimeoutSeconds, () => {
      this.#next = Math.min(...this.#waiting.keys());
      const to = this.#next - 1;
      if (from !== undefined) queueMicrotask(() => this.#options.onGap?.({ from, to }));
      this.#order();
    });
  }

  /**
   * @param {Message} message
   * @param {number} [turn]
   * @returns {Promise<boolean>} whether it is over
   */
  async #handle(message, turn) {
    const { id, ack, type } = message;
    const { onMessage, seenLimit, storage } = this.#options;
    try {
      if (type !== SKIPPED) await onMessage(message);
    } catch (error) {
      this.#held.delete(id);
      this.#report(new RingbackError("handler", `onMessage failed for ${id}`, error), message);
      return !ack;
    }
    this.#held.delete(id);
    this.#seen.add(id);
    const [oldest] = this.#seen;
    if (this.#seen.size > seenLimit) this.#seen.delete(oldest);
    if (turn) this.#next = turn + 1;
    try {
      storage?.setItem(this.#key, JSON.stringify({ next: this.#next, seen: [...this.#seen] }));
    } catch {} // full: a reload may show it again
    this.#handled(message);
    return true;
  }

  /** @param {Message} message */
  #handled({ id, ack }) {
    if (!ack) return;
    this.#acks.add(id);
    if (!this.#timers.ack) this.#after("ack", 0.02, () => this.#acknowledge());
  }

  #acknowledge() {
    if (this.#socket?.readyState !== 1) return;
    const ids = [...this.#acks];
    this.#acks.clear();
    while (ids.length) this.send({ action: "ack", ids: ids.splice(0, 50) });
  }

  /**
   * @param {State} state
   * @param {object} [more]
   */
  #become(state, more) {
    if (state === this.#state) return;
    this.#state = state;
    queueMicrotask(() => this.#options.onState?.({ state, ...more }));
  }

  /**
   * @param {RingbackError} error
   * @param {Message} [message]
   */
  #report(error, message) {
    queueMicrotask(() => this.#options.onError?.(error, message)); // what it does cannot disturb us
  }

  /**
   * @param {string} name
   * @param {number} seconds
   * @param {() => void} then
   */
  #after(name, seconds, then) {
    this.#stop(name);
    this.#timers[name] = setTimeout(() => {
      this.#timers[name] = undefined;
      then();
    }, Math.min(seconds * 1000, 2 ** 31 - 1)); // more is none at all
  }

  /** @param {string[]} names */
  #stop(...names) {
    for (const name of names) {
      clearTimeout(this.#timers[name]);
      this.#timers[name] = undefined;
    }
  }
}

/**
 * What a token says, unverified.
 * @param {Token} token
 * @returns {{ exp?: number, iat?: number }}
 */
function claims(token) {
  try {
    return JSON.parse(atob(`${token}`.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))) ?? {};
  } catch {
    return {};
  }
}
