// Ringback's side of the WebSocket, on loopback and by a test's script. It answers handshakes and pings as the deployed
// API does, and holds every frame, in both directions, to the published schemas.
import { readFileSync } from "node:fs";
import { STATUS_CODES, createServer } from "node:http";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { WebSocketServer } from "ws";

/** @typedef {Record<string, any>} Frame a frame's JSON object */

export const DOCS = new URL("../../../docs/", import.meta.url);

const SUBPROTOCOL = "bearer";
// API Gateway's quotas: for a message to a client, and for a frame from one.
const MAX_BYTES_TO_CLIENT = 128 * 1024;
const MAX_BYTES_FROM_CLIENT = 32 * 1024;
const PATIENCE_SECONDS = 5;
const POLL_MILLISECONDS = 2;
// As it is now: a test may put its own clock in its place.
const realTimeout = globalThis.setTimeout;

const ajv = new Ajv2020({ allErrors: true });
formats.default(ajv);

/**
 * Wait for what a condition answers, once it is true.
 *
 * @template T
 * @param {() => T | Promise<T>} condition
 * @param {string} what it waits for: "the second message". The error after `seconds` says that this did not come.
 * @param {number} [seconds]
 * @returns {Promise<T>}
 */
export async function until(condition, what, seconds = PATIENCE_SECONDS) {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`${what}: this did not come within ${seconds} s`);
    await new Promise((resolve) => realTimeout(resolve, POLL_MILLISECONDS));
  }
}

/**
 * Make what says in words what is wrong with a frame; empty words if nothing is.
 *
 * @param {string} name of the schema
 * @param {string} key the field that tells the frames apart
 * @returns {(frame: any) => string}
 */
function judgeBy(name, key) {
  const { $defs, oneOf } = JSON.parse(readFileSync(new URL(`schemas/${name}.schema.json`, DOCS), "utf8"));
  // One after the other: errors against all of them at once would be of no help.
  const validators = new Map(
    oneOf.map((/** @type {{ $ref: string }} */ { $ref }) => [
      $defs[$ref.replace("#/$defs/", "")].properties[key].const,
      ajv.compile({ $ref, $defs }),
    ]),
  );
  return (frame) => {
    const validate = validators.get(frame?.[key]);
    if (!validate) return `${key} is none of ${[...validators.keys()].join(", ")}`;
    return validate(frame) ? "" : ajv.errorsText(validate.errors, { dataVar: "frame" });
  };
}

const fromClient = judgeBy("frame-from-client", "action");
const toClient = judgeBy("frame-to-client", "kind");

/** One connection of a client. */
export class Connection {
  /** What the client sent, in order, as JSON. @type {any[]} */
  received = [];
  /** Whether it is over, whoever ended it. */
  closed = false;
  /** The code of the client's close frame, or 1006 if none came; undefined while it is open. @type {number | undefined} */
  closeCode;
  #gateway;
  #socket;
  #webSocket;
  #stalled = false;

