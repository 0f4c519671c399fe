// What the chat page shows, computed from what is pushed and answered.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as log from "../../local/console/page/views/chat_log.js";

const ANA = { role: "customer", user: "ana" };
const BO = { role: "agent", user: "bo" };
const at = (seconds) => new Date(Date.UTC(2030, 0, 31, 12) + seconds * 1000).toISOString();

/** Events of the chat `c-1`, numbered from 1 (or from elsewhere), one a second. */
function events(all, from = 1) {
  return all.map((event, index) => ({ chatId: "c-1", number: from + index, at: at(from + index), ...event }));
}
const waiting = { type: "chat.waiting", by: ANA, subject: "my parcel" };
const accepted = (agent = "bo") => ({ type: "chat.accepted", by: { role: "agent", user: agent }, agent, seconds: 1 });
const message = (text, by = ANA, id = text) => ({ type: "chat.message", by, id, text });
const requeued = { type: "chat.requeued", by: BO, agent: "bo", reason: "transfer" };
const ended = (canBeRated = true) => ({ type: "chat.ended", by: BO, reason: "agent", seconds: 60, canBeRated });

const pushed = (state, all) => all.reduce((known, event) => log.takePushed(known, { type: event.type, payload: event }), state);
const knowing = (...all) => pushed(log.nothing(), events(all));
const texts = (state) => state.logs["c-1"].map((event) => event.text ?? event.type);

test("what is pushed is kept by number: once, and in order, however it comes", () => {
  const all = events([waiting, message("one"), message("two"), accepted()]);
  const state = pushed(log.nothing(), [all[2], all[0], all[2], all[3], all[1], all[0]]);
  assert.deepEqual(texts(state), ["chat.waiting", "one", "two", "chat.accepted"]);
});

test("what was there before changes nothing, not even the object", () => {
  const state = knowing(waiting, accepted());
  assert.equal(pushed(state, state.logs["c-1"]), state);
  assert.equal(log.takePushed(state, { type: "something.else", payload: { text: "hello" } }), state);
  assert.equal(log.takePushed(state, { type: "something.else", payload: null }), state);
});

for (const [name, happened, expected] of [
  ["begins", [waiting], { status: "WAITING", customer: "ana", subject: "my parcel", agent: undefined }],
  ["is accepted", [waiting, accepted()], { status: "ACTIVE", agent: "bo", acceptedAt: at(2) }],
  ["goes on, whatever is said", [waiting, accepted(), message("hello")], { status: "ACTIVE", agent: "bo" }],
  ["is handed over", [waiting, accepted(), { type: "chat.transferred", by: BO, agent: "cy" }], { status: "ACTIVE", agent: "cy" }],
  ["goes back to the queue", [waiting, accepted(), requeued], { status: "WAITING", agent: undefined, waitingSince: at(3) }],
  ["has an agent who is away", [waiting, accepted(), { type: "chat.agent_away", agent: "bo", seconds: 60 }], { status: "ACTIVE", agentAwaySince: at(3) }],
  ["has its agent back", [waiting, accepted(), { type: "chat.agent_away", agent: "bo" }, { type: "chat.agent_back", agent: "bo" }], { agentAwaySince: undefined, agent: "bo" }],
  ["loses an agent who stays away", [waiting, accepted(), { type: "chat.agent_away", agent: "bo" }, { ...requeued, reason: "agent_away" }], { status: "WAITING", agentAwaySince: undefined }],
  ["ends", [waiting, accepted(), ended()], { status: "ENDED", agent: "bo", endedAt: at(3), endReason: "agent" }],
  ["is rated", [waiting, accepted(), ended(), { type: "chat.rated", by: ANA, rating: 5, feedback: "quick" }], { status: "ENDED", rating: 5, feedback: "quick" }],
]) {
  test(`a chat ${name}`, () => {
    const chat = log.chatOf(knowing(...happened), "c-1");
    for (const [field, value] of Object.entries({ version: happened.length, ...expected })) assert.equal(chat[field], value, field);
  });
}

test("nobody knows of a chat that nothing was said of", () => {
  assert.equal(log.chatOf(log.nothing(), "c-1"), null);
});

test("an answer is ahead of what is pushed, and what is pushed after it counts", () => {
  const chat = { id: "c-1", status: "ACTIVE", version: 2, customer: "ana", agent: "bo", acceptedAt: at(2) };
  let state = log.takeChat(knowing(waiting), chat);
  assert.equal(log.chatOf(state, "c-1").status, "ACTIVE");
  state = pushed(state, events([accepted(), requeued], 2));
  assert.equal(log.chatOf(state, "c-1").status, "WAITING");
  assert.equal(log.takeChat(state, { ...chat, version: 1 }), state, "an older answer");
});

