// Write and send every kind of message, and see it as JSON, as a command and as a request.

import {
  html, api, Badge, clockTime, Copy, go, Json, link, Page, plural, useEffect, useMemo, useRef, useState, useStored,
} from "../lib.js";
import { useFeed } from "../feed.js";
import { Check, Choice, Control } from "./fields.js";
import { asCommand, asCurl, asStart, emptyDraft, has, placeError, read, WAYS } from "./messages.js";

/** @typedef {{key: number, at: string, way: string, id: string, status: string, detail: string, arn: string, answer: any}} Answer */

const KEPT_ANSWERS = 100;
const MORE = ["maxAttempts", "backoffBaseSeconds", "backoffCapSeconds", "correlationId", "sequence", "isFinal"];
const NEEDED = "This is needed.";
/** Status of an answer → whose colours it has. @type {Record<string, string>} */
const COLOURS = {
  delivered: "delivered", started: "delivering", taken: "delivering", published: "delivering",
  duplicate: "waiting", gone: "waiting", missed: "waiting",
  conflict: "failed", invalid: "failed", unavailable: "failed", failed: "failed", error: "failed",
};

// Not the component's: what was answered is still there when somebody comes back from looking at the run.
/** @type {Answer[]} newest first */
let answers = [];
let answerNumber = 0;

/** @param {string} stored */
function readDraft(stored) {
  const draft = emptyDraft();
  try {
    const kept = JSON.parse(stored);
    for (const name of Object.keys(draft)) if (typeof kept?.[name] === typeof draft[name]) draft[name] = kept[name];
    if (!(draft.way in WAYS)) draft.way = "accept";
  } catch {
    // Nothing is remembered, or nothing that is ours.
  }
  return draft;
}

const madeUpId = () => `m-${Date.now().toString(36)}${Math.random().toString(36).slice(2, 6)}`;

