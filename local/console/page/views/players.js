/**
 * The clients of the playground: real ones, each behind a network link of its own. They live in the module and not in
 * the view, so that they go on while somebody looks at other views.
 */
import { RingbackClient } from "ringback";
import { serverNow } from "../clock.js";
import { api } from "../lib.js";
import { Network, notifier } from "./network.js";

const KEPT_MESSAGES = 1000;
export const SLOW_SECONDS = 3;
const REMEMBERED_ARRIVALS = 5000;
const KEPT_SENDS = 5;
/** Long enough to be seen waiting; a reconnect ends the wait at once in any case. */
const PATIENCE = { backoffBaseSeconds: 15, backoffCapSeconds: 60 };
const STORED = "ringback.playground";

/**
 * @typedef {{[field: string]: string} & {user: string, context: string, contextId: string, plan: string, pingSeconds: string, gapTimeoutSeconds: string}} Settings
 * @typedef {{key: number, at: string, message: any, outcome: "handling" | "handled" | "failed", gap?: {from: number, to: number}}} Entry
 * @typedef {{key: number, what: string, ids: string[], answers: Array<{id: string, status: string, executionArn?: string}>, error: string}} Sent
 */

/** @type {Settings} */
const USUAL = { user: "ana", context: "chat", contextId: "42", plan: "", pingSeconds: "60", gapTimeoutSeconds: "20" };

let number = 0;
const nextKey = () => (number += 1);
const now = () => new Date(serverNow()).toISOString();
const text = (/** @type {unknown} */ error) => (error instanceof Error ? error.message : String(error));

/** One client, its link, and all that is to be shown of it. */
export class Player {
  /** @param {Partial<Settings>} settings */
  constructor(settings = {}) {
    this.key = nextKey();
    /** @type {Settings} */
    this.settings = Object.assign({}, USUAL, settings);
    this.state = "closed";
    this.retryAt = ""; // when it tries next, by the server's clock
    this.attempt = 0;
    this.network = new Network();
    this.handler = "good";
    this.problem = "";
    this.busy = false;
    /** @type {Entry[]} newest first */
    this.entries = [];
    /** @type {Sent[]} newest first */
    this.sends = [];
    /** @type {Record<string, number>} */
    this.counts = { connections: 0, handled: 0, late: 0, duplicates: 0, gaps: 0, failures: 0, acknowledged: 0 };
    this.memory = memory();
    this.arrived = new Set();
    /** @type {RingbackClient | null} */
    this.client = null;
  }

  /** Change what can only be changed while it is closed. @param {Partial<Settings>} changes */
  set(changes) {
    this.settings = Object.assign({}, this.settings, changes);
    if ("user" in changes || "context" in changes || "contextId" in changes) this.memory = memory();
    store();
    changed();
  }

