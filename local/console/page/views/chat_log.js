// What one person knows of their chats: pushed events and answers in, what is shown out. Nothing of a page is here.
//
// Events are kept by number. Ringback brings each of a person's in order, so a number that is missing below one that has
// come was never theirs: an agent who accepts a chat was not told of what was said before. It is then read, once.

/**
 * @typedef {{role: "customer" | "agent", user: string}} Person
 * @typedef {object} Event
 * @property {string} chatId
 * @property {number} number
 * @property {string} type
 * @property {string} at
 * @property {Person} [by]
 * @property {string} [subject]
 * @property {string} [agent]
 * @property {string} [id]
 * @property {string} [text]
 * @property {string} [reason]
 * @property {number} [seconds]
 * @property {boolean} [canBeRated]
 * @property {number} [rating]
 * @property {string} [feedback]
 *
 * @typedef {object} Chat
 * @property {string} id
 * @property {"WAITING" | "ACTIVE" | "ENDED"} status
 * @property {number} version the number of its last event
 * @property {string} [customer]
 * @property {string} [subject]
 * @property {string} [agent]
 * @property {string} [startedAt]
 * @property {string} [waitingSince]
 * @property {string} [acceptedAt]
 * @property {string} [agentAwaySince]
 * @property {string} [endedAt]
 * @property {string} [endReason]
 * @property {number} [rating]
 * @property {string} [feedback]
 *
 * @typedef {{chatId: string, position: number, waiting: number, at: string}} Position
 * @typedef {{waiting: Array<Chat & {position?: number}>, at: string}} Queue
 * @typedef {{chatId: string, by: Person, at: string}} Typing
 * @typedef {object} Sending
 * @property {string} chatId
 * @property {string} id
 * @property {string} text
 * @property {"sending" | "sent" | "failed"} state
 * @property {string} problem
 * @property {boolean} isRefused for good: what comes after it does not wait for it
 *
 * @typedef {object} State
 * @property {Record<string, Chat>} chats as they were answered; events after their version come on top
 * @property {Record<string, Event[]>} logs by number
 * @property {Record<string, Position>} positions
 * @property {Record<string, Typing>} typing
 * @property {Queue | null} queue
 * @property {Sending[]} sending what this person said, until it comes back as an event
 */

/** How long somebody who typed is said to be typing. */
export const TYPING_SECONDS = 6;

/** @type {Pick<Sending, "state" | "problem" | "isRefused">} */
const AGAIN = { state: "sending", problem: "", isRefused: false };

/** @returns {State} */
export const nothing = () => ({ chats: {}, logs: {}, positions: {}, typing: {}, queue: null, sending: [] });

/** A pushed message. @param {State} state @param {{type: string, payload: any}} message @returns {State} */
export function takePushed(state, { type, payload }) {
  if (type === "chat.position") return { ...state, positions: newer(state.positions, payload.chatId, payload) };
  if (type === "chat.typing") return { ...state, typing: newer(state.typing, payload.chatId, payload) };
  if (type === "chat.queue") return isNewer(payload, state.queue) ? { ...state, queue: payload } : state;
  return typeof payload?.number === "number" ? takeEvents(state, payload.chatId, [payload]) : state;
}

/** Events, in any order, also again. @param {State} state @param {string} chatId @param {Event[]} events @returns {State} */
export function takeEvents(state, chatId, events) {
  const log = state.logs[chatId] ?? [];
  const known = new Set(log.map((event) => event.number));
  const fresh = events.filter((event) => !known.has(event.number));
  if (!fresh.length) return state;
  const whole = [...log, ...fresh].sort((one, other) => one.number - other.number);
  const said = new Set(fresh.map((event) => event.id));
  return {
    ...state,
    logs: { ...state.logs, [chatId]: whole },
    sending: state.sending.filter((one) => one.chatId !== chatId || !said.has(one.id)),
  };
}

/** A chat, as an answer has it. @param {State} state @param {Chat} chat @returns {State} */
export function takeChat(state, chat) {
  const known = state.chats[chat.id];
  return known && known.version > chat.version ? state : { ...state, chats: { ...state.chats, [chat.id]: chat } };
}

/**
 * What the list of an agent's chats and of those that wait says; a pushed queue is as new, or newer.
 * @param {State} state @param {{waiting: Chat[], active: Chat[]}} answer @returns {State}
 */
export function takeLists(state, { waiting, active }) {
  const listed = state.queue ? state : { ...state, queue: { waiting, at: "" } };
  return active.reduce(takeChat, listed);
}