/** @param {{query?: Record<string, string>}} props `user`, `context` and `contextId`, or `connectionId`, say to whom */
export function ComposerView({ query = {} }) {
  const [stored, store] = useStored("composer", "");
  const draft = useMemo(() => readDraft(stored), [stored]);
  const [said, setSaid] = useState(/** @type {Record<string, string>} */ ({})); // what the server said, by field
  const [failure, setFailure] = useState("");
  const [attempted, setAttempted] = useState(false);
  const [progress, setProgress] = useState(/** @type {{done: number, of: number} | null} */ (null));
  const [, redraw] = useState({});
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const latest = useRef(draft);
  latest.current = draft;
  const stop = useRef(false);

  const change = (/** @type {Record<string, any>} */ changes) => {
    latest.current = { ...latest.current, ...changes };
    store(JSON.stringify(latest.current));
    setFailure("");
    setSaid((before) => Object.fromEntries(Object.entries(before).filter(([field]) => !(field in changes))));
  };

  useEffect(() => {
    const { user, context, contextId, connectionId } = query;
    if (connectionId) change({ way: "postOnce", connectionId });
    else if (user) {
      const way = WAYS[latest.current.way].fields.includes("user") ? latest.current.way : "accept";
      change({ way, user, ...(context ? { context } : {}), ...(contextId ? { contextId } : {}) });
    }
    if (connectionId || user) go(link(["send"]), true);
  }, [query.user, query.context, query.contextId, query.connectionId]);

  const { messages, problems } = useMemo(() => read(draft), [draft]);
  const wrong = Object.keys(problems).length;
  const shown = { ...said, ...problems };
  if (!attempted) for (const [field, text] of Object.entries(shown)) if (text === NEEDED) delete shown[field];

  const send = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (progress) return;
    setFailure("");
    setSaid({});
    setAttempted(true);
    if (wrong) {
      setFailure(`${plural(wrong, "field needs", "fields need")} a look before this can be sent.`);
      // After it is drawn: the field that is wrong, also in the part that was folded away.
      setTimeout(() => /** @type {HTMLElement | null} */ (form.current?.querySelector("[aria-invalid=true]"))?.focus());
      return;
    }
    stop.current = false;
    const { way } = draft;
    for (const [index, message] of messages.entries()) {
      if (stop.current) break;
      if (messages.length > 1) setProgress({ done: index, of: messages.length });
      else setProgress({ done: 0, of: 1 });
      /** @type {Answer} */
      const entry = { key: ++answerNumber, at: new Date().toISOString(), way, id: message.id ?? "", status: "error", detail: "", arn: "", answer: null };
      try {
        const { answer } = await api("/api/messages", { method: "POST", body: { way, message } });
        entry.answer = answer;
        entry.id = message.id ?? answer.id ?? "";
        entry.status = answer.status ?? "taken";
        entry.detail = answer.detail ?? "";
        entry.arn = answer.executionArn ?? "";
      } catch (error) {
        entry.detail = /** @type {Error} */ (error).message;
      }
      answers = [entry, ...answers].slice(0, KEPT_ANSWERS);
      redraw({});
      if (["error", "invalid", "unavailable", "conflict"].includes(entry.status)) {
        const placed = placeError(entry.detail, draft);
        setSaid(placed.problems);
        setFailure(placed.rest || "The server does not take it: look at the fields that are marked.");
        break;
      }
    }
    setProgress(null);
  };

  const control = { draft, shown, change };
  const more = MORE.filter((field) => has(draft, field));
  const moreIsWrong = more.some((field) => field in shown);
  const moreIsUsed = more.some((field) => draft[field]);
  return html`
    <${Page} title="Send">
      <div class="composer">
        <form ref=${form} class="card composer-form" noValidate onSubmit=${send} data-testid="composer"
          onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && send(event)}>
          <${Choice} label="Way in" name="way" testid="way" value=${draft.way} onChange=${(/** @type {string} */ way) => change({ way })}
            options=${Object.entries(WAYS).map(([way, { name }]) => [way, name])} />
          <p class="field-hint">${WAYS[draft.way].hint}</p>
          <${Recipient} ...${control} />
          <div class="form-row">
            <${Text} ...${control} field="type" label="Type" placeholder="message" hint="What the client dispatches on." />
            <div class="with-button">
              <${Text} ...${control} field="id" label="Id" placeholder="made up by who accepts it"
                hint=${messages.length > 1 && draft.id ? "Each gets its number at the end." : "Names one message for one recipient, for good."} />
              <button type="button" class="button small" onClick=${() => change({ id: madeUpId() })}>New id</button>
              ${draft.id && html`<button type="button" class="button quiet small" onClick=${() => change({ id: "" })}>No id</button>`}
            </div>
          </div>
          <${Control} label="Payload (JSON)" error=${shown.payload}>
            ${(/** @type {any} */ props) => html`
              <textarea ...${props} class="code" rows="4" spellcheck=${false} value=${draft.payload} data-testid="payload"
                onInput=${(/** @type {any} */ event) => change({ payload: event.currentTarget.value })}></textarea>`}
          <//>
          <${Delivery} ...${control} />
          ${more.length > 0 && html`
            <details class="fold" open=${moreIsWrong || moreIsUsed}>
              <summary>${[has(draft, "maxAttempts") && "Retry", "Correlation", has(draft, "isFinal") && "Sequence"].filter(Boolean).join(", ")}</summary>
              <div class="form-grid">
                <${Text} ...${control} field="maxAttempts" label="Attempts at most" number />
                <${Text} ...${control} field="backoffBaseSeconds" label="First wait, seconds" number />
                <${Text} ...${control} field="backoffCapSeconds" label="Longest wait, seconds" number />
                <${Text} ...${control} field="correlationId" label="Correlation id" />
                <${Text} ...${control} field="sequence" label="Sequence" number hint="Your own number." />
              </div>
              ${has(draft, "isFinal") && html`<${Check} label="Is final" hint="The last of its kind." checked=${draft.isFinal}
                onChange=${(/** @type {boolean} */ isFinal) => change({ isFinal })} />`}
            </details>`}
          <div role="alert">${failure && html`<p class="form-error" data-testid="form-error">${failure}</p>`}</div>
          <div class="actions form-actions">
            <button type="submit" class="button primary" disabled=${Boolean(progress)} data-testid="send">
              ${progress ? (progress.of > 1 ? `Sending ${progress.done + 1} of ${progress.of}…` : "Sending…") : messages.length > 1 ? `Send ${messages.length}` : "Send"}
            </button>
            ${progress && progress.of > 1 && html`<button type="button" class="button" onClick=${() => (stop.current = true)}>Stop</button>`}
            <span class="muted small keys">Ctrl + Enter</span>
            ${answers[0] && html`
              <span class="row last-answer">
                <${Badge} status=${COLOURS[answers[0].status] ?? "delivering"} text=${answers[0].status} />
                ${answers[0].arn && html`<a href=${link(["runs", answers[0].arn])}>Run</a>`}
              </span>`}
          </div>
        </form>
        <div class="composer-side">
          <${Answers} answers=${answers} />
          <${Written} draft=${draft} messages=${messages} ready=${wrong === 0} />
        </div>
      </div>
    <//>`;
}

