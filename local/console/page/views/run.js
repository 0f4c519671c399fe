// One run: what it is, the way it took, what happened, what went in and came out. Live.

import {
  html, api, Badge, Copy, Countdown, Empty, Json, Page, Time, confirmDialog, exactDuration, link, toast,
  useAction, useCallback, useEffect, useRef, useState, useTicking,
} from "../lib.js";
import { useFeed } from "../feed.js";
import { GraphPanel } from "./graph.js";
import { HistoryPanel } from "./history.js";
import { readPath } from "./path.js";

/** @typedef {import("../feed.js").Run} Run */
/** @typedef {{run: Run, input: unknown, output?: unknown, error?: string, cause?: string, events: import("./path.js").HistoryEvent[]}} Detail */
/** @typedef {import("./path.js").Path} Path */

/** Changes that come one upon the other are read once. */
const TOGETHER_MS = 120;

/** @param {{arn: string}} props */
export function RunView({ arn }) {
  const told = useFeed((feed) => feed.runs.get(arn));
  const machines = useFeed((feed) => feed.installation?.machines);
  const noInstallation = useFeed((feed) => feed.installationError);
  const { detail, error } = useDetail(arn, told);
  // The feed is ahead of what was read, but for a run that it does not keep any more.
  const run = told && (!detail || told.events >= detail.run.events) ? told : detail?.run ?? told;
  const definition = run && machines?.[run.machine].definition;
  const path = usePath(detail, definition);
  const [picked, setPicked] = useState(/** @type {{name: string, at: number} | null} */ (null));
  const pick = useCallback((/** @type {string} */ name) => setPicked({ name, at: Date.now() }), []);

  if (!run) {
    return html`
      <${Page} title="Run">
        <div class="card">
          ${error
            ? html`<${Empty} title=${error}><p class="mono">${arn}</p><p><a href="#/runs">To the runs</a></p><//>`
            : html`<${Empty} title="Reading the run…" />`}
        </div>
      <//>`;
  }
  return html`
    <${Page} wide name=${run.id || run.name}
      title=${html`<span class="run-title"><span class="visually-hidden">Run </span><span class="id">${run.id || run.name}</span><${Badge} status=${run.status} /></span>`}
      actions=${html`<${Actions} run=${run} />`}>
      ${error && html`<p class="note error" role="alert">${error}</p>`}
      <${Header} run=${run} />
      <div class="run-grid">
        ${path
          ? html`<${GraphPanel} definition=${definition} path=${path} run=${run} onPick=${pick} />`
          : html`<div class="card"><${Empty} title=${noInstallation || "Reading the history…"} /></div>`}
        <div class="stack">
          ${path && html`<${HistoryPanel} path=${path} startedAt=${run.startedAt} picked=${picked} />`}
          ${detail && html`
            <section class="card" aria-label="Input"><div class="card-head"><h2>Input</h2></div><div class="card-body"><${Json} value=${detail.input} /></div></section>
            ${detail.output !== undefined && detail.output !== null && html`
              <section class="card" aria-label="Output"><div class="card-head"><h2>Output</h2></div><div class="card-body"><${Json} value=${detail.output} /></div></section>`}`}
        </div>
      </div>
    <//>`;
}

