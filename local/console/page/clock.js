// The server's clock, and the one timer that every countdown of the page hangs on.

/** How far the server's clock is ahead of this browser's, in ms. @type {number[]} */
const offsets = [];
let offset = 0;

/** Learn from a server's time that has just arrived. @param {string} now RFC 3339 */
export function observe(now) {
  const sample = Date.parse(now) - Date.now();
  if (Number.isNaN(sample)) return;
  offsets.push(sample);
  if (offsets.length > 20) offsets.shift();
  // A message that took long makes the server look late; the largest sample is the one that took least.
  offset = Math.max(...offsets);
}

/** The server's time now, in ms since 1970. */
export function serverNow() {
  return Date.now() + offset;
}

/** @type {Set<() => void>} */
const listeners = new Set();
let timer = 0;

/** Call this four times a second, until the returned function is called. @param {() => void} listener */
export function onTick(listener) {
  listeners.add(listener);
  if (listeners.size === 1) timer = window.setInterval(() => listeners.forEach((call) => call()), 250);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.clearInterval(timer);
  };
}