/** @param {any} props */
function Text({ draft, shown, change, field, label, hint, number = false, list, placeholder, class: name }) {
  if (!has(draft, field)) return null;
  return html`
    <${Control} label=${label} hint=${hint} error=${shown[field]} class=${name}>
      ${(/** @type {any} */ props) => html`
        <input ...${props} name=${field} value=${draft[field]} list=${list} placeholder=${placeholder} autocomplete="off"
          spellcheck=${false} autocapitalize="none" inputmode=${number ? "numeric" : null} data-testid=${`field-${field}`}
          onInput=${(/** @type {any} */ event) => change({ [field]: event.currentTarget.value })} />`}
    <//>`;
}

/** To whom: a person's conversation, several people, or one connection. @param {any} control */
function Recipient(control) {
  const { draft, change } = control;
  const connections = useFeed((feed) => feed.connections);
  const names = useMemo(() => {
    const mine = connections.filter((one) => !draft.user || !has(draft, "user") || one.user === draft.user);
    const places = mine.length ? mine : connections;
    const inContext = places.filter((one) => one.context === draft.context);
    const sorted = (/** @type {string[]} */ list) => [...new Set(list)].sort();
    return {
      users: sorted(connections.map((one) => one.user)),
      contexts: sorted(places.map((one) => one.context)),
      contextIds: sorted((inContext.length ? inContext : places).map((one) => one.contextId)),
    };
  }, [connections, draft.user, draft.context, draft.way]);
  if (draft.way === "postOnce") return html`<${Connection} ...${control} connections=${connections} />`;
  return html`
    ${draft.way === "fanOut" && html`
      <${Choice} label="Audience" name="audience" value=${draft.audience} onChange=${(/** @type {string} */ audience) => change({ audience })}
        options=${[["users", "A list of people"], ["conversation", "Everybody in a conversation"]]} />
      <${Text} ...${control} field="users" label="Users" hint="Separated by commas." />`}
    <div class="form-grid">
      <${Text} ...${control} field="user" label="User" list="composer-users" />
      <${Text} ...${control} field="context" label="Context" list="composer-contexts" />
      <${Text} ...${control} field="contextId" label="Context id" list="composer-context-ids" />
    </div>
    <datalist id="composer-users">${names.users.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <datalist id="composer-contexts">${names.contexts.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <datalist id="composer-context-ids">${names.contextIds.map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    ${draft.way === "fanOut" && html`
      <div class="form-grid">
        <${Text} ...${control} field="exclude" label="Leave out" hint="Users, separated by commas." />
        <${Text} ...${control} field="where" label="Only connections with" placeholder="plan=gold" hint="name=value, separated by commas." />
      </div>
      <${Check} label="Durable" hint="Whoever missed it gets a delivery of their own." checked=${draft.durable}
        onChange=${(/** @type {boolean} */ durable) => change({ durable })} />`}`;
}

/** @param {any} props */
function Connection({ draft, shown, change, connections }) {
  const open = connections.some((/** @type {any} */ one) => one.connectionId === draft.connectionId);
  return html`
    <${Control} label="Connection" error=${shown.connectionId} hint=${connections.length ? null : html`Nobody is connected. The <a href="#/playground">playground</a> has clients.`}>
      ${(/** @type {any} */ props) => html`
        <select ...${props} value=${draft.connectionId} data-testid="field-connectionId"
          onChange=${(/** @type {any} */ event) => change({ connectionId: event.currentTarget.value })}>
          <option value="">Choose…</option>
          ${draft.connectionId && !open && html`<option value=${draft.connectionId}>${draft.connectionId} (gone)</option>`}
          ${connections.map((/** @type {any} */ one) => html`
            <option key=${one.connectionId} value=${one.connectionId}>${one.user} in ${one.context}/${one.contextId}, since ${clockTime(one.connectedAt)} (${one.connectionId})</option>`)}
        </select>`}
    <//>`;
}

