/**
 * The people of the chat page: a customer and two agents, each with a real client behind a network link of its own. They
 * live in the module and not in the view, so that they go on while somebody looks at other views.
 *
 * What they know is what is pushed to them. They ask for the rest once, when there may be some: when they come into a chat,
 * when they come back (what was said meanwhile may have expired), and when Ringback says that something will not come.
 * Nothing asks again and again. And nothing is asked through a network that carries nothing, as on a phone.
 */
import { RingbackClient } from "ringback";
import { api, ApiError, toast } from "../lib.js";
import {
  chatOf, chatsOf, forget, missingAfter, newTo, nextToSend, nothing, notSaid, said, say, takeChat, takeEvents, takeLists, takePushed,
} from "./chat_log.js";
import { FAULTS, Network, notifier } from "./network.js";

/** @typedef {import("./chat_log.js").Chat} Chat */

const STORED = "ringback.chat";
/** @type {Array<{role: "customer" | "agent", user: string}>} */
const USUAL = [{ role: "customer", user: "ana" }, { role: "agent", user: "bo" }, { role: "agent", user: "cy" }];
const TYPING_EVERY_MS = 2000;
export const PING_SECONDS = 60;
// What the product takes for a user.
const NAME = /^[!-"$-~]{1,255}$/;
// An agent's context is another one: what opens the customers' does not open the desk.
const PLACES = {
  customer: { context: "chat", contextId: "support" },
  agent: { context: "desk", contextId: "chat" },
};
const text = (/** @type {unknown} */ error) => (error instanceof Error ? error.message : String(error));

/** Hear of changes. */
export const { subscribe, changed } = notifier();

export class ChatPerson {
  /** @param {Stored} stored @param {number} key */
  constructor({ role, user, chatId = "", connected = false, seen = {}, drafts = {}, unsaid = [] }, key) {
    this.key = key;
    this.role = role;
    this.user = user;
    this.chatId = chatId; // the one that is shown
    this.wasConnected = connected; // when the page was left
    this.seen = seen; // of the chats that are not shown, up to which number
    this.drafts = drafts;
    this.state = "closed";
    this.network = new Network();
    this.problem = ""; // of the connection
    this.notice = ""; // of what was clicked last
    this.about = ""; // the chat that it is about, if somebody else has that
    this.openUntil = ""; // since when nothing comes
    this.busy = false;
    this.known = unsaid.reduce((known, one) => say(known, one.chatId, one.id, one.text), nothing());
    /** @type {RingbackClient | null} */
    this.client = null;
    this.isBehind = false; // there may be what was not pushed
    this.isCatchingUp = false;
    this.typedAt = 0;
    /** @type {Set<string>} */
    this.reading = new Set();
    /** @type {Set<string>} */
    this.handing = new Set(); // chats in which something is being sent
  }

  /** What was not taken yet, and may be. */
  get unsaid() {
    return this.known.sending.filter((one) => one.state !== "sent" && !one.isRefused);
  }

  get isConnected() {
    return this.client !== null && this.client.state !== "closed";
  }

  /** Why they cannot be who they are to be, or "". */
  get nameProblem() {
    const { role, user } = this;
    if (!user) return "Give a name.";
    if (!NAME.test(user)) return "Only ASCII letters, digits and signs, no spaces and no #, at most 255.";
    const isTaken = people.some((one) => one.role === role && one.user === user && (one.key < this.key || (one !== this && one.state !== "closed")));
    return isTaken ? `Another ${role} here is ${user}: give another name.` : "";
  }

  /** An agent's chats that go on, or have ended and have something that is new to them, and what is shown. */
  get mine() {
    const isListed = (/** @type {Chat} */ chat) => this.#isMine(chat) && (chat.status !== "ENDED" || chat.id === this.chatId || this.news(chat.id) > 0);
    return chatsOf(this.known, this.user).filter(isListed);
  }

  /** How much is new to them in a chat that is not shown. @param {string} chatId */
  news(chatId) {
    return chatId === this.chatId ? 0 : newTo(this.known, chatId, this, this.seen[chatId] ?? 0);
  }

  get chat() {
    return this.chatId ? chatOf(this.known, this.chatId) : null;
  }

  /** Someone else, while nobody is connected. @param {string} user */
  rename(user) {
    Object.assign(this, { user, chatId: "", known: nothing(), notice: "", problem: "", seen: {}, drafts: {} });
    store();
    changed();
  }

  async connect() {
    if (this.state !== "closed" || this.busy || this.nameProblem) return;
    await this.#do("Could not connect", async () => {
      const url = await this.network.open();
      if (!url) return; // the page goes
      const { role, user } = this;
      const { context, contextId } = PLACES[role];
      const body = { user, contexts: [`${context}/${contextId}`] };
      this.client = new RingbackClient({
        url,
        context,
        contextId,
        token: async () => (await api("/api/tokens", { method: "POST", body })).token,
        user,
        storage: memory(`${STORED}.${this.key}.${user}`),
        WebSocket: watched({
          opened: () => {
            this.network.opened();
            changed();
          },
          skipped: () => void this.#catchUp(),
        }),
        pingSeconds: PING_SECONDS,
        // What was lost on a silent connection comes again after its ackTimeoutSeconds, and what comes meanwhile would wait
        // for it. The log has it now, and here events have numbers of their own: one that comes late does no harm.
        gapTimeoutSeconds: 2,
        backoffCapSeconds: 3, // a person waits for it
        onMessage: (message) => this.#take(message),
        onGap: () => void this.#catchUp(),
        onState: ({ state, error }) => this.#became(state, error),
        onError: (error) => {
          this.#meet(error);
          changed();
        },
      });
      this.client.connect();
    });
    store();
  }

  close() {
    this.client?.close();
    store();
  }

  /** Close it, and give its link back, also while the page goes. */
  leave() {
    this.client?.close();
    this.network.close();
  }

  /** @param {string} fault */
  setFault(fault) {
    return this.#do("Could not change the network", () => this.network.setFault(fault));
  }

  /** @param {string} chatId */
  show(chatId) {
    if (this.chat && chatId !== this.chatId) this.seen[this.chatId] = this.chat.version;
    this.chatId = chatId;
    store();
    changed();
  }

  /** @param {string} subject */
  start(subject) {
    return this.#do("Not started", async () => {
      const chat = await this.ask("POST", "/chats", subject ? { subject } : {});
      this.#know(takeChat(this.known, chat));
      this.show(chat.id);
      if (chat.version > 1) await this.#read(chat.id); // it was open already
    });
  }

  /** @param {string} chatId */
  accept(chatId) {
    return this.#do("Not accepted", async () => {
      const chat = await this.ask("POST", `${path(chatId)}/accept`, {});
      this.#know(takeChat(this.known, chat));
      this.show(chatId);
    }).then(() => void (this.about = this.notice && chatId));
  }

  /** Say something; the same again, under the same id, if it was not taken. @param {string} words @param {string} [id] */
  send(words, id = crypto.randomUUID()) {
    const chatId = this.chatId;
    this.typedAt = 0;
    this.notice = "";
    this.#know(say(this.known, chatId, id, words));
    void this.#handOver(chatId);
  }

  /**
   * All that is to be said in a chat, one after the other: two calls at once can overtake each other. What the network
   * does not carry waits for it.
   * @param {string} chatId
   */
  async #handOver(chatId) {
    if (this.handing.has(chatId)) return;
    this.handing.add(chatId);
    for (let next; this.network.carries && (next = nextToSend(this.known, chatId)); ) {
      const { id, text: words } = next;
      try {
        await this.ask("POST", `${path(chatId)}/messages`, { id, text: words });
        this.#know(said(this.known, id));
      } catch (error) {
        this.#know(notSaid(this.known, id, text(error), isRefused(error)));
      }
    }
    this.handing.delete(chatId);
  }

  /** They are typing. It is said now and then, and it does not matter if it is not heard. */
  typing() {
    const now = Date.now();
    if (now - this.typedAt < TYPING_EVERY_MS || this.chat?.status !== "ACTIVE") return;
    this.typedAt = now;
    this.ask("POST", `${path(this.chatId)}/typing`, {}).catch(() => {});
  }

  /** To an agent, or back to the queue. @param {string | null} agent */
  transfer(agent) {
    return this.#change("Not transferred", "transfer", agent === null ? { queue: true } : { agent });
  }

  end() {
    return this.#change("Not ended", "end", {});
  }

  /** @param {number} rating @param {string} feedback */
  rate(rating, feedback) {
    return this.#change("Not rated", "rating", { rating, ...(feedback ? { feedback } : {}) });
  }

  /** The whole chat, as plain text. */
  transcript() {
    return this.ask("GET", `${path(this.chatId)}/transcript?format=text`, undefined, true);
  }

  /** Why nothing is asked now. */
  get noNetwork() {
    return `the network is ${FAULTS[this.network.fault].name}`;
  }

  /** Where the console's server takes their calls of the chat API. */
  get api() {
    return `/api/chat/${this.role}/${encodeURIComponent(this.user)}`;
  }

  /**
   * @param {string} method @param {string} where @param {unknown} [body] @param {boolean} [asText]
   * @returns {Promise<any>}
   */
  async ask(method, where, body, asText = false) {
    if (!this.network.carries) throw new ApiError(this.noNetwork, 0);
    return api(`${this.api}${where}`, { method, body, asText });
  }

  /** @param {string} problem @param {string} what @param {unknown} body */
  #change(problem, what, body) {
    const chatId = this.chatId;
    return this.#do(problem, async () => {
      const chat = await this.ask("POST", `${path(chatId)}/${what}`, body);
      this.#know(takeChat(this.known, chat)); // as it is known now: more may have come meanwhile
    });
  }

  /** @param {string} problem @param {() => Promise<unknown>} act */
  async #do(problem, act) {
    this.busy = true;
    this.notice = this.about = "";
    changed();
    try {
      await act();
    } catch (error) {
      this.notice = `${problem}: ${text(error)}.`.replace(/\.\.$/, ".");
    }
    this.busy = false;
    changed();
  }

  /** @param {string} state @param {Error} [error] */
  #became(state, error) {
    if (this.state === "open" && state !== "open") this.openUntil = new Date().toISOString();
    this.state = state;
    if (state === "open") this.problem = "";
    else if (error) this.#meet(error);
    if (state === "open") {
      void this.#catchUp();
      for (const { chatId } of this.known.sending) void this.#handOver(chatId);
    }
    changed();
  }

  /** @param {Error} error */
  #meet(error) {
    // Whoever took the network away knows why it does not connect.
    this.problem = this.network.fault === "down" ? "" : error.message;
  }

  /** @param {any} message */
  #take(message) {
    this.#know(takePushed(this.known, message));
    const chatId = message.payload?.chatId;
    const chat = chatId && chatOf(this.known, chatId);
    if (!chat) return;
    const isMine = this.#isMine(chat);
    // A chat that comes to somebody is what they look at next, unless they are in one.
    const comes = this.role === "customer" || !this.chat || ["chat.accepted", "chat.transferred"].includes(message.type);
    if (comes && isMine && chat.status !== "ENDED" && chatId !== this.chatId && !this.#isInAChat()) this.show(chatId);
    if (isMine && missingAfter(this.known, chatId) !== null) void this.#read(chatId);
  }

  #isInAChat() {
    const chat = this.chat;
    return chat !== null && chat.status !== "ENDED" && this.#isMine(chat);
  }

  /** @param {Chat} chat */
  #isMine(chat) {
    return this.role === "customer" || chat.agent === this.user;
  }

  /** Read what may not have been pushed, and never will be: it was before this page, or it has expired. */
  async #catchUp() {
    this.isBehind = true;
    if (this.isCatchingUp) return;
    this.isCatchingUp = true;
    while (this.isBehind) {
      this.isBehind = false;
      try {
        await this.#readAll();
      } catch (error) {
        this.problem = `Could not read what was before: ${text(error)}`; // with the next connection
      }
    }
    this.isCatchingUp = false;
    changed();
  }

  /** Their chats that go on, and the one that is shown. */
  async #readAll() {
    if (this.role === "agent") this.#know(takeLists(this.known, await this.ask("GET", "/chats/waiting")));
    const agents = this.role === "agent" ? chatsOf(this.known, this.user) : [];
    const mine = agents.filter((chat) => this.#isMine(chat) && chat.status !== "ENDED").map((chat) => chat.id);
    const shown = this.chat === null || this.#isMine(this.chat) ? this.chatId : "";
    for (const chatId of new Set([...mine, shown].filter(Boolean))) await this.#read(chatId);
    if (!this.chat && mine[0]) this.show(mine[0]);
    if (this.role === "customer" && !this.#isInAChat()) await this.#find();
  }

  /** A customer's chat that was started in another window. */
  async #find() {
    const [chat] = (await this.ask("GET", "/chats")).chats;
    if (!chat || chat.status === "ENDED" || this.#isInAChat()) return;
    this.#know(takeChat(this.known, chat));
    this.show(chat.id);
    await this.#read(chat.id);
  }

  /** The events of a chat that are not there, to the last one there is. @param {string} chatId */
  async #read(chatId) {
    if (this.reading.has(chatId)) return;
    this.reading.add(chatId);
    try {
      let after = missingAfter(this.known, chatId) ?? this.known.logs[chatId]?.length ?? 0;
      for (let more = true; more; ) {
        const answer = await this.ask("GET", `${path(chatId)}/messages?after=${after}`);
        this.#know(takeEvents(this.known, chatId, answer.messages));
        after = answer.messages.at(-1)?.number ?? after;
        more = answer.more && answer.messages.length > 0;
      }
    } catch (error) {
      if (!(error instanceof ApiError) || ![403, 404].includes(error.status)) toast(text(error), "error");
      else this.#lose(chatId);
    } finally {
      this.reading.delete(chatId);
    }
    changed();
  }

  /** It is not theirs any more, or it is gone with another stack; unless they have been told so. @param {string} chatId */
  #lose(chatId) {
    const chat = chatOf(this.known, chatId);
    if (chat && !this.#isMine(chat)) return;
    this.#know(forget(this.known, chatId));
    if (this.chatId === chatId) this.show("");
  }

  /** @param {import("./chat_log.js").State} known */
  #know(known) {
    this.known = known;
    changed();
  }
}

