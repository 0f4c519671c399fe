// A network link for one client: what it does to the client's connection, and the buttons for that.

import { api, duration, html } from "../lib.js";

const PONG_SECONDS = 5; // the client's own

/**
 * What the network does, and what is said of it. `cut` is over as soon as it is done.
 * @type {Record<string, {name: string, button: string, short?: string, testid: string, hint: string}>}
 */
export const FAULTS = {
  none: { name: "good", button: "Back to good", testid: "heal", hint: "The network is good again, and what was silent breaks, so that the client notices." },
  cut: { name: "good", button: "Drop", testid: "drop", hint: "Cuts the open connection. The client sees it, and comes back." },
  halfOpen: { name: "half-open", button: "Half-open", testid: "half-open", hint: "The open connection goes silent, and nobody is told, as in a tunnel. The client notices at its next ping" },
  throttled: { name: "throttled", button: "Throttle", testid: "throttle", hint: "Everything is slow." },
  down: { name: "down", button: "Network down", short: "Down", testid: "down", hint: "Nothing is open, and nothing can be opened." },
};

/** The link of one client. The console's server has it, from the first `open` to `close`. */
export class Network {
  fault = "none";
  #closed = false;
  /** @type {{id: string, url: string} | null} */
  #link = null;

  /** Whether there is one that can be given a fault. */
  get isOpen() {
    return this.#link !== null;
  }

  /** Whether anything new gets through. A silent connection is that of a network which nothing leaves. */
  get carries() {
    return this.fault !== "down" && this.fault !== "halfOpen";
  }

  /** Have it; answers the WebSocket URL through it, or "" if it was closed meanwhile. */
  async open() {
    this.#closed = false;
    this.#link ??= await api("/api/links", { method: "POST", body: {} });
    if (this.#closed) this.close();
    return this.#link?.url ?? "";
  }

  /** @param {string} fault */
  async setFault(fault) {
    // What went silent stays so; a person who leaves a tunnel has it broken by the system.
    if (fault === "none" && this.fault === "halfOpen") await this.#tell("cut");
    else if (fault !== "cut" && this.fault !== "none") await this.#tell("none"); // one at a time
    await this.#tell(fault);
    if (fault !== "cut" || this.fault === "halfOpen") this.fault = fault === "cut" ? "none" : fault;
  }

  /** A connection was opened through it: only what was open before has gone silent. */
  opened() {
    if (this.fault === "halfOpen") this.fault = "none";
  }

  /** Give it back, also while the page goes. */
  close() {
    this.#closed = true;
    const link = this.#link;
    this.#link = null;
    this.fault = "none";
    if (!link) return;
    const headers = { "Content-Type": "application/json" };
    fetch(`/api/links/${encodeURIComponent(link.id)}`, { method: "DELETE", keepalive: true, headers }).catch(() => {});
  }

  /** @param {string} fault */
  #tell(fault) {
    if (!this.#link) throw new Error("it has no network yet: connect it first");
    return api(`/api/links/${encodeURIComponent(this.#link.id)}`, { method: "POST", body: { fault } });
  }
}

/**
 * `compact`: smaller, and the way back only when there is one, at the end: nothing else moves.
 * @param {{network: Network, busy: boolean, onFault: (fault: string) => void, pingSeconds: number, compact?: boolean}} props
 */
export function NetworkButtons({ network, busy, onFault, pingSeconds, compact = false }) {
  const { fault } = network;
  const { none, ...faults } = FAULTS;
  const shown = Object.entries(compact ? { ...faults, ...(fault !== "none" && { none }) } : FAULTS);
  const told = (/** @type {string} */ name) => FAULTS[name].hint + (name === "halfOpen" ? `, within ${duration(pingSeconds + PONG_SECONDS)}.` : "");
  return html`
    <fieldset class="network ${compact ? "compact" : ""}">
      <legend class="field-label">Network: <strong data-testid="fault">${FAULTS[fault].name}</strong></legend>
      <div class="row">
        ${shown.map(([name, { button, short = button, testid }]) => html`
          <button type="button" key=${name} class="button small ${name === "none" && fault !== "none" ? "primary" : ""}" title=${told(name)}
            aria-pressed=${name === "cut" || name === "none" ? null : fault === name}
            data-testid=${testid} disabled=${!network.isOpen || busy} onClick=${() => onFault(name === fault ? "none" : name)}>${compact ? short : button}</button>`)}
      </div>
      ${fault !== "none" && html`<p class="field-hint">${told(fault)}</p>`}
    </fieldset>`;
}

/** Who hears of changes, at most 20 times a second. */
export function notifier() {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  let told = true;
  return {
    /** @param {() => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    /** Tell who listens, soon. */
    changed() {
      if (!told) return;
      told = false;
      setTimeout(() => {
        told = true;
        for (const listener of listeners) listener();
      }, 50);
    },
  };
}
