// All runs, newest first, live: filtered by status, user and id, which stand in the URL.

import { html, Badge, Countdown, Empty, Page, go, link, memo, plural, statusText, useEffect, useMemo, useRef, useState, Time } from "../lib.js";
import { useFeed } from "../feed.js";

/** @typedef {import("../feed.js").Run} Run */

const STATUSES = ["delivering", "waiting", "delivered", "acknowledged", "dead_lettered", "cancelled", "running", "succeeded", "failed"];

/** @param {{query: Record<string, string>}} props */
export function RunsView({ query }) {
  const live = useFeed((feed) => feed.runs);
  const ready = useFeed((feed) => feed.ready);
  const [held, setHeld] = useState(/** @type {ReadonlyMap<string, Run> | null} */ (null));
  const runs = held ?? live;
  const all = useMemo(() => newestFirst(runs), [runs]);
  const { status = "", user = "", id = "" } = query;

  const matching = useMemo(() => {
    const [name, key] = [user.toLowerCase(), id.toLowerCase()];
    return all.filter((run) =>
      (!name || whoFor(run).toLowerCase().includes(name)) && (!key || run.id.toLowerCase().includes(key) || run.name.toLowerCase().includes(key)));
  }, [all, user, id]);
  const counts = useMemo(() => countBy(matching), [matching]);
  const shown = useMemo(() => (status ? matching.filter((run) => run.status === status) : matching), [matching, status]);

  const filter = (/** @type {Record<string, string>} */ changes) => go(link(["runs"], { ...query, ...changes }), true);
  return html`
    <${Page} title="Runs" wide actions=${html`
      <span class="muted nowrap" data-testid="shown">${shown.length === all.length ? plural(all.length, "run") : `${shown.length.toLocaleString("en")} of ${plural(all.length, "run")}`}</span>
      <button type="button" class="button small" aria-pressed=${held !== null} onClick=${() => setHeld(held ? null : live)}>${held ? "Go on" : "Hold"}</button>`}>
      <div class="filters">
        <div class="row">
          <div class="chips" role="group" aria-label="Status">
            <${Chip} text="all" count=${matching.length} pressed=${!status} onClick=${() => filter({ status: "" })} />
            ${STATUSES.filter((one) => counts[one] || one === status || STATUSES.indexOf(one) < 5).map((one) => html`
              <${Chip} key=${one} status=${one} text=${statusText(one)} count=${counts[one] ?? 0} pressed=${status === one}
                onClick=${() => filter({ status: status === one ? "" : one })} />`)}
          </div>
          <div class="texts">
            <label><span class="visually-hidden">Recipient</span><input type="search" placeholder="Recipient" value=${user} onInput=${(/** @type {any} */ event) => filter({ user: event.target.value })} /></label>
            <label><span class="visually-hidden">Id</span><input type="search" placeholder="Id" value=${id} onInput=${(/** @type {any} */ event) => filter({ id: event.target.value })} /></label>
          </div>
        </div>
        ${held && held !== live && html`<p class="note">The list is held as it was. What happens meanwhile is shown when it goes on.</p>`}
      </div>
      <div class="card">
        ${!ready
          ? html`<${Empty} title="Reading the runs…" />`
          : shown.length
            ? html`<${Rows} runs=${shown} />`
            : all.length
              ? html`<${Empty} title="No run is like that"><p><a href="#/runs">Show all ${all.length.toLocaleString("en")}</a></p><//>`
              : html`<${NothingYet} />`}
      </div>
    <//>`;
}

/** The first message, by hand or from the page. */
function NothingYet() {
  return html`
    <${Empty} title="No run yet">
      <p>A message to somebody who is not connected waits in a run; what is delivered at once needs none.</p>
      <p><a class="button primary" href="#/send">Send the first message</a></p>
      <p>or from a terminal:</p>
      <pre class="json" tabindex="0">.venv/bin/ringback send --local --user ana --context chat --context-id 42 --text Hello</pre>
    <//>`;
}

/** @param {{text: string, count: number, pressed: boolean, status?: string, onClick: () => void}} props */
function Chip({ text, count, pressed, status, onClick }) {
  return html`
    <button type="button" class="chip ${status ? `status-${status}` : ""}" aria-pressed=${pressed} onClick=${onClick}>
      ${status && html`<span class="mark" aria-hidden="true"></span>`}${text}<span class="n">${count.toLocaleString("en")}</span>
    </button>`;
}

/** Above this, only the rows near the window are drawn. */
const DRAW_ALL = 120;
const MARGIN_ROWS = 12;

