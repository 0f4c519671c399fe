// What could not be delivered, and what was no message: look at it, send it again, throw it away.

import {
  html, Ago, api, Badge, confirmDialog, Empty, Json, link, memo, Page, plural, toast, useAction, useEffect, useMemo, useState,
} from "../lib.js";
import { useFeed } from "../feed.js";
import { Control } from "./fields.js";

/** @typedef {import("../feed.js").DeadLetter} Letter */
/** @typedef {{letterId: string, messageId?: string, id?: string, outcome?: string, status?: string, executionArn?: string, detail?: string}} Result */

const QUEUES = [
  { queue: "delivery", title: "Not delivered", what: "Messages whose life ended, or that the platform could not deliver. A redrive sends them again under the same id." },
  { queue: "ingest", title: "Could not be read", what: "What came by topic, bus or queue and could not be read as a message. A redrive puts it back on the ingest queue." },
];
/** @type {Record<string, string>} */
const OUTCOMES = {
  redriven: "on its way again",
  expired: "its life is over: give it a new one above",
  unreadable: "nobody can tell which message it was",
  refused: "it would fail again at once",
  conflict: "another message has the name of its next run",
  unavailable: "a service failed; do it again",
  came_back: "it has failed again meanwhile",
  notFound: "it is no longer on the queue",
};

export function DeadLettersView() {
  const letters = useFeed((feed) => feed.deadLetters);
  return html`
    <${Page} title="Dead letters">
      ${QUEUES.map(({ queue, title, what }) => html`<${Queue} key=${queue} queue=${queue} title=${title} what=${what} all=${letters} />`)}
    <//>`;
}