  async connect() {
    if (this.state !== "closed" || this.busy) return;
    await this.#try("connect", async () => {
      const url = await this.network.open();
      if (!url) return; // it was removed
      const { user, context, contextId, plan, pingSeconds, gapTimeoutSeconds } = this.settings;
      this.client = new RingbackClient({
        url,
        context,
        contextId,
        token: async () => (await api("/api/tokens", { method: "POST", body: { user, ...(plan ? { plan } : {}) } })).token,
        user,
        storage: this.memory,
        WebSocket: this.#watched(),
        pingSeconds: Number(pingSeconds) || undefined,
        gapTimeoutSeconds: Number(gapTimeoutSeconds) || undefined,
        backoffCapSeconds: 3, // a person waits for it
        onMessage: (message) => this.#handle(message),
        onGap: (gap) => {
          this.counts.gaps += gap.to - gap.from + 1;
          this.#show({ key: nextKey(), at: now(), message: null, outcome: "handled", gap });
        },
        onState: (change) => this.#became(change),
        onError: (error) => {
          if (error.code !== "handler") this.problem = error.message;
          changed();
        },
      });
      this.client.connect();
    });
  }

  close() {
    this.client?.close();
  }

  /** Do something to its network. @param {string} fault */
  async setFault(fault) {
    await this.#try("change the network", () => this.network.setFault(fault));
  }

  /** @param {string} handler */
  setHandler(handler) {
    this.handler = handler;
    changed();
  }

  clear() {
    this.entries = [];
    changed();
  }

  /**
   * Send to whoever this client is.
   *
   * @param {"plain" | "acknowledged" | "ordered" | "burst"} what
   * @param {Record<string, unknown>} more Fields of the envelope.
   */
  async send(what, more = {}) {
    const { user, context, contextId } = this.settings;
    const of = what === "burst" ? 10 : 1;
    const stamp = Date.now().toString(36);
    const ids = Array.from({ length: of }, (_, index) => `${what}-${stamp}${of > 1 ? `-${index + 1}` : ""}`);
    /** @type {Sent} */
    const sent = { key: nextKey(), what, ids, answers: [], error: "" };
    this.sends = [sent, ...this.sends].slice(0, KEPT_SENDS);
    changed();
    try {
      for (const [index, id] of ids.entries()) {
        const message = {
          id,
          recipient: { user, context, contextId },
          type: `playground.${what}`,
          payload: { text: of > 1 ? `${index + 1} of ${of}` : `Hello, ${user}` },
          ...(what === "plain" ? {} : { ack: "client", ackTimeoutSeconds: 5, retry: PATIENCE }),
          ...(what === "ordered" || what === "burst" ? { ordered: true } : {}),
          ...more,
        };
        // One after the other: their numbers are to follow their order.
        const { answer } = await api("/api/messages", { method: "POST", body: { way: "accept", message } });
        sent.answers = [...sent.answers, { id, status: answer.status, executionArn: answer.executionArn }];
        if (answer.detail) sent.error = answer.detail;
        changed();
      }
    } catch (error) {
      sent.error = text(error);
      changed();
    }
    return sent;
  }

  /** Close it, and give its link back, also while the page goes. */
  remove() {
    this.close();
    this.network.close();
  }

  /** @param {string} what @param {() => Promise<void>} act */
  async #try(what, act) {
    this.busy = true;
    this.problem = "";
    changed();
    try {
      await act();
    } catch (error) {
      this.problem = `Could not ${what}: ${text(error)}`;
    }
    this.busy = false;
    changed();
  }

  /** @param {{state: string, error?: Error, attempt?: number, retryInSeconds?: number}} change */
  #became({ state, error, attempt = 0, retryInSeconds = 0 }) {
    this.state = state;
    this.attempt = attempt;
    this.retryAt = state === "waiting" ? new Date(serverNow() + retryInSeconds * 1000).toISOString() : "";
    if (state === "open") this.problem = "";
    if (error) this.problem = error.message;
    changed();
  }

  /** @param {any} message */
  async #handle(message) {
    const entry = this.#show({ key: nextKey(), at: now(), message, outcome: "handling" });
    const handler = this.handler;
    if (handler === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_SECONDS * 1000));
    const failed = handler === "failing";
    this.counts[failed ? "failures" : "handled"] += 1;
    if (message.late && !failed) this.counts.late += 1;
    this.#replace(entry, { outcome: failed ? "failed" : "handled" });
    if (failed) throw new Error("its handler is set to fail");
  }

  /** @param {Entry} entry */
  #show(entry) {
    this.entries = [entry, ...this.entries].slice(0, KEPT_MESSAGES);
    changed();
    return entry;
  }

  /** @param {Entry} entry @param {Partial<Entry>} changes */
  #replace(entry, changes) {
    this.entries = this.entries.map((other) => (other.key === entry.key ? { ...other, ...changes } : other));
    changed();
  }

  /** A WebSocket that tells what goes over it: the client itself keeps duplicates and acknowledgements to itself. */
  #watched() {
    const player = this;
    return class extends WebSocket {
      /** @param {string | URL} url @param {string | string[]} [protocols] */
      constructor(url, protocols) {
        super(url, protocols);
        this.addEventListener("open", () => {
          player.counts.connections += 1;
          player.network.opened();
          changed();
        });
        this.addEventListener("message", (event) => player.#count(JSON.parse(event.data)));
      }

      /** @param {string} frame */
      send(frame) {
        super.send(frame);
        const { action, id, ids } = JSON.parse(frame);
        if (action !== "ack") return;
        player.counts.acknowledged += ids?.length ?? (id ? 1 : 0);
        changed();
      }
    };
  }

  /** @param {any} frame */
  #count(frame) {
    for (const { id } of frame.kind === "batch" ? frame.messages : frame.kind === "message" ? [frame] : []) {
      if (this.arrived.has(id)) this.counts.duplicates += 1;
      this.arrived.add(id);
      if (this.arrived.size > REMEMBERED_ARRIVALS) this.arrived.delete(this.arrived.values().next().value);
    }
    changed();
  }
}

/** What a tab remembers. Each client has its own: two of one user are two tabs. The link's port is no part of the key. */
function memory() {
  /** @type {string | null} */
  let kept = null;
  return {
    getItem: () => kept,
    setItem: (/** @type {string} */ _key, /** @type {string} */ value) => {
      kept = value;
    },
  };
}

/** @type {Player[]} */
let players = restored();

/** The clients there are. */
export const all = () => players;

/** Hear of changes; tell of them. */
export const { subscribe, changed } = notifier();

/**
 * Wait until something is so; false if it is not within the time, or if it is given up.
 * @param {() => unknown} condition @param {number} seconds @param {AbortSignal} [signal]
 * @returns {Promise<boolean>}
 */
export function until(condition, seconds, signal) {
  return new Promise((resolve) => {
    const end = (/** @type {boolean} */ value) => {
      clearTimeout(timer);
      clearInterval(poll);
      resolve(value);
    };
    const look = () => {
      if (signal?.aborted) end(false);
      else if (condition()) end(true);
    };
    const timer = setTimeout(() => end(false), seconds * 1000);
    const poll = setInterval(look, 100);
  });
}

/** @param {Partial<Settings>} [settings] @param {{first?: boolean}} [where] */
export function add(settings, { first = false } = {}) {
  const player = new Player(settings);
  players = first ? [player, ...players] : [...players, player];
  store();
  changed();
  return player;
}

/** @param {Player} player */
export function remove(player) {
  player.remove();
  players = players.filter((other) => other !== player);
  store();
  changed();
}

/** Have these and no others, and connect them. @param {Array<Partial<Settings>>} several */
export function preset(several) {
  for (const player of players) player.remove();
  players = several.map((settings) => new Player(settings));
  store();
  changed();
  for (const player of players) void player.connect();
}

function store() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(players.map((player) => player.settings)));
  } catch {
    // Without storage they are gone with the page.
  }
}

function restored() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    if (Array.isArray(stored)) return stored.map((settings) => new Player(settings));
  } catch {
    // Forbidden, or not ours.
  }
  return [new Player()];
}

addEventListener("pagehide", () => {
  for (const player of players) player.remove();
});