/**
 * Somebody says something, or the same again: shown at once. What was said before it and was not taken goes first.
 * @param {State} state @param {string} chatId @param {string} id @param {string} text @returns {State}
 */
export function say(state, chatId, id, text) {
  /** @type {Sending} */
  const now = { chatId, id, text, state: "sending", problem: "", isRefused: false };
  const isHeldBack = (/** @type {Sending} */ one) => one.chatId === chatId && one.state === "failed" && !one.isRefused;
  const again = state.sending.map((one) => (one.id === id || isHeldBack(one) ? { ...one, ...AGAIN } : one));
  return { ...state, sending: again.some((one) => one.id === id) ? again : [...again, now] };
}

/** What is sent next in this chat. @param {State} state @param {string} chatId @returns {Sending | undefined} */
export const nextToSend = (state, chatId) => state.sending.find((one) => one.chatId === chatId && one.state === "sending");

/** It was taken. @param {State} state @param {string} id @returns {State} */
export function said(state, id) {
  return { ...state, sending: state.sending.map((one) => (one.id === id ? { ...one, state: "sent" } : one)) };
}

/**
 * It was not taken. Unless it never will be, all that was said after it is held back, so that nothing overtakes it.
 * @param {State} state @param {string} id @param {string} problem @param {boolean} isRefused for good @returns {State}
 */
export function notSaid(state, id, problem, isRefused) {
  const failed = state.sending.find((one) => one.id === id);
  const fails = (/** @type {Sending} */ one) => one === failed || (!isRefused && one.chatId === failed?.chatId && one.state === "sending");
  /** @type {(one: Sending) => Sending} */
  const after = (one) => ({ ...one, state: "failed", isRefused, problem: one === failed ? problem : "Waits for the one before it" });
  return { ...state, sending: state.sending.map((one) => (fails(one) ? after(one) : one)) };
}

/** Forget a chat that is not theirs any more, or is gone. @param {State} state @param {string} chatId @returns {State} */
export function forget(state, chatId) {
  const { [chatId]: _chat, ...chats } = state.chats;
  const { [chatId]: _log, ...logs } = state.logs;
  return { ...state, chats, logs };
}

/** The chat as it is now, as far as this person knows. @param {State} state @param {string} chatId @returns {Chat | null} */
export function chatOf(state, chatId) {
  const answered = state.chats[chatId];
  const log = state.logs[chatId] ?? [];
  if (!answered && !log.length) return null;
  /** @type {Chat} */
  const start = answered ?? { id: chatId, status: "WAITING", version: 0 };
  return log.filter((event) => event.number > start.version).reduce(after, start);
}

/** @param {Chat} chat @param {Event} event @returns {Chat} */
function after(chat, event) {
  const { type, at, agent } = event;
  const now = { ...chat, version: event.number };
  const there = { agentAwaySince: undefined };
  switch (type) {
    case "chat.waiting":
      return { ...now, status: "WAITING", customer: event.by?.user, subject: event.subject, startedAt: at, waitingSince: at };
    case "chat.accepted":
      return { ...now, ...there, status: "ACTIVE", agent, acceptedAt: at };
    case "chat.transferred":
      return { ...now, ...there, status: "ACTIVE", agent, acceptedAt: at };
    case "chat.requeued":
      return { ...now, ...there, status: "WAITING", agent: undefined, waitingSince: at, acceptedAt: chat.acceptedAt ?? at };
    case "chat.agent_away":
      return { ...now, agentAwaySince: at };
    case "chat.agent_back":
      return { ...now, ...there };
    case "chat.ended":
      return { ...now, ...there, status: "ENDED", endedAt: at, endReason: event.reason, ...(event.canBeRated && { acceptedAt: chat.acceptedAt ?? at }) };
    case "chat.rated":
      return { ...now, rating: event.rating, feedback: event.feedback };
  }
  return now;
}

/** What is missing below what has come: read the messages after this number. Null if nothing is. @param {State} state @param {string} chatId @returns {number | null} */
export function missingAfter(state, chatId) {
  const log = state.logs[chatId] ?? [];
  const gap = log.findIndex((event, index) => event.number !== index + 1);
  return gap < 0 ? null : gap;
}

/** Whether the customer can rate it now. @param {Chat} chat */
export const canBeRated = (chat) => chat.status === "ENDED" && Boolean(chat.acceptedAt) && chat.rating === undefined;

/** The place in the queue, of a chat that is in it. @param {State} state @param {Chat} chat @returns {Position | null} */
export function positionOf(state, chat) {
  const position = state.positions[chat.id];
  if (chat.status !== "WAITING" || !position) return null;
  return time(position.at) < time(chat.waitingSince) ? null : position; // an earlier wait's
}

