// The live store: what the console's server knows, kept up to date over one WebSocket.
//
//   const runs = useFeed((feed) => feed.runs);        // Map: ARN → Run, a new Map whenever a run changed
//   const all = useFeed((feed) => feed.connections);  // array; also deadLetters, installation
//   const state = useFeed((feed) => feed.state);      // "connecting" | "open" | "lost"
//
// A view is drawn again only when what it selected is another value than before.

import { useEffect, useRef, useState } from "preact/hooks";
import { observe } from "./clock.js";
import { makeRoom } from "./room.js";

/**
 * @typedef {object} Run
 * @property {string} arn
 * @property {string} name
 * @property {"delivery" | "fanOut" | "chat"} machine
 * @property {string} id
 * @property {string} user
 * @property {string} context
 * @property {string} contextId
 * @property {string} type
 * @property {string} ack
 * @property {boolean} ordered
 * @property {number} [sequence]
 * @property {string} status delivering, waiting, delivered, acknowledged, cancelled, dead_lettered; of a fan-out or a chat running, succeeded, failed
 * @property {string} state the state it is in, or was in last
 * @property {string} [waitingFor] reconnect or acknowledgement
 * @property {string} [waitingSince]
 * @property {string} [nextAttemptAt]
 * @property {number} attempts
 * @property {string} startedAt
 * @property {string} [endedAt]
 * @property {string} [reason]
 * @property {string} [cause]
 * @property {number} events how many events its history has
 *
 * @typedef {{user: string, context: string, contextId: string, connectionId: string, connectedAt: string, expiresAt: string, attributes: Record<string, string>}} Connection
 * @typedef {{queue: string, letterId: string, id: string, user?: string, context?: string, contextId?: string, reason: string, cause: string, attempts: number, executionArn?: string, deadLetteredAt: string, message?: unknown}} DeadLetter
 * @typedef {{arn: string, definition: any}} Machine
 * @typedef {{endpoint: string, websocketUrl: string, httpApiUrl: string, region: string, machines: {delivery: Machine, fanOut: Machine, chat: Machine}, defaults: Record<string, any>}} Installation
 * @typedef {object} Feed
 * @property {"connecting" | "open" | "lost"} state
 * @property {boolean} ready whether a snapshot has come
 * @property {ReadonlyMap<string, Run>} runs
 * @property {Connection[]} connections
 * @property {DeadLetter[]} deadLetters
 * @property {Installation | null} installation
 * @property {string} installationError
 */

/** @type {Feed} */
let feed = {
  state: "connecting", ready: false, runs: new Map(), connections: [], deadLetters: [],
  installation: null, installationError: "",
};
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {Partial<Feed>} changes */
function set(changes) {
  feed = { ...feed, ...changes };
  listeners.forEach((call) => call());
}

/** The feed as it is now; for event handlers. */
export const currentFeed = () => feed;

/**
 * Part of the feed, in a component.
 * @template T
 * @param {(feed: Feed) => T} select
 * @returns {T}
 */
export function useFeed(select) {
  const value = select(feed);
  const [, redraw] = useState({});
  const drawn = useRef({ select, value });
  drawn.current = { select, value };
  useEffect(() => {
    const look = () => {
      if (!Object.is(drawn.current.select(feed), drawn.current.value)) redraw({});
    };
    listeners.add(look);
    look(); // it may have changed between drawing and now
    return () => void listeners.delete(look);
  }, []);
  return value;
}

/** As many as the server keeps. */
const MOST_RUNS = 5000;
const RETRY_MS = [250, 500, 1000, 2000];
let failures = 0;

/** Connect, and stay connected for as long as the page lives. */
export function startFeed() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/feed`);
  socket.onmessage = (event) => {
    failures = 0;
    take(JSON.parse(event.data));
  };
  socket.onclose = () => {
    set({ state: "lost" });
    setTimeout(startFeed, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  };
}

/** @param {any} message */
function take(message) {
  observe(message.now);
  if (message.kind === "snapshot") {
    const runs = new Map(message.runs.map((/** @type {Run} */ run) => [run.arn, run]));
    set({ state: "open", ready: true, runs, connections: message.connections, deadLetters: message.deadLetters });
    void loadInstallation(); // anew with each connection: the console may be another one now
  } else if (message.kind === "changes") {
    /** @type {Partial<Feed>} */
    const changes = {};
    if (message.runs?.length) {
      const runs = new Map(feed.runs);
      for (const run of message.runs) runs.set(run.arn, run);
      makeRoom(runs, MOST_RUNS);
      changes.runs = runs;
    }
    if (message.connections) changes.connections = message.connections;
    if (message.deadLetters) changes.deadLetters = message.deadLetters;
    set(changes);
  }
}

async function loadInstallation() {
  try {
    const answer = await fetch("/api/installation");
    if (!answer.ok) throw new Error(`${answer.status}`);
    const text = await answer.text();
    // The same again must not redraw what hangs on it.
    if (text !== JSON.stringify(feed.installation)) set({ installation: JSON.parse(text), installationError: "" });
  } catch (error) {
    set({ installationError: `What is installed could not be read (${/** @type {Error} */ (error).message}).` });
  }
}