/** How sure it is to be, and how many there are. @param {any} control */
function Delivery(control) {
  const { draft, change } = control;
  const check = (/** @type {string} */ field, /** @type {string} */ label, /** @type {string} */ hint) =>
    has(draft, field) && html`<${Check} label=${label} hint=${hint} checked=${draft[field]} testid=${`field-${field}`}
      onChange=${(/** @type {boolean} */ checked) => change({ [field]: checked })} />`;
  const drops = has(draft, "nowOrNever") && draft.nowOrNever;
  return html`
    ${has(draft, "nowOrNever") && html`
      <div class="checks">${check("nowOrNever", "Now or never", "Who is not there misses it: no run, no waiting.")}</div>`}
    ${has(draft, "ack") && html`
      <div class="form-grid">
        <${Control} label="Acknowledgement">
          ${(/** @type {any} */ props) => html`
            <select ...${props} value=${draft.ack} data-testid="field-ack"
              onChange=${(/** @type {any} */ event) => change({ ack: event.currentTarget.value })}>
              <option value="none">none: posting is enough</option>
              <option value="client">client: the client says so</option>
            </select>`}
        <//>
        <${Text} ...${control} field="ackTimeoutSeconds" label="Wait for it, seconds" number placeholder="the stage's" />
      </div>
      <div class="checks">
        ${check("ordered", "Ordered", "Numbered; the client puts them right.")}
        ${check("track", "Track", "A run in any case, to look it up.")}
      </div>`}
    <div class="form-grid">
      <${Text} ...${control} field="ttlSeconds" label="Life, seconds" number placeholder="the stage's"
        hint=${drops ? "Later it is not posted." : "Then it is a dead letter."} />
      <${Text} ...${control} field="burst" label="How many" number hint="More than 1: a burst, each with its number in the payload." />
    </div>`;
}

/** @param {{draft: Record<string, any>, messages: any[], ready: boolean}} props */
function Written({ draft, messages, ready }) {
  const installation = useFeed((feed) => feed.installation);
  const { way } = draft;
  /** @type {any[]} */
  const parts = ready
    ? [
        ["As the ringback command", asCommand(way, messages), "command"],
        ["As an HTTP request", asCurl(way, messages, installation?.httpApiUrl ?? "$HTTP_API_URL"), "curl"],
        way === "run" && ["As a start of the machine", asStart(messages, installation?.machines.delivery.arn ?? "ARN", installation?.endpoint ?? ""), "start"],
      ].filter((part) => part !== false && part[1] !== null)
    : [];
  const text = JSON.stringify(messages[0], null, 2);
  return html`
    <section class="card written" aria-labelledby="written-title">
      <div class="card-head">
        <h2 id="written-title">${way === "fanOut" ? "The fan-out" : "The message"}${messages.length > 1 ? `, the first of ${messages.length}` : ""}</h2>
        <${Copy} text=${text} label="Copy JSON" />
      </div>
      <div data-testid="envelope"><${Json} value=${messages[0]} /></div>
      ${!ready && html`<p class="muted">Not ready to be sent: what is marked in the form comes first.</p>`}
      ${parts.map(([title, command, testid]) => html`
        <div class="written-part" key=${testid}>
          <div class="card-head"><h3>${title}</h3><${Copy} text=${command} label="Copy" /></div>
          <pre class="json command" tabindex="0" data-testid=${testid}>${command}</pre>
        </div>`)}
    </section>`;
}

/** @param {{answers: Answer[]}} props */
function Answers({ answers: given }) {
  const runs = useFeed((feed) => feed.runs);
  const ids = useMemo(() => {
    // Topic and bus answer without a run; it shows up a moment later, if there is one.
    const wanted = new Set(given.filter(({ way }) => ["topic", "bus"].includes(way)).map(({ id }) => id).filter(Boolean));
    const found = new Map();
    if (wanted.size) for (const run of runs.values()) if (wanted.has(run.id)) found.set(run.id, run);
    return found;
  }, [given, runs]);
  return html`
    <section class="card answers" aria-labelledby="answers-title">
      <div class="card-head"><h2 id="answers-title">Answers</h2></div>
      <div aria-live="polite">
        ${given.length === 0
          ? html`<p class="muted">What you send is answered here, with a link to its run if it has one.</p>`
          : html`
            <ol class="answer-list" aria-label="Answers, the newest first">
              ${given.map((answer) => {
                const run = (answer.arn && runs.get(answer.arn)) || ids.get(answer.id);
                const arn = answer.arn || run?.arn;
                return html`
                  <li key=${answer.key} class="answer" data-testid="answer">
                    <${Badge} status=${COLOURS[answer.status] ?? "delivering"} text=${answer.status} />
                    <span class="answer-id" title=${answer.id}>${answer.id || "no id of its own"}</span>
                    <span class="muted small">${WAYS[answer.way].name}, ${clockTime(answer.at)}</span>
                    ${arn && html`<a href=${link(["runs", arn])} data-testid="run-link">Run${run ? ":" : ""}</a>`}
                    ${run && html`<${Badge} status=${run.status} />`}
                    ${answer.detail && html`<p class="answer-detail">${answer.detail}</p>`}
                  </li>`;
              })}
            </ol>`}
      </div>
    </section>`;
}