  /**
   * @param {Gateway} gateway
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:stream").Duplex} socket
   * @param {import("ws").WebSocket} webSocket
   */
  constructor(gateway, request, socket, webSocket) {
    this.#gateway = gateway;
    this.#socket = socket;
    this.#webSocket = webSocket;
    /** What the client offered. */
    this.protocols = offered(request);
    this.token = this.protocols[1] ?? "";
    /** Of the URL: `context` and `contextId`. @type {Record<string, string>} */
    this.query = Object.fromEntries(new URL(request.url ?? "", "ws://gateway").searchParams);
    webSocket.on("message", (data, isBinary) => this.#take(data.toString(), isBinary));
    webSocket.on("close", (code) => ([this.closed, this.closeCode] = [true, code]));
    webSocket.on("error", () => {}); // a close follows
  }

  /** The ids that this connection acknowledged, in order. @returns {string[]} */
  get acknowledged() {
    return this.received.filter(({ action }) => action === "ack").flatMap(({ id, ids }) => ids ?? [id]);
  }

  /** Send a frame of the protocol. On a stalled connection it is lost. @param {Frame} frame */
  send(frame) {
    this.#gateway.judged(toClient(frame), "to the client", frame);
    const text = JSON.stringify(frame);
    if (Buffer.byteLength(text) > MAX_BYTES_TO_CLIENT) this.#gateway.judged("too large", "to the client", frame.kind);
    this.sendUnjudged(text);
  }

  /** Send what the protocol does not know (yet): text as it is, anything else as JSON. @param {unknown} frame */
  sendUnjudged(frame) {
    if (!this.#stalled) this.#webSocket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** End it without a closing handshake, as a network does. */
  drop() {
    this.#webSocket.terminate();
  }

  /** End it in good order, as API Gateway does after two hours (1001) or `DeleteConnection` (1000). */
  close(code = 1000, reason = "") {
    this.#webSocket.close(code, reason);
  }

  /** Be half-open from now on: bytes are still taken, and nothing is heard or answered, not even a close. */
  stall() {
    this.#stalled = true;
    this.#socket.removeAllListeners("data").on("data", () => {});
  }

  /**
   * @param {string} text
   * @param {boolean} isBinary
   */
  #take(text, isBinary) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      this.#gateway.judged("is no JSON", "from the client", text);
      return;
    }
    this.received.push(frame);
    if (this.#gateway.actions.includes(frame?.action)) return;
    const wrong = isBinary ? "is binary" : Buffer.byteLength(text) > MAX_BYTES_FROM_CLIENT ? "is too large" : "";
    this.#gateway.judged(wrong || fromClient(frame), "from the client", frame);
    if (frame?.action === "ping") this.send({ kind: "pong" });
    else if (frame?.action !== "ack") this.send({ kind: "error", error: "UnknownAction", message: "ack or ping" });
  }
}

/** The scripted server. Whatever left the protocol is thrown by `close()`. */
export class Gateway {
  /** Every connection that there was, in order. @type {Connection[]} */
  connections = [];
  /** The handshakes that were refused, in order. @type {{ status: number, token: string }[]} */
  refused = [];
  /** How many handshakes hang without an answer. */
  hanging = 0;
  /** What was no frame of the protocol. @type {string[]} */
  violations = [];
  /** @type {"accept" | "hang" | number} */
  #handshakes = "accept";
  #webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL });
  #server = createServer((_, response) => response.writeHead(426).end());
  /** @type {Set<import("node:stream").Duplex>} */
  #sockets = new Set();

  /**
   * Start one on a free port of 127.0.0.1, or on this one.
   *
   * @param {{ port?: number, actions?: string[] }} [options] `actions`: further ones, that a backend of one's own
   *   answers; their frames are received, and not judged
   * @returns {Promise<Gateway>}
   */
  static async start({ port = 0, actions = [] } = {}) {
    const gateway = new Gateway(actions);
    await new Promise((resolve, reject) => {
      gateway.#server.once("error", reject).listen(port, "127.0.0.1", () => resolve(undefined));
    });
    return gateway;
  }

  /** @param {string[]} actions */
  constructor(actions) {
    this.actions = actions;
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("upgrade", (request, socket, head) => this.#shakeHands(request, socket, head));
  }

  /** Where clients connect, as the stack's output `WebSocketUrl`. */
  get url() {
    return `ws://127.0.0.1:${this.port}/v1`;
  }

  get port() {
    return /** @type {import("node:net").AddressInfo} */ (this.#server.address()).port;
  }

  /**
   * Refuse handshakes with this status from now on: 401, 403, 429 or 503. Node's own WebSocket asks twice at a 401.
   *
   * @param {number} status
   */
  refuse(status) {
    this.#handshakes = status;
  }

  /** Leave handshakes without an answer from now on. */
  hang() {
    this.#handshakes = "hang";
  }

  /** Accept handshakes again. */
  accept() {
    this.#handshakes = "accept";
  }

  /** Wait for the n-th connection, counted from 1. @param {number} number */
  async connection(number, seconds = PATIENCE_SECONDS) {
    await until(() => this.connections[number - 1], `connection ${number}`, seconds).catch((error) => {
      throw new Error(`${error.message}; ${this.connections.length} came, ${this.refused.length} were refused`);
    });
    return this.connections[number - 1];
  }

  /** Stop, and end what is open. Throws if a frame, in either direction, was not as the schemas have it. */
  async close() {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    if (this.violations.length) throw new Error(`Not the protocol:\n${this.violations.join("\n")}`);
  }

  /**
   * Note what is wrong with a frame, if something is.
   *
   * @param {string} wrong
   * @param {string} direction
   * @param {unknown} frame
   */
  judged(wrong, direction, frame) {
    if (wrong) this.violations.push(`${direction}: ${JSON.stringify(frame)}: ${wrong}`);
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:stream").Duplex} socket
   * @param {Buffer} head
   */
  #shakeHands(request, socket, head) {
    socket.on("error", () => {}); // of a client that has gone meanwhile
    if (this.#handshakes === "hang") {
      this.hanging += 1;
      return;
    }
    const status = this.#handshakes === "accept" ? refusal(request) : this.#handshakes;
    if (status) {
      this.refused.push({ status, token: offered(request)[1] ?? "" });
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.connections.push(new Connection(this, request, socket, webSocket));
    });
  }
}

/** The status that the deployed API refuses this handshake with; undefined if it does not. */
function refusal(/** @type {import("node:http").IncomingMessage} */ request) {
  const [scheme, token, ...more] = offered(request);
  if (scheme !== SUBPROTOCOL || !token || more.length) return 401;
  const { searchParams } = new URL(request.url ?? "", "ws://gateway");
  return searchParams.get("context") && searchParams.get("contextId") ? undefined : 403;
}

/** @returns {string[]} */
function offered(/** @type {import("node:http").IncomingMessage} */ request) {
  const header = request.headers["sec-websocket-protocol"];
  return header ? header.split(",").map((protocol) => protocol.trim()) : [];
}