const path = (/** @type {string} */ chatId) => `/chats/${encodeURIComponent(chatId)}`;

/** Whether it is no use to send the same again: the chat is over, say. @param {unknown} error */
const isRefused = (error) =>
  error instanceof ApiError && error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);

/**
 * A WebSocket that says when it is open, and when a message will not come (the client goes on without a word).
 * @param {{opened: () => void, skipped: () => void}} told
 */
function watched({ opened, skipped }) {
  return class extends WebSocket {
    /** @param {string | URL} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      super(url, protocols);
      this.addEventListener("open", opened);
      // Somebody who says just that causes a read too many.
      this.addEventListener("message", ({ data }) => String(data).includes("ringback.skipped") && skipped());
    }
  };
}

/** What the tab remembers of a person's messages. The link's port, which the client has in its key, is no part of it. @param {string} key */
function memory(key) {
  return {
    getItem: () => sessionStorage.getItem(key),
    setItem: (/** @type {string} */ _key, /** @type {string} */ value) => sessionStorage.setItem(key, value),
  };
}

/**
 * What the tab remembers of a person.
 * @typedef {object} Stored
 * @property {"customer" | "agent"} role
 * @property {string} user
 * @property {string} [chatId]
 * @property {boolean} [connected]
 * @property {Record<string, number>} [seen]
 * @property {Record<string, string>} [drafts]
 * @property {Array<{chatId: string, id: string, text: string}>} [unsaid] what waited for the network
 */

/** @returns {ChatPerson[]} */
function restored() {
  try {
    const stored = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    if (Array.isArray(stored) && stored.length) return stored.map((one, key) => new ChatPerson(one, key));
  } catch {
    // Forbidden, or not ours.
  }
  return USUAL.map((one, key) => new ChatPerson(one, key));
}

function store() {
  try {
    const stored = people.map(({ role, user, chatId, isConnected, seen, drafts, unsaid }) => ({ role, user, chatId, connected: isConnected, seen, drafts, unsaid }));
    sessionStorage.setItem(STORED, JSON.stringify(stored));
  } catch {
    // Without storage they are gone with the page.
  }
}

/** @type {ChatPerson[]} */
export const people = restored();

/** Connect those who were connected when the page was left. */
export function wake() {
  for (const person of people) {
    if (person.wasConnected) void person.connect();
    person.wasConnected = false;
  }
}

addEventListener("pagehide", () => {
  store();
  for (const person of people) {
    person.wasConnected = person.isConnected;
    person.leave();
  }
});
// Shown again out of the browser's cache.
addEventListener("pageshow", (event) => event.persisted && wake());