test("an agent who comes into a chat misses what was said before, and only that", () => {
  assert.equal(log.missingAfter(knowing(waiting, accepted()), "c-1"), null);
  assert.equal(log.missingAfter(log.nothing(), "c-1"), null);
  let state = pushed(log.nothing(), events([accepted(), message("hello")], 5));
  assert.equal(log.missingAfter(state, "c-1"), 0);
  state = log.takeEvents(state, "c-1", events([waiting, message("1"), message("2"), message("3"), accepted()]));
  assert.equal(log.missingAfter(state, "c-1"), null);
  state = pushed(state, events([accepted("cy")], 9));
  assert.equal(log.missingAfter(state, "c-1"), 6);
});

test("the newer position counts, and none of an earlier wait", () => {
  const position = (seconds, position) => ({ type: "chat.position", payload: { chatId: "c-1", position, waiting: 3, at: at(seconds) } });
  const where = (state) => log.positionOf(state, log.chatOf(state, "c-1"))?.position;
  let state = log.takePushed(knowing(waiting), position(1.5, 3));
  state = log.takePushed(state, position(1.4, 4));
  assert.equal(where(state), 3);
  state = pushed(state, events([accepted()], 2));
  assert.equal(where(state), undefined, "it is not in the queue");
  state = pushed(state, events([requeued], 3));
  assert.equal(where(state), undefined, "that was the place of the first wait");
  assert.equal(where(log.takePushed(state, position(3.5, 1))), 1);
});

test("the newer queue counts; a listed one only before one was pushed", () => {
  const queue = (seconds, ...ids) => ({ type: "chat.queue", payload: { waiting: ids.map((id) => ({ id, status: "WAITING", version: 1 })), at: at(seconds) } });
  const ids = (state) => log.queueOf(state).map((chat) => chat.id);
  const listed = { waiting: [{ id: "c-9", status: "WAITING", version: 1 }], active: [] };
  let state = log.takeLists(log.nothing(), listed);
  assert.deepEqual(ids(state), ["c-9"]);
  state = log.takePushed(state, queue(2, "c-1", "c-2"));
  state = log.takePushed(log.takeLists(state, listed), queue(1, "c-3"));
  assert.deepEqual(ids(state), ["c-1", "c-2"]);
  const taken = { id: "c-1", status: "ACTIVE", version: 2, agent: "bo" };
  assert.deepEqual(ids(log.takeChat(state, taken)), ["c-2"], "it is known that somebody has it");
});

test("an agent has the chats of the list, and those that came by push", () => {
  const active = [{ id: "c-7", status: "ACTIVE", version: 4, agent: "bo", acceptedAt: at(1) }];
  const state = pushed(log.takeLists(log.nothing(), { waiting: [], active }), events([accepted()], 2));
  assert.deepEqual(log.chatsOf(state, "bo").map((chat) => chat.id), ["c-1", "c-7"]);
  assert.deepEqual(log.chatsOf(state, "cy"), []);
});

test("what others have said since is new, and what is over, in a chat that is not looked at", () => {
  const newTo = (seen, ...all) => log.newTo(knowing(...all), "c-1", BO, seen);
  assert.equal(newTo(0, waiting, accepted()), 0, "what they did themselves, or is no word");
  assert.equal(newTo(2, waiting, accepted(), message("one"), message("mine", BO), message("two")), 2);
  assert.equal(newTo(3, waiting, accepted(), message("one"), message("mine", BO), message("two")), 1);
  assert.equal(newTo(2, waiting, accepted(), { ...ended(), by: ANA }, { type: "chat.rated", by: ANA, rating: 5 }), 2);
  assert.equal(newTo(2, waiting, accepted(), { ...ended(), by: undefined, reason: "idle" }), 1);
  assert.equal(log.newTo(log.nothing(), "c-1", BO, 0), 0);
});

for (const [how, happened, said] of [
  ["handed it on", [waiting, accepted(), { type: "chat.transferred", by: BO, agent: "cy" }], "You handed it to cy."],
  ["put it back", [waiting, accepted(), requeued], "You put it back into the queue."],
  ["was away", [waiting, accepted(), { ...requeued, by: undefined, reason: "agent_away" }], "You were away for too long: it went back to the queue."],
  ["knows no more", [waiting], "It is not yours any more."],
]) {
  test(`an agent who ${how} is told so`, () => {
    const state = knowing(...happened);
    assert.equal(log.farewell(state, log.chatOf(state, "c-1"), "bo"), said);
  });
}

test("somebody is typing until they have said it, are gone, or some seconds are over", () => {
  const typing = (seconds) => ({ type: "chat.typing", payload: { chatId: "c-1", by: BO, at: at(seconds) } });
  const who = (state, seconds) => log.typingIn(state, "c-1", Date.parse(at(seconds)));
  let state = log.takePushed(knowing(waiting, accepted()), typing(3));
  assert.equal(who(state, 4), "bo");
  assert.equal(who(state, 3 + log.TYPING_SECONDS + 1), "");
  assert.equal(who(pushed(state, events([message("well", ANA)], 4)), 5), "bo", "the other has spoken");
  state = pushed(state, events([message("so", BO)], 4));
  assert.equal(who(state, 5), "");
  assert.equal(who(log.takePushed(state, typing(3.5)), 5), "", "an older one comes late");
  assert.equal(who(log.takePushed(state, typing(6)), 7), "bo");
});

