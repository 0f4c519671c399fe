// Clients that can be connected, dropped, made half-open and throttled with a click. They live on in players.js.

import {
  html, Badge, Countdown, link, memo, Page, plural, Time, useEffect, useState,
} from "../lib.js";
import { useFeed } from "../feed.js";
import { Choice, Control } from "./fields.js";
import { add, all, preset, remove, SLOW_SECONDS, subscribe } from "./players.js";
import { NetworkButtons } from "./network.js";
import { startStory, stopStory, STEPS, story } from "./story.js";

/** @typedef {import("./players.js").Player} Player */

const SHOWN_MESSAGES = 200;
const USUAL_PING_SECONDS = 120; // the client's own
const PRESETS = [
  { name: "Ana in two tabs", clients: [{ user: "ana" }, { user: "ana" }] },
  { name: "Ana and Bob", clients: [{ user: "ana" }, { user: "bob" }] },
];
const SENDS = /** @type {const} */ ([
  ["plain", "Plain", "Posted, not acknowledged: a silent connection loses it"],
  ["acknowledged", "Acknowledged", "Delivered when the client says so"],
  ["ordered", "Ordered", "Numbered and acknowledged"],
  ["burst", "Burst of 10", "Ten, numbered and acknowledged"],
]);

export function PlaygroundView() {
  const [, redraw] = useState({});
  useEffect(() => subscribe(() => redraw({})), []);
  const players = all();
  return html`
    <${Page} title="Playground" wide actions=${html`
      <button type="button" class="button" data-testid="add-client" onClick=${() => add()}>Add a client</button>
      ${PRESETS.map(({ name, clients }) => html`
        <button type="button" key=${name} class="button" title="Instead of those that are here" onClick=${() => preset(clients)}>${name}</button>`)}
      <button type="button" class="button primary" data-testid="story" disabled=${story.step >= 0 && !story.over} onClick=${() => startStory()}>Watch a message survive</button>`}>
      <${Story} />
      ${players.length === 0 && html`<p class="note">There is no client. Add one, or take a preset.</p>`}
      <div class="players">
        ${players.map((player, index) => html`<${Card} key=${player.key} player=${player} number=${index + 1} />`)}
      </div>
    <//>`;
}

function Story() {
  const last = useFeed((feed) => feed.runs.get(story.arn));
  if (story.step < 0) return null;
  const { title, text } = STEPS[Math.min(story.step, STEPS.length - 1)];
  return html`
    <section class="card story" aria-label="A message survives" data-testid="story-panel">
      <ol class="story-steps" aria-label="Steps">
        ${STEPS.map((step, index) => html`
          <li key=${step.title} class=${index < story.step || story.over === "done" ? "done" : index === story.step ? "now" : ""}
            aria-current=${index === story.step && !story.over ? "step" : null}>${step.title}</li>`)}
      </ol>
      <div class="story-caption" role="status">
        <p><strong>${story.over === "failed" ? "It did not go as planned" : title}.</strong> ${story.over === "failed" ? story.problem : text}</p>
      </div>
      <div class="row">
        ${story.arn && html`<a href=${link(["runs", story.arn])} data-testid="story-run">See its run</a>`}
        ${last && html`<${Badge} status=${last.status} /> <span class="muted">${last.state}</span>`}
        <button type="button" class="button small" onClick=${stopStory}>${story.over ? "Close" : "Stop"}</button>
      </div>
    </section>`;
}