/** Who waits, but for those of whom more is known than the queue says. @param {State} state @returns {Array<Chat & {position?: number}>} */
export function queueOf(state) {
  return (state.queue?.waiting ?? []).filter((waiting) => {
    const known = chatOf(state, waiting.id);
    return !known || known.status === "WAITING" || known.version < waiting.version;
  });
}

/** Who of the other side is typing. @param {State} state @param {string} chatId @param {number} now in ms @returns {string} their name, or "" */
export function typingIn(state, chatId, now) {
  const typing = state.typing[chatId];
  if (!typing || now - time(typing.at) > TYPING_SECONDS * 1000) return "";
  const over = (state.logs[chatId] ?? []).some((event) => time(event.at) >= time(typing.at) && (!event.by || event.by.user === typing.by.user));
  return over ? "" : typing.by.user;
}

/** What is new to whoever looks away: somebody else said something, or it came to them, or to its end. */
const NEWS = ["chat.message", "chat.transferred", "chat.ended", "chat.rated"];

/** How much of it this person has not seen. @param {State} state @param {string} chatId @param {Person} person @param {number} seen the last number they have seen */
export const newTo = (state, chatId, person, seen) =>
  (state.logs[chatId] ?? []).filter(({ number, type, by }) => number > seen && NEWS.includes(type) && !(by?.user === person.user && by.role === person.role)).length;

/** The chats that an agent has or had, the newest first. @param {State} state @param {string} agent @returns {Chat[]} */
export function chatsOf(state, agent) {
  const ids = new Set([...Object.keys(state.chats), ...Object.keys(state.logs)]);
  const chats = [...ids].map((id) => /** @type {Chat} */ (chatOf(state, id)));
  const since = (/** @type {Chat} */ chat) => time(chat.acceptedAt);
  const has = chats.filter((chat) => chat.agent === agent || (state.logs[chat.id] ?? []).some((event) => event.agent === agent));
  return has.sort((one, other) => since(other) - since(one));
}

/** How an agent lost a chat that is not theirs any more, as far as they were told. @param {State} state @param {Chat} chat @param {string} agent */
export function farewell(state, chat, agent) {
  const last = (state.logs[chat.id] ?? []).filter(({ type }) => type === "chat.transferred" || type === "chat.requeued").at(-1);
  if (last?.type === "chat.transferred") return `${last.by?.user === agent ? "You" : last.by?.user} handed it to ${last.agent}.`;
  if (last?.reason === "agent_away") return "You were away for too long: it went back to the queue.";
  return last ? "You put it back into the queue." : "It is not yours any more.";
}

const REASONS = /** @type {Record<string, string>} */ ({
  customer: "the customer ended it", agent: "the agent ended it", idle: "nobody said anything", max_wait: "nobody had time",
  transfer: "handed back", agent_away: "the agent did not return",
});

/** What an event that is no message reads. @param {Event} event @param {Person["role"]} role who reads it @returns {string} */
export function describe(event, role) {
  const { agent = "", seconds = 0 } = event;
  switch (event.type) {
    case "chat.waiting":
      return `${event.by?.user} waits for an agent${event.subject ? `: ${event.subject}` : ""}`;
    case "chat.accepted":
      return `${agent} is here`;
    case "chat.transferred":
      return `${event.by?.user} has handed the chat to ${agent}`;
    case "chat.requeued":
      return `Back in the queue: ${REASONS[event.reason ?? ""] ?? "again"}`;
    case "chat.agent_away":
      return role === "agent"
        ? `${agent} has lost the connection, and has ${seconds} s to return`
        : `${agent} has lost the connection; if they do not return within ${seconds} s, another agent takes over`;
    case "chat.agent_back":
      return `${agent} is back`;
    case "chat.ended":
      return `The chat is over: ${REASONS[event.reason ?? ""] ?? "it ended"}`;
    case "chat.rated":
      return `${event.by?.user} rated it ${event.rating} of 5${event.feedback ? `: “${event.feedback}”` : ""}`;
  }
  return event.type;
}

/** In ms since 1970; 0 if there is none. @param {string} [at] */
const time = (at) => Date.parse(at ?? "") || 0;

/** @param {{at: string}} one @param {{at: string} | null | undefined} other */
const isNewer = (one, other) => time(one.at) > time(other?.at);

/**
 * @template {{at: string}} T
 * @param {Record<string, T>} all @param {string} key @param {T} value @returns {Record<string, T>}
 */
const newer = (all, key, value) => (isNewer(value, all[key]) ? { ...all, [key]: value } : all);
