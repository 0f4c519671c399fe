// What every view is made of.
//
// A view is one file in views/, with one component for its route, which app.js draws:
//
//   import { html, useState, Page, Empty, api, useAction, toast, confirmDialog } from "../lib.js";
//   import { useFeed } from "../feed.js";
//
//   export function ThingsView() {
//     const things = useFeed((feed) => feed.connections);          // live
//     const [purge, busy] = useAction(async () => {                // an error becomes a toast by itself
//       if (!(await confirmDialog({ title: "Purge?", text: "…", confirm: "Purge", danger: true }))) return;
//       const answer = await api("/api/things/purge", { method: "POST", body: { ids: [] } });
//       toast(`${answer.purged} purged.`);
//     });
//     return html`
//       <${Page} title="Things" actions=${html`<button class="button danger" disabled=${busy} onClick=${purge}>Purge</button>`}>
//         <div class="card"> … </div>
//       <//>`;
//   }
//
// Components: Page, Badge, Time, Ago, Countdown, Copy, Json, Empty, Field, TableScroll, Dialog. Classes: see style.css.
// Never innerHTML, and no style attributes as text in index.html (the page's CSP): `style=${{ width: "3px" }}` is fine.

import { Component, h } from "preact";
import htm from "htm";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { onTick, serverNow } from "./clock.js";

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };

// ---------------------------------------------------------------------------------------------------- talking

/** What the console's server answered, when it was no 2xx. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status 0 when there was no answer */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Ask the console's server; throws ApiError with a text that says what to do.
 * @param {string} path
 * @param {{method?: string, body?: unknown, signal?: AbortSignal, asText?: boolean}} [options]
 * @returns {Promise<any>} the answer's JSON, or its text
 */
export async function api(path, { method = "GET", body, signal, asText = false } = {}) {
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: method === "GET" ? {} : { "Content-Type": "application/json" },
      body: method === "GET" || body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The console does not answer. Is `make up` still running?", 0);
  }
  const text = await answer.text();
  if (answer.ok && asText) return text;
  let value;
  try {
    value = text ? JSON.parse(text) : {};
  } catch {
    value = { error: text.slice(0, 300) };
  }
  if (!answer.ok) throw new ApiError(value.error || value.detail || `The console answered ${answer.status}.`, answer.status);
  return value;
}

/**
 * An action of a button: `[run, busy]`. It cannot run twice at once, and its error becomes a toast.
 * @template {any[]} A
 * @param {(...args: A) => unknown} action
 * @returns {[(...args: A) => Promise<void>, boolean]}
 */
export function useAction(action) {
  const [busy, setBusy] = useState(false);
  const running = useRef(false);
  const latest = useRef(action);
  latest.current = action;
  const run = useCallback(async (/** @type {A} */ ...args) => {
    if (running.current) return;
    running.current = true;
    setBusy(true);
    try {
      await latest.current(...args);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), "error");
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);
  return [run, busy];
}

// ----------------------------------------------------------------------------------------------------- routes

/**
 * @typedef {{segments: string[], query: Record<string, string>}} Route
 */

/** `#/runs/a?status=waiting` → `{segments: ["runs", "a"], query: {status: "waiting"}}`. @returns {Route} */
export function readRoute() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const segments = path.split("/").filter(Boolean).map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
  return { segments, query: Object.fromEntries(new URLSearchParams(query)) };
}

/**
 * The href of a view: `link(["runs", arn], {status: "waiting"})`. Empty values of the query are left out.
 * @param {string[]} segments
 * @param {Record<string, string>} [query]
 */