/** @param {{player: Player, number: number}} props */
function Card({ player, number }) {
  const { settings, state, problem, counts, busy } = player;
  const title = `Client ${number}: ${settings.user || "nobody"}`;
  const closed = state === "closed";
  return html`
    <section class="card player" aria-label=${title} data-testid="client-card" data-state=${state} data-user=${settings.user}>
      <div class="card-head">
        <h2>${title}</h2>
        <span class="row" role="status" data-testid="state">
          <${Badge} status=${state} />
          ${state === "waiting" && html`<span class="muted" aria-live="off">next try: <${Countdown} to=${player.retryAt} /></span>`}
        </span>
        ${closed
          ? html`<button type="button" class="button primary small end" data-testid="connect" disabled=${busy} onClick=${() => player.connect()}>Connect</button>`
          : html`<button type="button" class="button small end" data-testid="close" onClick=${() => player.close()}>Close</button>`}
        <button type="button" class="icon-button" aria-label=${`Remove client ${number}`} title="Remove" data-testid="remove" onClick=${() => remove(player)}>×</button>
      </div>
      <div class="card-body stack">
        <${Settings} player=${player} closed=${closed} />
        <div role="alert">${problem && html`<p class="note ${closed ? "error" : ""}" data-testid="problem">${problem}</p>`}</div>
        <${NetworkButtons} network=${player.network} busy=${busy} pingSeconds=${Number(player.settings.pingSeconds) || USUAL_PING_SECONDS} onFault=${(/** @type {string} */ fault) => player.setFault(fault)} />
        <${Choice} label="Handler" name=${`handler-${player.key}`} value=${player.handler} testid="handler"
          onChange=${(/** @type {string} */ handler) => player.setHandler(handler)}
          options=${[["good", "Good"], ["slow", `Slow, ${SLOW_SECONDS} s`], ["failing", "Failing"]]} />
        <${Sending} player=${player} />
        <dl class="facts counts">
          ${Object.entries({
            connections: ["Connections", "opened so far"], handled: ["Handled", "messages whose handler is done"],
            acknowledged: ["Acks", "acknowledgements sent"], duplicates: ["Duplicates", "came again under an id that was there before"],
            late: ["Late", "ordered, but later ones were handled before"], gaps: ["Gaps", "numbers that did not come in time"],
            failures: ["Failed", "the handler failed"],
          }).map(([name, [text, meaning]]) => html`
            <div key=${name} title=${meaning}><dt>${text}</dt><dd data-testid=${`count-${name}`}>${counts[name]}</dd></div>`)}
        </dl>
        <${Messages} player=${player} />
      </div>
    </section>`;
}

/** @param {{player: Player, closed: boolean}} props */
function Settings({ player, closed }) {
  const { settings } = player;
  const text = (/** @type {string} */ field, /** @type {string} */ label, hint = "", number = false) => html`
    <${Control} label=${label} hint=${hint}>
      ${(/** @type {any} */ props) => html`
        <input ...${props} value=${settings[field]} disabled=${!closed} autocomplete="off" spellcheck=${false} autocapitalize="none"
          inputmode=${number ? "numeric" : null} data-testid=${`setting-${field}`}
          onInput=${(/** @type {any} */ event) => player.set({ [field]: event.currentTarget.value })} />`}
    <//>`;
  return html`
    <div>
      <div class="player-settings">
        ${text("user", "User")} ${text("context", "Context")} ${text("contextId", "Context id")}
      </div>
      <details class="fold">
        <summary>Options</summary>
        <div class="player-settings">
          ${text("plan", "Plan", "An attribute, which a fan-out can ask for.")}
          ${text("pingSeconds", "Ping after, seconds", "Of silence; finds out that it is half-open.", true)}
          ${text("gapTimeoutSeconds", "Gap after, seconds", "How long to wait for a missing number.", true)}
        </div>
        ${!closed && html`<p class="field-hint">Close the client to change these.</p>`}
      </details>
    </div>`;
}

/** @param {{player: Player}} props */
function Sending({ player }) {
  const { user, context, contextId } = player.settings;
  const name = `Send to ${user} in ${context}/${contextId}`;
  return html`
    <fieldset>
      <legend class="field-label">${name}</legend>
      <div class="row">
        ${SENDS.map(([what, text, title]) => html`
          <button type="button" key=${what} class="button small" title=${title} data-testid=${`send-${what}`} onClick=${() => player.send(what)}>${text}</button>`)}
        <a class="small" href=${link(["send"], { user, context, contextId })}>Write another</a>
      </div>
      <div role="status">
        ${player.sends.length > 0 && html`
          <ul class="sends" aria-label="Sent, the newest first">
            ${player.sends.map((sent) => html`<${SentRow} key=${sent.key} sent=${sent} />`)}
          </ul>`}
      </div>
    </fieldset>`;
}