test("what was said is shown at once, and is one with the event that comes of it", () => {
  const own = (state) => state.sending.map((one) => `${one.text}: ${one.state}`);
  let state = log.say(knowing(waiting, accepted()), "c-1", "m-1", "hello");
  assert.deepEqual(own(state), ["hello: sending"]);
  state = log.notSaid(state, "m-1", "no network", false);
  assert.deepEqual(own(state), ["hello: failed"]);
  state = log.said(log.say(state, "c-1", "m-1", "hello"), "m-1");
  assert.deepEqual(own(state), ["hello: sent"]);
  state = pushed(state, events([message("hello", ANA, "m-1")], 3));
  assert.deepEqual([own(state), texts(state).at(-1)], [[], "hello"]);
});

test("what was not taken holds back what was said after it in that chat, and goes first", () => {
  const say = (state, id, chatId = "c-1") => log.say(state, chatId, id, id);
  const of = (state) => state.sending.map(({ id, state: now, problem }) => `${id} ${now}${problem && `: ${problem}`}`);
  let state = say(say(say(knowing(waiting), "m-1"), "m-2"), "m-9", "c-2");
  state = log.notSaid(state, "m-1", "no network", false);
  assert.deepEqual(of(state), ["m-1 failed: no network", "m-2 failed: Waits for the one before it", "m-9 sending"]);
  assert.equal(log.nextToSend(state, "c-1"), undefined);
  assert.equal(log.nextToSend(state, "c-2").id, "m-9");
  for (const again of ["m-1", "m-2", "m-3"]) {
    const sending = of(say(state, again)).filter((text) => !text.startsWith("m-9"));
    assert.deepEqual(sending, ["m-1 sending", "m-2 sending", ...(again === "m-3" ? ["m-3 sending"] : [])]);
    assert.equal(log.nextToSend(say(state, again), "c-1").id, "m-1");
  }
});

test("what will never be taken holds nothing back, and is sent again only if that is wanted", () => {
  let state = log.say(log.say(knowing(waiting), "c-1", "m-1", "one"), "c-1", "m-2", "two");
  state = log.notSaid(state, "m-1", "it is over", true);
  assert.equal(log.nextToSend(state, "c-1").id, "m-2");
  state = log.say(log.said(state, "m-2"), "c-1", "m-3", "three");
  assert.deepEqual(state.sending.map((one) => one.state), ["failed", "sent", "sending"]);
  assert.equal(log.nextToSend(log.say(state, "c-1", "m-1", "one"), "c-1").id, "m-1");
});

test("what failed and came back as an event all the same is no failure", () => {
  let state = log.say(knowing(waiting), "c-1", "m-1", "hello");
  state = log.notSaid(pushed(state, events([message("hello", ANA, "m-1")], 2)), "m-1", "no network", false);
  assert.deepEqual(state.sending, []);
});

test("a chat that is not theirs any more is forgotten, and no other", () => {
  const other = { id: "c-2", status: "ACTIVE", version: 2, agent: "bo" };
  const state = log.forget(log.takeChat(knowing(waiting, accepted()), other), "c-1");
  assert.equal(log.chatOf(state, "c-1"), null);
  assert.deepEqual(log.chatsOf(state, "bo").map((chat) => chat.id), ["c-2"]);
});

test("an event that came before the answer of sending it leaves nothing behind", () => {
  let state = log.say(knowing(waiting, accepted()), "c-1", "m-1", "hello");
  state = log.said(pushed(state, events([message("hello", ANA, "m-1")], 3)), "m-1");
  assert.deepEqual(state.sending, []);
});

test("a chat can be rated when it is over and had an agent, once", () => {
  const canBeRated = (...all) => log.canBeRated(log.chatOf(knowing(...all), "c-1"));
  assert.equal(canBeRated(waiting, accepted()), false);
  assert.equal(canBeRated(waiting, ended(false)), false);
  assert.equal(canBeRated(waiting, accepted(), ended()), true);
  assert.equal(canBeRated(waiting, accepted(), requeued, ended()), true);
  assert.equal(canBeRated(waiting, accepted(), ended(), { type: "chat.rated", by: ANA, rating: 1 }), false);
});

test("every event reads as a sentence of its own", () => {
  const kinds = [
    waiting, accepted(), { type: "chat.transferred", by: BO, agent: "cy" }, requeued, { type: "chat.agent_away", agent: "bo", seconds: 60 },
    { type: "chat.agent_back", agent: "bo" }, ended(), { type: "chat.rated", by: ANA, rating: 4, feedback: "quick" },
  ];
  for (const role of ["customer", "agent"]) {
    const read = kinds.map((event) => log.describe(event, role));
    assert.equal(new Set(read).size, kinds.length);
    assert.ok(!read.some((text) => /undefined|chat\./.test(text)), read.join("\n"));
  }
});