export function link(segments, query = {}) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/${segments.map(encodeURIComponent).join("/")}${given ? `?${given}` : ""}`;
}

/** Where the page is; drawn again when that changes. */
export function useRoute() {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const look = () => setRoute(readRoute());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return route;
}

/** Go to a view; `replace` leaves no step to go back to. @param {string} href @param {boolean} [replace] */
export function go(href, replace = false) {
  if (!replace) location.hash = href;
  else {
    history.replaceState(null, "", href);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }
}

// ------------------------------------------------------------------------------------------------------ hooks

/**
 * A state that this browser remembers.
 * @param {string} name
 * @param {string} initial
 * @returns {[string, (value: string) => void]}
 */
export function useStored(name, initial) {
  const [value, setValue] = useState(() => {
    try {
      return localStorage.getItem(`ringback.${name}`) ?? initial;
    } catch {
      return initial;
    }
  });
  return [
    value,
    (next) => {
      setValue(next);
      try {
        localStorage.setItem(`ringback.${name}`, next);
      } catch {
        // Without storage it holds until the page is left.
      }
    },
  ];
}

/**
 * A text made of the time, drawn again only when it reads another way.
 * @param {(now: number) => string} format of the server's time in ms
 */
export function useTicking(format) {
  const text = format(serverNow());
  const latest = useRef({ format, text });
  latest.current = { format, text };
  const [, redraw] = useState({});
  useEffect(
    () => onTick(() => {
      if (latest.current.format(serverNow()) !== latest.current.text) redraw({});
    }),
    [],
  );
  return text;
}

/**
 * The component, drawn again only when a property is another value than before.
 * @template P
 * @param {(props: P) => any} component
 */
export function memo(component) {
  /** @extends {Component<any>} */
  class Memo extends Component {
    /** @param {any} next */
    shouldComponentUpdate(next) {
      const before = /** @type {any} */ (this.props);
      for (const name in next) if (!Object.is(next[name], before[name])) return true;
      for (const name in before) if (!(name in next)) return true;
      return false;
    }
    /** @param {any} props */
    render(props) {
      return h(/** @type {any} */ (component), props);
    }
  }
  return Memo;
}

// ------------------------------------------------------------------------------------------------------- text

/** 75 → "1 min 15 s"; whole units, two at most. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => whole >= Number(size));
  const [name, size] = units[first];
  const rest = whole % Number(size);
  const [nextName, nextSize] = units[first + 1];
  const next = Math.floor(rest / Number(nextSize));
  return `${Math.floor(whole / Number(size))} ${name}${next ? ` ${next} ${nextName}` : ""}`;
}

/** 0.1234 → "123 ms", 12.34 → "12.3 s", else as `duration`. @param {number} seconds */
export function exactDuration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Local time; with the day when it is not today. @param {string} time RFC 3339 */
export function clockTime(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const today = date.toDateString() === new Date(serverNow()).toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

/** "1 run", "2 runs". @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** @type {Record<string, string>} */
const STATUS_TEXT = { dead_lettered: "dead letter" };

/** How a status is written. @param {string} status */
export const statusText = (status) => STATUS_TEXT[status] ?? status;

// ------------------------------------------------------------------------------------------------- components

/** A time, as the clock on the wall here; the exact one on hover. @param {{value?: string}} props */
export function Time({ value }) {
  if (!value) return html`<span class="muted">–</span>`;
  return html`<time datetime=${value} title=${value}>${clockTime(value)}</time>`;
}

/** How long ago a time was. @param {{value?: string}} props */
export function Ago({ value }) {
  const at = Date.parse(value ?? "");
  const text = useTicking((now) => (Number.isNaN(at) ? "–" : `${duration((now - at) / 1000)} ago`));
  return html`<time datetime=${value} title=${value} class="nowrap">${text}</time>`;
}

/** How long until a time; "due" when it is here. @param {{to?: string}} props */
export function Countdown({ to }) {
  const at = Date.parse(to ?? "");
  const text = useTicking((now) => {
    if (Number.isNaN(at)) return "–";
    const seconds = Math.ceil((at - now) / 1000);
    return seconds <= 0 ? "due" : duration(seconds);
  });
  return html`<time datetime=${to} title=${to} class="countdown">${text}</time>`;
}

/** A status with its colour and its mark; also "open", "connecting", "closed". @param {{status: string, text?: string}} props */
export function Badge({ status, text }) {
  return html`<span class="badge status-${status}"><span class="mark" aria-hidden="true"></span>${text ?? statusText(status)}</span>`;
}

/**
 * A view's frame: its heading, what can be done here, and the rest.
 * @param {{title: any, name?: string, actions?: any, children?: any, wide?: boolean}} props `name`: for the window's title, when `title` is no text
 */
export function Page({ title, name, actions, children, wide = false }) {
  const plain = name ?? String(title);
  useEffect(() => {
    document.title = `${plain} · Ringback console`;
  }, [plain]);
  return html`
    <div class="page ${wide ? "wide" : ""}">
      <div class="page-head">
        <h1 id="page-title" tabindex="-1">${title}</h1>
        ${actions && html`<div class="actions">${actions}</div>`}
      </div>
      ${children}
    </div>`;
}

/** What stands where there is nothing yet, and how there would be something. @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/**
 * A labelled control: `<${Field} label="User" hint="…"><input … /><//>`.
 * @param {{label: string, hint?: any, error?: any, children?: any, class?: string}} props
 */
export function Field({ label, hint, error, children, class: name = "" }) {
  return html`
    <label class="field ${name}">
      <span class="field-label">${label}</span>
      ${children}
      ${hint && html`<span class="field-hint">${hint}</span>`}
      ${error && html`<span class="field-error" role="alert">${error}</span>`}
    </label>`;
}

/** A wide table that scrolls in itself, never the page. @param {{label: string, children?: any}} props */
export function TableScroll({ label, children }) {
  return html`<div class="table-scroll" role="region" aria-label=${label} tabindex="0">${children}</div>`;
}