/** @param {{runs: Run[]}} props */
function Rows({ runs }) {
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  const { from, to, height } = useWindow(body, runs.length);
  return html`
    <div class="runs" role="table" aria-label="Runs" aria-rowcount=${runs.length + 1}>
      <div role="rowgroup">
        <div class="runs-head" role="row" aria-rowindex="1">
          <span role="columnheader">Id</span><span role="columnheader">Recipient</span><span role="columnheader">Status</span>
          <span role="columnheader">State</span><span role="columnheader" class="num">Attempts</span>
          <span role="columnheader" class="num">Next attempt</span><span role="columnheader" class="num">Started</span>
        </div>
      </div>
      <div role="rowgroup" ref=${body} style=${{ paddingTop: `${from * height}px`, paddingBottom: `${(runs.length - to) * height}px` }} onKeyDown=${arrows}>
        ${runs.slice(from, to).map((run, index) => html`<${Row} key=${run.arn} run=${run} index=${from + index + 2} />`)}
      </div>
    </div>`;
}

/** The machines that carry no message. @type {Record<string, string>} */
const KINDS = { fanOut: "fan-out", chat: "chat" };

const Row = memo((/** @type {{run: Run, index: number}} */ { run, index }) => html`
  <div class="run-row" role="row" aria-rowindex=${index}>
    <span role="cell" class="c-id ellipsis"><a href=${link(["runs", run.arn])} title=${run.name}>${run.id || run.name}</a></span>
    <span role="cell" class="c-recipient ellipsis" title=${whoFor(run)}>${KINDS[run.machine] ? html`<span class="tag">${KINDS[run.machine]}</span> ` : run.user}<span class="muted"> ${place(run)}</span></span>
    <span role="cell" class="c-status"><${Badge} status=${run.status} /></span>
    <span role="cell" class="c-state ellipsis" title=${run.reason ? `${run.reason}: ${run.cause ?? ""}` : run.state}>${run.reason && run.endedAt ? run.reason : run.state}</span>
    <span role="cell" class="c-attempts num">${run.machine === "delivery" ? run.attempts : "–"}</span>
    <span role="cell" class="c-next num">${run.nextAttemptAt && !run.endedAt ? html`<${Countdown} to=${run.nextAttemptAt} />` : html`<span class="muted">–</span>`}</span>
    <span role="cell" class="c-started num"><${Time} value=${run.startedAt} /></span>
  </div>`);

/**
 * Which rows are near the window, by the height of a row.
 * @param {{current: HTMLElement | null}} body
 * @param {number} count
 */
function useWindow(body, count) {
  const [view, setView] = useState({ top: 0, height: 42, rows: 60 });
  const all = count <= DRAW_ALL;
  useEffect(() => {
    if (all) return;
    let frame = 0;
    const measure = () => {
      frame = 0;
      const element = body.current;
      if (!element) return;
      const height = Number.parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 42;
      const top = Math.max(0, Math.floor(-element.getBoundingClientRect().top / height));
      const rows = Math.ceil(innerHeight / height);
      // In steps, so that a scroll does not redraw for every pixel.
      const step = Math.floor(top / 6) * 6;
      setView((last) => (last.top === step && last.height === height && last.rows === rows ? last : { top: step, height, rows }));
    };
    const later = () => (frame ||= requestAnimationFrame(measure));
    measure();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      removeEventListener("resize", later);
    };
  }, [all]);
  if (all) return { from: 0, to: count, height: view.height };
  const to = Math.min(count, view.top + view.rows + 6 + MARGIN_ROWS);
  const from = Math.max(0, Math.min(view.top - MARGIN_ROWS, to - view.rows - 2 * MARGIN_ROWS));
  return { from, to, height: view.height };
}

/** Up and down go from row to row. @param {KeyboardEvent} event */
function arrows(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const row = /** @type {HTMLElement} */ (event.target).closest(".run-row");
  const other = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
  const target = /** @type {HTMLElement | null | undefined} */ (other?.querySelector("a"));
  if (!target) return;
  event.preventDefault();
  target.focus();
  target.scrollIntoView({ block: "nearest" });
}

/** @param {ReadonlyMap<string, Run>} runs @returns {Run[]} */
function newestFirst(runs) {
  return [...runs.values()].sort((one, other) => (one.startedAt < other.startedAt ? 1 : one.startedAt > other.startedAt ? -1 : one.arn < other.arn ? -1 : 1));
}

/** @param {Run[]} runs */
function countBy(runs) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const run of runs) counts[run.status] = (counts[run.status] ?? 0) + 1;
  return counts;
}

/** @param {Run} run */
const place = (run) => (run.context || run.contextId ? `${run.context}/${run.contextId}` : "");

/** @param {Run} run */
const whoFor = (run) => `${run.user ?? ""} ${place(run)}`.trim();