/** @param {{sent: import("./players.js").Sent}} props */
function SentRow({ sent }) {
  const answered = sent.answers;
  const last = answered.at(-1);
  const arns = answered.map((answer) => answer.executionArn).filter((arn) => arn !== undefined);
  const arn = arns.at(-1) ?? "";
  const run = useFeed((feed) => feed.runs.get(arn));
  const over = useFeed((feed) => arns.filter((one) => feed.runs.get(one)?.endedAt).length);
  const many = sent.ids.length > 1;
  return html`
    <li class="row small" data-testid="sent">
      <span class="mono">${many ? `${sent.what} of ${sent.ids.length}` : sent.ids[0]}</span>
      ${sent.error
        ? html`<span class="bad">${sent.error}</span>`
        : answered.length < sent.ids.length
          ? html`<span class="muted">${many ? `sending ${answered.length + 1} of ${sent.ids.length}…` : "sending…"}</span>`
          : html`<span class="muted">${many ? `${plural(arns.length, "run")}, ${over} ended` : last?.status}</span>`}
      ${arn && html`
        <a href=${many ? link(["runs"], { id: sent.ids[0].replace(/-1$/, "") }) : link(["runs", arn])} data-testid="run-link">${many ? "Runs" : "Run"}</a>`}
      ${run && !many && html`<${Badge} status=${run.status} />`}
      ${run?.waitingFor && !many && html`<span class="muted">for ${run.waitingFor === "reconnect" ? "a reconnect" : "the acknowledgement"}</span>`}
    </li>`;
}

/** @param {{player: Player}} props */
function Messages({ player }) {
  const [everything, setEverything] = useState(false);
  const { entries } = player;
  const shown = everything ? entries : entries.slice(0, SHOWN_MESSAGES);
  return html`
    <div>
      <div class="row messages-head">
        <h3>Messages</h3>
        <span class="muted small">newest first${shown.length < entries.length ? `, ${shown.length} of ${entries.length}` : ""}</span>
        <span class="grow"></span>
        ${entries.length > SHOWN_MESSAGES && html`
          <button type="button" class="button quiet small" data-testid="show-all" onClick=${() => setEverything(!everything)}>
            ${everything ? `Show ${SHOWN_MESSAGES}` : `Show all ${entries.length}`}
          </button>`}
        ${entries.length > 0 && html`<button type="button" class="button quiet small" onClick=${() => player.clear()}>Clear</button>`}
      </div>
      ${entries.length === 0
        ? html`<p class="muted" data-testid="messages">None yet.</p>`
        : html`
          <ol class="messages" aria-label="Messages, the newest first" tabindex="0" data-testid="messages">
            ${shown.map((entry) => html`<${Entry} key=${entry.key} entry=${entry} />`)}
          </ol>`}
    </div>`;
}

const Entry = memo((/** @type {{entry: import("./players.js").Entry}} */ { entry }) => {
  const { message, gap, outcome, at } = entry;
  if (gap) {
    return html`<li class="message gap" data-testid="gap">
      ${gap.from === gap.to ? `Number ${gap.from} did` : `Numbers ${gap.from} to ${gap.to} did`} not come in time.
    </li>`;
  }
  const payload = JSON.stringify(message.payload);
  return html`
    <li class="message ${outcome}" data-testid="message" data-id=${message.id} data-sequence=${message.sequence} data-outcome=${outcome}>
      <span class="message-number">${message.sequence === undefined ? "" : `#${message.sequence}`}</span>
      <span class="message-what">
        <span class="message-type">${message.type}</span>
        <code class="message-payload" title=${payload.slice(0, 2000)}>${payload.slice(0, 300)}</code>
      </span>
      <span class="message-marks">
        ${message.late && html`<span class="tag warn">late</span>`}
        ${message.attempt > 1 && html`<span class="tag">attempt ${message.attempt}</span>`}
        ${message.ack && outcome === "handled" && html`<span class="tag" title="The sender waited for the acknowledgement">ack</span>`}
        ${outcome === "handling" && html`<span class="tag warn">handling…</span>`}
        ${outcome === "failed" && html`<span class="tag fail">failed</span>`}
        <span class="muted small"><${Time} value=${at} /></span>
      </span>
    </li>`;
});