/** A button that copies a text. @param {{text: string, label: string}} props */
export function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      toast("The browser does not let this page copy. Select the text instead.", "error");
    }
  };
  return html`<button type="button" class="button quiet small" title=${text.length > 200 ? null : text} onClick=${copy}>${done ? "Copied" : label}</button>`;
}

const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A value as JSON, coloured. A text that holds JSON can be given as `text`. @param {{value?: unknown, text?: string}} props */
export const Json = memo((/** @type {{value?: unknown, text?: string}} */ { value, text }) => {
  const written = useMemo(() => {
    if (text === undefined) return JSON.stringify(value, null, 2) ?? "";
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  }, [value, text]);
  const parts = useMemo(() => {
    if (written.length > 60000) return [written]; // not worth a hundred thousand elements
    const found = [];
    let end = 0;
    for (const match of written.matchAll(TOKEN)) {
      found.push(written.slice(end, match.index));
      const kind = match[2] !== undefined ? "key" : match[1] ? "text" : match[3] ? "word" : "number";
      found.push(html`<span class="json-${kind}">${match[1] ?? match[0]}</span>`, match[2] ?? "");
      end = (match.index ?? 0) + match[0].length;
    }
    return [...found, written.slice(end)];
  }, [written]);
  return html`<pre class="json" tabindex="0">${parts}</pre>`;
});

/**
 * A modal dialog, open for as long as it is drawn.
 * @param {{title: string, onClose: () => void, children?: any, actions?: any, wide?: boolean}} props
 */
export function Dialog({ title, onClose, children, actions, wide = false }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const cancel = (/** @type {Event} */ event) => {
    event.preventDefault();
    onClose();
  };
  return html`
    <dialog ref=${element} class="dialog ${wide ? "wide" : ""}" aria-labelledby="dialog-title" onCancel=${cancel}>
      <h2 id="dialog-title">${title}</h2>
      <div class="dialog-body">${children}</div>
      <div class="actions">${actions}</div>
    </dialog>`;
}

// --------------------------------------------------------------------------------------------- toasts, questions

/** @typedef {{title: string, text: any, confirm: string, cancel?: string, danger?: boolean}} Question */
/** @typedef {{id: number, text: string, kind: "info" | "error"}} Toast */

/** @type {{toasts: Toast[], question: (Question & {answer: (yes: boolean) => void}) | null}} */
let overlays = { toasts: [], question: null };
/** @type {() => void} */
let redrawOverlays = () => {};
let toastNumber = 0;

/** @param {Partial<typeof overlays>} changes */
function setOverlays(changes) {
  overlays = { ...overlays, ...changes };
  redrawOverlays();
}

/** Say something in a corner, for a while. @param {string} text @param {"info" | "error"} [kind] */
export function toast(text, kind = "info") {
  const id = ++toastNumber;
  setOverlays({ toasts: [...overlays.toasts.slice(-3), { id, text, kind }] });
  setTimeout(() => dropToast(id), kind === "error" ? 12000 : 5000);
}

/** @param {number} id */
const dropToast = (id) => setOverlays({ toasts: overlays.toasts.filter((shown) => shown.id !== id) });

/** Ask before something is done that cannot be undone. @param {Question} question @returns {Promise<boolean>} */
export function confirmDialog(question) {
  overlays.question?.answer(false);
  return new Promise((resolve) => {
    const answer = (/** @type {boolean} */ yes) => {
      setOverlays({ question: null });
      resolve(yes);
    };
    setOverlays({ question: { ...question, answer } });
  });
}

/** Where toasts and questions are drawn; app.js has it once. */
export function Overlays() {
  const [, redraw] = useState({});
  useEffect(() => {
    redrawOverlays = () => redraw({});
    return () => void (redrawOverlays = () => {});
  }, []);
  const { question } = overlays;
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${overlays.toasts.map((shown) => html`
        <div key=${shown.id} class="toast ${shown.kind}">
          <span>${shown.text}</span>
          <button type="button" class="icon-button" aria-label="Dismiss" onClick=${() => dropToast(shown.id)}>×</button>
        </div>`)}
    </div>
    ${question && html`
      <${Dialog} title=${question.title} onClose=${() => question.answer(false)}
        actions=${html`
          <button type="button" class="button" onClick=${() => question.answer(false)}>${question.cancel ?? "Keep"}</button>
          <button type="button" class="button ${question.danger ? "danger solid" : "primary"}" onClick=${() => question.answer(true)}>${question.confirm}</button>`}>
        ${typeof question.text === "string" ? html`<p>${question.text}</p>` : question.text}
      <//>`}`;
}
