// A customer and two agents side by side: a whole chat, and a network that a person takes away meanwhile.

import {
  html, Ago, Badge, Copy, Dialog, link, memo, Page, Time, toast, useAction, useEffect, useLayoutEffect, useRef, useState, useTicking,
} from "../lib.js";
import { useFeed } from "../feed.js";
import { canBeRated, chatOf, describe, farewell, positionOf, queueOf, typingIn } from "./chat_log.js";
import { changed, people, PING_SECONDS, subscribe, wake } from "./chat_people.js";
import { Control } from "./fields.js";
import { NetworkButtons } from "./network.js";

/** @typedef {import("./chat_people.js").ChatPerson} ChatPerson */
/** @typedef {import("./chat_log.js").Chat} Chat */
/** @typedef {import("./chat_log.js").Event} Event */

// What the chat API takes.
const MAX_TEXT = 4000;
const MAX_SUBJECT = 200;
const MAX_FEEDBACK = 2000;
const TITLES = { customer: "Customer", agent: "Agent" };
/** What a chat is → whose colours it has, and how it is written. @type {Record<string, [string, string]>} */
const STATUSES = { WAITING: ["waiting", "waiting"], ACTIVE: ["open", "active"], ENDED: ["closed", "ended"] };

/** That a text is too long, or "". @param {string} text @param {number} most */
function tooLong(text, most) {
  const length = [...text].length;
  return length > most ? `${length.toLocaleString("en")} characters: ${(length - most).toLocaleString("en")} too many.` : "";
}

export function ChatView() {
  const [, redraw] = useState({});
  useEffect(() => {
    const stop = subscribe(() => redraw({}));
    wake();
    return stop;
  }, []);
  const canConnect = people.some((person) => person.state === "closed" && !person.nameProblem);
  return html`
    <${Page} title="Chat" wide actions=${html`
      <button type="button" class="button primary" data-testid="connect-all" disabled=${!canConnect}
        onClick=${() => people.forEach((person) => void person.connect())}>Connect everybody</button>`}>
      <p class="muted">Everything here is pushed by Ringback. Take a network down while the others talk: what was missed arrives, in order.</p>
      <${Steps} />
      <div class="people">
        ${people.map((person) => html`<${Card} key=${person.key} person=${person} />`)}
      </div>
    <//>`;
}

const STEPS = ["Connect everybody", "Start a chat, as the customer", "Accept it, as an agent"];

/** What to click first, until somebody has accepted a chat. */
function Steps() {
  const customers = people.filter((person) => person.role === "customer");
  const isConnected = customers.some((person) => person.state === "open") && people.some((person) => person.role === "agent" && person.state === "open");
  const chats = customers.map((person) => person.chat).filter((chat) => chat !== null);
  if (chats.some((chat) => chat.acceptedAt || chat.status !== "WAITING")) return null;
  const now = chats.length ? 2 : isConnected ? 1 : 0;
  return html`
    <ol class="story-steps" data-testid="steps">
      ${STEPS.map((step, index) => html`
        <li key=${step} class=${index < now ? "done" : index === now ? "now" : ""} aria-current=${index === now ? "step" : null}>${step}</li>`)}
    </ol>`;
}

/** Whether all that there was to say about a chat is over. @param {string} chatId */
const isOver = (chatId) => chatId !== "" && people.some((person) => chatOf(person.known, chatId)?.status === "ENDED");