/** @param {{queue: string, title: string, what: string, all: Letter[]}} props */
function Queue({ queue, title, what, all }) {
  const letters = useMemo(
    () => all.filter((letter) => letter.queue === queue).sort((one, other) => other.deadLetteredAt.localeCompare(one.deadLetteredAt)),
    [all, queue],
  );
  const [chosen, setChosen] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  const [results, setResults] = useState(/** @type {Result[]} */ ([]));
  const [life, setLife] = useState("3600");
  const [failure, setFailure] = useState("");
  const present = useMemo(() => new Set(letters.map((letter) => letter.letterId)), [letters]);
  const ids = [...chosen].filter((id) => present.has(id));
  useEffect(() => {
    // Who has left the queue is chosen no more, should it come back.
    if (ids.length !== chosen.size) setChosen(new Set(ids));
  }, [present]);

  const choose = (/** @type {string} */ id, /** @type {boolean} */ on) =>
    setChosen((before) => {
      const after = new Set(before);
      if (on) after.add(id);
      else after.delete(id);
      return after;
    });
  const [redrive, redriving] = useAction(async () => {
    setFailure("");
    setResults([]);
    const seconds = life.trim();
    if (queue === "delivery" && seconds && !(/^\d+$/.test(seconds) && Number(seconds) >= 1 && Number(seconds) <= 604800)) {
      setFailure("New life: a whole number of seconds from 1 to 604800, or nothing to keep the end that each has.");
      return;
    }
    const body = { queue, ids, ...(queue === "delivery" && seconds ? { ttlSeconds: Number(seconds) } : {}) };
    try {
      const answer = await api("/api/dead-letters/redrive", { method: "POST", body });
      setResults(answer.results);
      setChosen(new Set());
    } catch (error) {
      setFailure(/** @type {Error} */ (error).message);
    }
  });
  const [purge, purging] = useAction(async () => {
    setFailure("");
    const count = plural(ids.length, "dead letter");
    const question = { title: `Purge ${count}?`, text: "They are deleted for good, and nobody will get these messages.", confirm: "Purge", danger: true };
    if (!(await confirmDialog(question))) return;
    try {
      const answer = await api("/api/dead-letters/purge", { method: "POST", body: { queue, ids } });
      toast(`${plural(answer.purged, "dead letter")} purged.`);
      setChosen(new Set());
    } catch (error) {
      setFailure(/** @type {Error} */ (error).message);
    }
  });
  const every = letters.length > 0 && ids.length === letters.length;
  const some = ids.length > 0;
  const name = title.toLowerCase();
  return html`
    <section class="card" aria-labelledby=${`queue-${queue}`} data-testid=${`queue-${queue}`}>
      <div class="card-head">
        <h2 id=${`queue-${queue}`}>${title} <span class="count">${letters.length}</span></h2>
        ${letters.length > 0 && html`
          <div class="actions">
            <label class="check">
              <input type="checkbox" checked=${every} indeterminate=${some && !every} data-testid="select-all"
                aria-label=${`Choose all: ${name}`}
                onChange=${(/** @type {any} */ event) => setChosen(new Set(event.currentTarget.checked ? letters.map((letter) => letter.letterId) : []))} />
              <span aria-hidden="true">All</span>
            </label>
            <button type="button" class="button primary small" disabled=${!some || redriving || purging} data-testid="redrive" onClick=${redrive}>
              ${redriving ? "Redriving…" : `Redrive${some ? ` ${ids.length}` : ""}`}
            </button>
            <button type="button" class="button danger small" disabled=${!some || redriving || purging} data-testid="purge" onClick=${purge}>
              Purge${some ? ` ${ids.length}` : ""}
            </button>
          </div>`}
      </div>
      <div class="card-body letters-head">
        <p class="muted">${what}</p>
        ${queue === "delivery" && letters.length > 0 && html`
          <${Control} label="New life when redriven, seconds" hint="If left empty, each keeps its end; one that is over is refused." class="narrow">
            ${(/** @type {any} */ props) => html`
              <input ...${props} value=${life} inputmode="numeric" autocomplete="off" data-testid="new-life"
                onInput=${(/** @type {any} */ event) => setLife(event.currentTarget.value)} />`}
          <//>`}
        <div role="alert">${failure && html`<p class="note error">${failure}</p>`}</div>
        <div role="status">${results.length > 0 && html`<${Results} results=${results} onClose=${() => setResults([])} />`}</div>
      </div>
      ${letters.length === 0
        ? html`<${Empty} title="Nothing here" />`
        : html`
          <ul class="letters" aria-label=${title}>
            ${letters.map((letter) => html`
              <${LetterRow} key=${letter.letterId} letter=${letter} chosen=${chosen.has(letter.letterId)} choose=${choose} />`)}
          </ul>`}
    </section>`;
}

const LetterRow = memo((/** @type {{letter: Letter, chosen: boolean, choose: (id: string, on: boolean) => void}} */ { letter, chosen, choose }) => {
  const [open, setOpen] = useState(false);
  const { id, user, context, contextId, executionArn } = letter;
  return html`
    <li class="letter" data-testid="letter" data-letter=${letter.letterId}>
      <input type="checkbox" checked=${chosen} aria-label=${`Choose ${id || letter.letterId}`}
        onChange=${(/** @type {any} */ event) => choose(letter.letterId, event.currentTarget.checked)} />
      <div class="letter-what">
        <p class="letter-line">
          <span class="mono letter-id">${id || "no id"}</span>
          ${user && html`<span class="muted">to ${user} in ${context}/${contextId}</span>`}
        </p>
        <p class="letter-line"><strong class="bad">${letter.reason}</strong> <span class="letter-cause">${letter.cause}</span></p>
        <p class="letter-line muted small">
          <${Ago} value=${letter.deadLetteredAt} />
          <span>${plural(letter.attempts ?? 0, "attempt")}</span>
          ${executionArn && html`<a href=${link(["runs", executionArn])} aria-label=${`Run of ${id}`}>Run</a>`}
        </p>
        <details open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
          <summary>Message</summary>
          ${open && html`<${Message} letter=${letter} />`}
        </details>
      </div>
    </li>`;
});

/** The message of a letter; a long one is read now that somebody looks. @param {{letter: Letter}} props */
function Message({ letter }) {
  const [{ message, error }, setRead] = useState({ message: letter.message, error: "" });
  useEffect(() => {
    if (letter.message !== undefined) return;
    const stop = new AbortController();
    api(`/api/dead-letters/${letter.queue}/${encodeURIComponent(letter.letterId)}`, { signal: stop.signal }).then(
      (answer) => setRead({ message: answer.message, error: "" }),
      (failed) => stop.signal.aborted || setRead({ message: undefined, error: failed.message }),
    );
    return () => stop.abort();
  }, [letter.queue, letter.letterId]);
  if (error) return html`<p class="note error" role="alert">${error}</p>`;
  if (message === undefined) return html`<p class="muted" role="status">Reading the message…</p>`;
  return typeof message === "string" ? html`<${Json} text=${message} />` : html`<${Json} value=${message} />`;
}

/** @param {{results: Result[], onClose: () => void}} props */
function Results({ results, onClose }) {
  const redriven = results.filter((result) => (result.outcome ?? result.status) === "redriven").length;
  return html`
    <div class="note results" data-testid="results">
      <div class="row">
        <strong>${redriven} of ${plural(results.length, "message")} redriven</strong>
        <button type="button" class="button quiet small" onClick=${onClose}>Dismiss</button>
      </div>
      <ul>
        ${results.map((result) => {
          const outcome = result.outcome ?? result.status ?? "";
          return html`
            <li key=${result.letterId} class="row">
              <${Badge} status=${outcome === "redriven" ? "delivered" : "failed"} text=${outcome} />
              <span class="mono">${result.messageId ?? result.id ?? result.letterId}</span>
              <span class="muted">${(outcome === "expired" ? OUTCOMES.expired : result.detail ?? OUTCOMES[outcome]) ?? ""}</span>
              ${result.executionArn && html`<a href=${link(["runs", result.executionArn])}>Run</a>`}
            </li>`;
        })}
      </ul>
    </div>`;
}
