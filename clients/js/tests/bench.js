// What every test of the client needs: a gateway, clients on it, and what they told.

import { afterEach, beforeEach } from "node:test";
import { RingbackClient } from "../ringback.js";
import { Gateway } from "./gateway.js";

/**
 * @typedef {import("../ringback.js").Message} Message
 * @typedef {import("../ringback.js").Options} Options
 * @typedef {import("../ringback.js").RingbackError} RingbackError
 */

/** @type {Gateway} */
export let gateway;
/** @type {RingbackClient[]} */
let clients = [];

beforeEach(async () => {
  gateway = await Gateway.start();
});

afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  await gateway.close();
});

/** sessionStorage's two methods, for tabs that are reloaded. */
export class Memory extends Map {
  /** @param {string} key */
  getItem(key) {
    return this.get(key) ?? null;
  }
  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    this.set(key, value);
  }
}

/** A client, and what it told. */
export class Noted {
  /** @type {Message[]} */ messages = [];
  /** @type {any[]} */ states = [];
  /** @type {RingbackError[]} */ errors = [];
  /** @type {{ from: number, to: number }[]} */ gaps = [];

  /** @param {Partial<Options>} options */
  constructor(options) {
    this.client = new RingbackClient({
      url: gateway.url,
      context: "chat",
      contextId: "42",
      token: () => "token",
      storage: null,
      backoffBaseSeconds: 0.01,
      settleSeconds: 0.05,
      onMessage: (message) => this.messages.push(message),
      onState: (change) => this.states.push(change),
      onError: (error) => this.errors.push(error),
      onGap: (gap) => this.gaps.push(gap),
      ...options,
    });
  }

  /** The ids that were handled, in order. */
  get ids() {
    return this.messages.map(({ id }) => id);
  }
}

/**
 * A client that is quick to reconnect.
 * @param {Partial<Options>} [options]
 */
export function make(options = {}) {
  const one = new Noted(options);
  clients.push(one.client);
  return one;
}

/**
 * As `make`, and connected.
 * @param {Partial<Options>} [options]
 */
export async function connected(options) {
  const one = make(options);
  const before = gateway.connections.length;
  one.client.connect();
  return Object.assign(one, { connection: await gateway.connection(before + 1) });
}

/**
 * A message frame.
 * @param {string} id
 * @param {Partial<Message>} [fields]
 * @returns {Message & { kind: string }}
 */
export function message(id, fields = {}) {
  return { kind: "message", id, type: "said", payload: id, sentAt: "2030-01-31T12:00:00.250Z", attempt: 1, ...fields };
}

/**
 * An ordered message, to be acknowledged.
 * @param {number} sequence
 * @param {Partial<Message>} [fields]
 */
export function numbered(sequence, fields = {}) {
  return message(`n${sequence}`, { sequence, ordered: true, ack: "client", ...fields });
}

/**
 * The word that a number will not come.
 * @param {number} sequence
 * @param {Partial<Message>} [fields]
 */
export function skipped(sequence, fields = {}) {
  const payload = { id: `n${sequence}`, sequence };
  return message(`skipped-n${sequence}`, { type: "ringback.skipped", payload, ...fields });
}

/**
 * A JWT that nobody has signed.
 * @param {Record<string, unknown>} claims
 */
export function jwt(claims) {
  const part = (/** @type {unknown} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part(claims)}.x`;
}