/** @param {{run: Run}} props */
function Header({ run }) {
  const who = run.machine === "fanOut" ? "a fan-out" : run.machine === "chat" ? "the people of a chat" : run.user;
  const traits = [run.ack === "client" && "acknowledged by the client", run.ordered && `ordered${run.sequence ? `, number ${run.sequence}` : ""}`].filter(Boolean);
  return html`
    <section class="card card-body" aria-label="Facts">
      <dl class="facts">
        <div><dt>Recipient</dt><dd>${who ?? "–"}${run.context && html` <span class="muted">in ${run.context}/${run.contextId}</span>`}</dd></div>
        <div><dt>Type</dt><dd>${run.type}</dd></div>
        ${traits.length > 0 && html`<div><dt>Asked for</dt><dd>${traits.join("; ")}</dd></div>`}
        <div><dt>Started</dt><dd><${Time} value=${run.startedAt} /></dd></div>
        ${run.endedAt
          ? html`<div><dt>Ended</dt><dd><${Time} value=${run.endedAt} /> <span class="muted">after ${exactDuration((Date.parse(run.endedAt) - Date.parse(run.startedAt)) / 1000)}</span></dd></div>`
          : html`<div><dt>State</dt><dd>${run.state || "starting"}</dd></div>`}
        ${run.machine === "delivery" && html`<div><dt>Attempts</dt><dd>${run.attempts}</dd></div>`}
        ${waits(run) && html`
          <div><dt>${run.waitingFor === "acknowledgement" ? "Waits for the acknowledgement; posts again in" : run.waitingFor === "reconnect" ? "Waits for a reconnect; looks again in" : "Looks again in"}</dt>
            <dd><strong class="wait"><${Countdown} to=${run.nextAttemptAt} /></strong></dd></div>`}
        ${run.reason && html`<div><dt>Reason</dt><dd><strong>${run.reason}</strong>${run.cause && html`<span class="muted">: ${run.cause}</span>`}</dd></div>`}
      </dl>
      ${waits(run) && html`<${Progress} since=${run.waitingSince} to=${run.nextAttemptAt} />`}
    </section>`;
}

/** @param {Run} run */
const waits = (run) => Boolean(run.nextAttemptAt && !run.endedAt);

/** How much of a wait is over. @param {{since?: string, to?: string}} props */
function Progress({ since, to }) {
  const [from, until] = [Date.parse(since ?? ""), Date.parse(to ?? "")];
  const share = useTicking((now) => Math.min(1, Math.max(0, (now - from) / (until - from || 1))).toFixed(3));
  return html`<div class="progress" aria-hidden="true"><span style=${{ transform: `scaleX(${share})` }}></span></div>`;
}

/** @param {{run: Run}} props */
function Actions({ run }) {
  const [cancel, busy] = useAction(async () => {
    const sure = await confirmDialog({
      title: "Cancel this message?",
      text: `${run.id || run.name} is taken back: its run ends, and ${run.user || "nobody"} does not get it any more.`,
      confirm: "Cancel the message",
      cancel: "Let it go on",
      danger: true,
    });
    if (!sure) return;
    await api(`/api/messages/${encodeURIComponent(run.id || run.name)}`, { method: "DELETE" });
    toast("The message is taken back.");
  });
  return html`
    ${run.user && html`<a class="button quiet small" href=${link(["runs"], { user: run.user })}>Recipient’s runs</a>`}
    <${Copy} text=${run.id || run.name} label="Copy id" />
    <${Copy} text=${run.arn} label="Copy ARN" />
    ${run.machine === "delivery" && !run.endedAt && html`<button type="button" class="button danger" disabled=${busy} onClick=${cancel}>Cancel</button>`}`;
}

/**
 * A run with its history, read anew whenever the feed says that there is more of it. What was read stays until then.
 * @param {string} arn
 * @param {Run | undefined} told
 */
function useDetail(arn, told) {
  const [state, setState] = useState(/** @type {{detail: Detail | null, error: string}} */ ({ detail: null, error: "" }));
  const version = told ? `${told.events} ${told.status}` : "";
  const began = useRef(false);
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      try {
        const detail = await api(`/api/runs/${encodeURIComponent(arn)}`, { signal: stop.signal });
        setState({ detail, error: "" });
      } catch (error) {
        if (!stop.signal.aborted) setState((last) => ({ ...last, error: /** @type {Error} */ (error).message }));
      }
    };
    const timer = setTimeout(read, began.current ? TOGETHER_MS : 0);
    began.current = true;
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [arn, version]);
  return state;
}

/** @param {Detail | null} detail @param {any} definition @returns {Path | null} */
function usePath(detail, definition) {
  const last = useRef(/** @type {{detail: Detail, definition: any, path: Path} | null} */ (null));
  if (!detail || !definition) return null;
  if (last.current?.detail !== detail || last.current.definition !== definition) {
    const before = last.current?.definition === definition ? last.current?.path : undefined;
    last.current = { detail, definition, path: readPath(detail.events, definition, before) };
  }
  return last.current.path;
}