/** @param {{person: ChatPerson}} props */
function Card({ person }) {
  const { role, user, state, problem, busy, chat, nameProblem } = person;
  const notice = isOver(person.about) || (chat && chat.id === person.about) ? "" : person.notice;
  const isOld = person.openUntil !== "" && state !== "open";
  const title = `${TITLES[role]}: ${user || "nobody"}`;
  const closed = state === "closed";
  return html`
    <section class="card person" aria-label=${title} data-testid=${`person-${person.key}`} data-state=${state} data-status=${chat?.status ?? "NONE"}>
      <div class="card-head">
        <h2>${title}</h2>
        <span role="status" data-testid="state"><${Badge} status=${state} text=${state === "waiting" ? "reconnecting" : state} /></span>
        ${closed
          ? html`<button type="button" class="button primary small end" data-testid="connect" disabled=${busy || nameProblem !== ""} onClick=${() => person.connect()}>Connect</button>`
          : html`<button type="button" class="button small end" data-testid="close" onClick=${() => person.close()}>Close</button>`}
      </div>
      <div class="card-body stack ${isOld ? "old" : ""}">
        ${closed && html`
          <${Control} label="Name" error=${nameProblem}>
            ${(/** @type {any} */ props) => html`
              <input ...${props} value=${user} autocomplete="off" spellcheck=${false} autocapitalize="none" data-testid="name"
                onInput=${(/** @type {any} */ event) => person.rename(event.currentTarget.value.trim())} />`}
          <//>`}
        <${NetworkButtons} compact network=${person.network} busy=${busy} pingSeconds=${PING_SECONDS} onFault=${(/** @type {string} */ fault) => person.setFault(fault)} />
        <div role="alert">
          ${problem && html`<p class="note ${closed ? "error" : ""}" data-testid="problem">${problem}</p>`}
          ${notice && html`
            <div class="note error with-close" data-testid="notice">
              <span>${notice}</span>
              <button type="button" class="icon-button" aria-label="Dismiss" onClick=${() => dismiss(person)}>×</button>
            </div>`}
        </div>
        ${isOld && html`<p class="small muted" data-testid="old">Not connected since <${Time} value=${person.openUntil} />. What happens meanwhile comes with the next connection.</p>`}
        ${role === "agent" && html`<${Queue} person=${person} /><${Mine} person=${person} />`}
        ${chat
          ? html`<${Talk} key=${chat.id} person=${person} chat=${chat} />`
          : role === "customer"
            ? html`<${Start} person=${person} />`
            : html`<p class="muted">${person.mine.length ? "No chat is shown. Yours are above." : "No chat yet. One that waits is in the queue above."}</p>`}
      </div>
    </section>`;
}

/** @param {ChatPerson} person */
function dismiss(person) {
  person.notice = person.about = "";
  changed();
}

/** @param {{person: ChatPerson}} props */
function Start({ person }) {
  const [subject, setSubject] = useState("");
  const problem = tooLong(subject.trim(), MAX_SUBJECT);
  const start = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    void person.start(subject.trim());
  };
  return html`
    <form class="stack" onSubmit=${start}>
      <${Control} label="What is it about?" hint="Optional" error=${problem}>
        ${(/** @type {any} */ props) => html`
          <input ...${props} value=${subject} autocomplete="off" data-testid="subject"
            onInput=${(/** @type {any} */ event) => setSubject(event.currentTarget.value)} />`}
      <//>
      <button type="submit" class="button primary" data-testid="start" disabled=${person.busy || person.state === "closed" || problem !== ""}>Start a chat</button>
    </form>`;
}

/** @param {{person: ChatPerson}} props */
function Queue({ person }) {
  const waiting = queueOf(person.known);
  return html`
    <section aria-label="Queue" class="queue">
      <h3>Queue <span class="count" data-testid="queue-length">${waiting.length}</span></h3>
      ${waiting.length === 0 && html`<p class="muted small">Nobody waits.</p>`}
      <ol>
        ${waiting.map((chat, index) => html`
          <li key=${chat.id} class="row" data-testid="waiting" data-chat=${chat.id}>
            <div class="grow">
              <p class="asked" title=${chat.subject}><strong>${chat.customer}</strong>${chat.subject ? `: ${chat.subject}` : ""}</p>
              <p class="muted small">number ${chat.position ?? index + 1}, came <${Ago} value=${chat.waitingSince} /></p>
            </div>
            <button type="button" class="button primary small" data-testid="accept" aria-label=${`Accept ${chat.customer}’s chat`}
              disabled=${person.busy || person.state === "closed"} onClick=${() => person.accept(chat.id)}>Accept</button>
          </li>`)}
      </ol>
    </section>`;
}

/** An agent's chats, if one is not shown. @param {{person: ChatPerson}} props */
function Mine({ person }) {
  const { mine, chatId } = person;
  if (mine.every((chat) => chat.id === chatId)) return null;
  return html`
    <section aria-label="Your chats" class="row mine" data-testid="mine">
      <h3>Your chats</h3>
      <div class="chips">
        ${mine.map(({ id, customer, status }) => html`
          <button type="button" key=${id} class="chip" aria-pressed=${id === chatId} data-testid="mine-chat" data-chat=${id} onClick=${() => person.show(id)}>
            <span class="ellipsis">${customer}${status === "ENDED" ? ", ended" : ""}</span>
            ${person.news(id) > 0 && html`<span class="count news" data-testid="news">${person.news(id)}<span class="visually-hidden"> new</span></span>`}
          </button>`)}
      </div>
    </section>`;
}

/** @param {{person: ChatPerson, chat: Chat}} props */
function Talk({ person, chat }) {
  const { role, user, known } = person;
  const isMine = role === "customer" || chat.agent === user;
  const other = role === "customer" ? chat.agent : chat.customer;
  const position = positionOf(known, chat);
  const [tone, status] = isMine ? STATUSES[chat.status] : ["closed", "no longer yours"];
  const arn = useFeed((feed) => feed.installation?.machines.chat?.arn ?? "");
  const goesOn = isMine && chat.status !== "ENDED";
  return html`
    <section class="stack talk" aria-label="Chat" data-testid="chat" data-chat=${chat.id}>
      <div class="row">
        <${Badge} status=${tone} text=${status} />
        <span class="grow">${other && isMine && (chat.status !== "WAITING" || role === "agent") ? html`with <strong>${other}</strong>` : ""}</span>
        ${arn && html`<a class="small" href=${link(["runs", runOf(arn, chat.id)])} data-testid="chat-run">Step Functions run</a>`}
      </div>
      <div role="status" class="stack tight">
        ${chat.status === "WAITING" && isMine && html`
          <p data-testid="position">${position ? `You are number ${position.position} of ${position.waiting} in the queue.` : "You are in the queue."}</p>`}
        ${chat.agentAwaySince && isMine && html`<p class="note" data-testid="away">${chat.agent} has lost the connection. ${role === "agent"
          ? "Who does not return in time loses the chat to the queue."
          : "If they do not return in time, another agent takes over."}</p>`}
        ${!isMine && html`
          <div class="note with-close" data-testid="gone">
            <span>${farewell(known, chat, user)} What came after that is not told to you.</span>
            <button type="button" class="button quiet small" data-testid="dismiss" onClick=${() => person.show("")}>Dismiss</button>
          </div>`}
      </div>
      <${Log} person=${person} chat=${chat} />
      ${goesOn && html`<${TypingLine} person=${person} chat=${chat} />`}
      ${goesOn && (chat.status === "ACTIVE" || role === "customer") && html`<${Say} person=${person} chat=${chat} />`}
      ${goesOn && html`<${Actions} person=${person} chat=${chat} />`}
      ${role === "customer" && canBeRated(chat) && html`<${Rate} person=${person} />`}
      ${role === "customer" && chat.rating !== undefined && html`<p role="status" data-testid="thanks">Thank you for your rating.</p>`}
      ${chat.status === "ENDED" && role === "agent" && isMine && html`
        <button type="button" class="button" data-testid="dismiss" onClick=${() => person.show("")}>Dismiss</button>`}
      ${chat.status === "ENDED" && role === "customer" && html`
        <button type="button" class="button" data-testid="another" onClick=${() => person.show("")}>Start another chat</button>`}
      ${isMine && html`<${Transcript} person=${person} chat=${chat} />`}
    </section>`;
}

/** The run of a chat, whose name is the chat's id. @param {string} machine its ARN @param {string} name */
const runOf = (machine, name) => `${machine.replace(":stateMachine:", ":execution:")}:${name}`;

/** @param {{person: ChatPerson, chat: Chat}} props */
function Log({ person, chat }) {
  const { known, user, role } = person;
  const events = known.logs[chat.id] ?? [];
  const sending = known.sending.filter((one) => one.chatId === chat.id);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const atEnd = useRef(true);
  const width = useRef(0);
  const stay = () => {
    if (list.current && atEnd.current) list.current.scrollTop = list.current.scrollHeight;
    width.current = list.current?.clientWidth ?? 0;
  };
  useLayoutEffect(stay);
  useEffect(() => {
    const observer = new ResizeObserver(stay);
    observer.observe(/** @type {HTMLElement} */ (list.current));
    return () => observer.disconnect();
  }, []);
  const look = () => {
    const { scrollTop, scrollHeight, clientHeight, clientWidth } = /** @type {HTMLElement} */ (list.current);
    if (clientWidth !== width.current) return; // the browser has moved it, and nobody has scrolled
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  return html`
    <div class="chat-log" role="log" aria-label="Messages" tabindex="0" ref=${list} onScroll=${look} data-testid="log">
      ${events.map((event) => html`<${Line} key=${event.number} event=${event} isOwn=${event.by?.user === user && event.by?.role === role} role=${role} />`)}
      ${sending.map((one) => html`
        <div key=${one.id} class="said own ${one.state}" data-testid="sending" data-sending=${one.state}>
          <p class="said-text">${one.text}</p>
          <p class="small muted">${one.state === "sending" ? (person.network.carries ? "sending…" : "waits for the network") : one.state === "sent" ? "sent" : html`
            <span class="bad">${one.problem}</span>
            <button type="button" class="button quiet small" onClick=${() => person.send(one.text, one.id)}>Try again</button>`}</p>
        </div>`)}
    </div>`;
}

const Line = memo((/** @type {{event: Event, isOwn: boolean, role: ChatPerson["role"]}} */ { event, isOwn, role }) =>
  event.type === "chat.message"
    ? html`
      <div class="said ${isOwn ? "own" : ""}" data-testid="message" data-number=${event.number}>
        <p class="small muted"><strong>${event.by?.user}</strong> <${Time} value=${event.at} /></p>
        <p class="said-text">${event.text}</p>
      </div>`
    : html`<p class="happened" data-testid="event" data-type=${event.type} data-number=${event.number}>${describe(event, role)} <span class="small"><${Time} value=${event.at} /></span></p>`);

/** @param {{person: ChatPerson, chat: Chat}} props */
function TypingLine({ person, chat }) {
  const who = useTicking((now) => typingIn(person.known, chat.id, now));
  return html`<p class="typing small muted" aria-live="off" data-testid="typing">${who && chat.status === "ACTIVE" ? `${who} is typing…` : ""}</p>`;
}

/** @param {{person: ChatPerson, chat: Chat}} props */
function Say({ person, chat }) {
  const [text, setText] = useState(person.drafts[chat.id] ?? "");
  const problem = tooLong(text, MAX_TEXT);
  const problemId = `too-long-${person.key}`;
  const change = (/** @type {string} */ now) => {
    setText(now);
    person.drafts[chat.id] = now; // for a reload
  };
  const send = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (!text.trim() || problem) return;
    person.send(text);
    change("");
  };
  const write = (/** @type {any} */ event) => {
    change(event.currentTarget.value);
    if (event.currentTarget.value) person.typing();
  };
  return html`
    <form class="say" onSubmit=${send}>
      <input aria-label="Message" aria-describedby=${problem ? problemId : null} aria-invalid=${problem ? "true" : null} placeholder="Message" value=${text} autocomplete="off"
        data-testid="text" onInput=${write} />
      <button type="submit" class="button primary" data-testid="send" disabled=${!text.trim() || problem !== "" || person.state === "closed"}>Send</button>
      ${problem && html`<p class="field-error" role="status" id=${problemId} data-testid="too-long">${problem}</p>`}
    </form>`;
}

/** @param {{person: ChatPerson, chat: Chat}} props */
function Actions({ person, chat }) {
  const others = person.role === "agent" && chat.status === "ACTIVE" ? people.filter((one) => one.role === "agent" && one.user !== person.user) : [];
  const off = person.busy || person.state === "closed";
  return html`
    <div class="row">
      ${others.map(({ key, user }) => html`
        <button type="button" key=${key} class="button small" data-testid="transfer" disabled=${off} onClick=${() => person.transfer(user)}>Hand over to ${user}</button>`)}
      ${others.length > 0 && html`<button type="button" class="button small" data-testid="requeue" disabled=${off} onClick=${() => person.transfer(null)}>Back to the queue</button>`}
      <button type="button" class="button danger small" data-testid="end" disabled=${off} onClick=${() => person.end()}>End the chat</button>
    </div>`;
}

/** @param {{person: ChatPerson}} props */
function Rate({ person }) {
  const [rating, setRating] = useState(0);
  const [feedback, setFeedback] = useState("");
  const problem = tooLong(feedback.trim(), MAX_FEEDBACK);
  const rate = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    void person.rate(rating, feedback.trim());
  };
  return html`
    <form class="stack rate" onSubmit=${rate} data-testid="rate-form">
      <fieldset>
        <legend class="field-label">How was it?</legend>
        <div class="stars">
          ${[1, 2, 3, 4, 5].map((stars) => html`
            <label key=${stars} class="star ${stars <= rating ? "lit" : ""}">
              <input type="radio" name=${`rating-${person.key}`} value=${stars} checked=${stars === rating} aria-label=${`${stars} of 5`}
                data-testid=${`star-${stars}`} onChange=${() => setRating(stars)} />
              <span aria-hidden="true">★</span>
            </label>`)}
        </div>
      </fieldset>
      <${Control} label="In your words" hint="Optional" error=${problem}>
        ${(/** @type {any} */ props) => html`
          <input ...${props} value=${feedback} autocomplete="off" data-testid="feedback"
            onInput=${(/** @type {any} */ event) => setFeedback(event.currentTarget.value)} />`}
      <//>
      <button type="submit" class="button primary" data-testid="rate" disabled=${rating === 0 || person.busy || problem !== ""}>Rate it</button>
    </form>`;
}

/** @param {{person: ChatPerson, chat: Chat}} props */
function Transcript({ person, chat }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const [read, busy] = useAction(async () => setText(await person.transcript()));
  const file = (/** @type {string} */ format) => `${person.api}/chats/${encodeURIComponent(chat.id)}/transcript?format=${format}`;
  const load = (/** @type {MouseEvent} */ event) => {
    if (person.network.carries) return;
    event.preventDefault();
    toast(`Not loaded: ${person.noNetwork}.`, "error");
  };
  return html`
    <div class="row small">
      <button type="button" class="button quiet small" data-testid="transcript" disabled=${busy} onClick=${read}>Transcript</button>
      <a href=${file("text")} onClick=${load} download=${`chat-${chat.id}.txt`}>as text</a>
      <a href=${file("json")} onClick=${load} download=${`chat-${chat.id}.json`}>as JSON</a>
    </div>
    ${text !== null && html`
      <${Dialog} title="Transcript" wide onClose=${() => setText(null)}
        actions=${html`<${Copy} text=${text} label="Copy" /><button type="button" class="button primary" onClick=${() => setText(null)}>Close</button>`}>
        <pre class="json" tabindex="0" data-testid="transcript-text">${text}</pre>
      <//>`}`;
}
