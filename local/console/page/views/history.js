// What happened in a run, state by state: the graph in words.

import { html, Json, clockTime, exactDuration, memo, plural, useEffect, useRef, useState } from "../lib.js";
import { detailsOf, readableCause } from "./path.js";

/** @typedef {import("./path.js").Path} Path */
/** @typedef {import("./path.js").Visit} Visit */
/** @typedef {import("./path.js").HistoryEvent} HistoryEvent */

/** More visits than this are shown on request: a message that waits for days has hundreds. */
const SHOWN = 60;

/** @param {{path: Path, startedAt: string, picked: {name: string, at: number} | null}} props */
export function HistoryPanel({ path, startedAt, picked }) {
  const [all, setAll] = useState(false);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const start = Date.parse(startedAt);
  const visits = all ? path.visits : path.visits.slice(-SHOWN);

  useEffect(() => {
    if (!picked) return;
    // A state that was picked in the graph: open its last visit.
    const found = [...(list.current?.querySelectorAll("details.visit") ?? [])].filter((one) => /** @type {HTMLElement} */ (one).dataset.name === picked.name).pop();
    if (!(found instanceof HTMLDetailsElement)) return;
    found.open = true;
    found.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    found.querySelector("summary")?.focus({ preventScroll: true });
  }, [picked]);

  return html`
    <section class="card" aria-label="History">
      <div class="card-head"><h2>History</h2><span class="muted">${plural(path.visits.length, "state")} entered</span></div>
      ${visits.length < path.visits.length && html`
        <p class="card-body"><button type="button" class="button small" onClick=${() => setAll(true)}>Show the ${path.visits.length - visits.length} before</button></p>`}
      <ol class="visits" ref=${list}>
        ${visits.map((visit) => html`<${VisitRow} key=${visit.number} visit=${visit} start=${start} />`)}
        ${path.after.map((event) => html`<${Ending} key=${event.id} event=${event} start=${start} />`)}
      </ol>
    </section>`;
}

const VisitRow = memo((/** @type {{visit: Visit, start: number}} */ { visit, start }) => {
  const [open, setOpen] = useState(false);
  const failed = visit.caught || (visit.error && !visit.exitedAt) || visit.type === "Fail";
  const took = visit.exitedAt ? exactDuration((Date.parse(visit.exitedAt) - Date.parse(visit.enteredAt)) / 1000) : visit.now ? "now" : "";
  return html`
    <li>
      <details class="visit depth-${Math.min(visit.depth, 2)}" data-name=${visit.name} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}>
        <summary class="visit-head">
          <span class="visit-time" title=${visit.enteredAt}>${offset(visit.enteredAt, start)}</span>
          <span class="visit-mark ${visit.now ? "now" : failed ? "caught" : ""}" aria-hidden="true"></span>
          <span class="visit-name">
            <strong>${visit.name}</strong>
            ${visit.error && html`<span class="why"><b>${visit.error}</b>${visit.cause ? `: ${visit.cause}` : ""}</span>`}
            ${visit.tries > 1 && html`<span class="why">tried ${visit.tries} times</span>`}
          </span>
          <span class="visit-took">${took}</span>
        </summary>
        ${open && html`
          <ol class="visit-body">
            ${visit.events.map((event) => html`<${EventRow} key=${event.id} event=${event} start=${start} />`)}
          </ol>`}
      </details>
    </li>`;
});

const EventRow = memo((/** @type {{event: HistoryEvent, start: number}} */ { event, start }) => {
  const { input, output, parameters, error, cause, name, ...rest } = detailsOf(event);
  return html`
    <li class="event">
      <span class="visit-time" title=${`${clockTime(event.timestamp)}, event ${event.id}`}>${offset(event.timestamp, start)}</span>
      <div>
        <span class="event-type">${words(event.type)}</span>
        ${rest.resource && html` <span class="muted mono">${rest.resource}</span>`}
        ${error && html`<p class="note error"><b>${error}</b>${cause ? `: ${readableCause(cause)}` : ""}</p>`}
        <${Part} name="input" text=${input} /><${Part} name="parameters" text=${parameters} /><${Part} name="output" text=${output} />
        ${cause && readableCause(cause) !== cause && html`<${Part} name="whole cause" text=${cause} />`}
      </div>
    </li>`;
});

/** @param {{name: string, text?: unknown}} props */
function Part({ name, text }) {
  const [open, setOpen] = useState(false);
  if (text === undefined || text === null || text === "") return null;
  return html`
    <details onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}>
      <summary>${name}</summary>
      ${open && (typeof text === "string" ? html`<${Json} text=${text} />` : html`<${Json} value=${text} />`)}
    </details>`;
}

/** @param {{event: HistoryEvent, start: number}} props */
function Ending({ event, start }) {
  const { error, cause } = detailsOf(event);
  const failed = event.type !== "ExecutionSucceeded";
  return html`
    <li class="visit">
      <div class="visit-head ending">
        <span class="visit-time" title=${event.timestamp}>${offset(event.timestamp, start)}</span>
        <span class="visit-mark end ${failed ? "failed" : ""}" aria-hidden="true"></span>
        <span class="visit-name"><strong>${words(event.type)}</strong>${error && html`<span class="why"><b>${error}</b>${cause ? `: ${cause}` : ""}</span>`}</span>
      </div>
    </li>`;
}

/** Since the start: "+1.204 s", "+2 min 3 s". @param {string} time @param {number} start */
function offset(time, start) {
  const seconds = (Date.parse(time) - start) / 1000;
  return seconds < 100 ? `+${Math.max(0, seconds).toFixed(2)} s` : `+${exactDuration(seconds)}`;
}

/** "TaskStateEntered" → "Task state entered". @param {string} type */
function words(type) {
  const text = type.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return text[0].toUpperCase() + text.slice(1);
}
