// The client against the document that other clients are written by: every frame of docs/asyncapi.json is handled as it
// says there. What the client sends is judged by the gateway, in these tests and in all others.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { connected, gateway, message, numbered } from "./bench.js";
import { DOCS, until } from "./gateway.js";

/** @typedef {import("./gateway.js").Frame} Frame */

const document = JSON.parse(readFileSync(new URL("asyncapi.json", DOCS), "utf8"));

/** The names of the frames that Ringback sends, and of those that it receives. */
const names = (/** @type {"send" | "receive"} */ action) => {
  const operations = /** @type {any[]} */ (Object.values(document.operations));
  const theirs = operations.filter((operation) => operation.action === action).flatMap(({ messages }) => messages);
  const replies = action === "send" ? operations.flatMap(({ reply }) => reply?.messages ?? []) : [];
  return [...theirs, ...replies].map(({ $ref }) => $ref.split("/").at(-1)).sort();
};

/** @returns {Frame[]} */
const examples = (/** @type {string} */ name) =>
  document.components.messages[name].examples.map((/** @type {{ payload: Frame }} */ { payload }) => payload);

/** It has all that came, and nothing else of what the protocol knows. */
const hasAllOf = (/** @type {Frame} */ handled, /** @type {Frame} */ frame) => {
  for (const [field, value] of Object.entries(frame)) assert.deepEqual(handled[field], value, field);
  for (const field of Object.keys(document.components.schemas.MessageFrame.properties))
    assert.equal(field in handled, field in frame, field);
};

const AFTERWARDS = "afterwards-";
let times = 0;

/** It is connected as before, and a frame that follows is handled: the last of what came before is through, too. */
const goesOn = async (/** @type {Awaited<ReturnType<typeof connected>>} */ one) => {
  const id = `${AFTERWARDS}${(times += 1)}`;
  one.connection.send(message(id, { ack: "client" }));
  await until(() => one.connection.acknowledged.includes(id), "the acknowledgement of what came afterwards");
  assert.equal(one.client.state, "open");
  assert.equal(gateway.connections.length, 1);
  assert.equal(one.messages.pop()?.id, id);
};

/** How each frame is to be handled. @type {Record<string, (frame: any) => Promise<void>>} */
const handled = {
  async message(frame) {
    const one = await connected();
    one.connection.send(frame);
    await until(() => one.messages.length, "the message");
    await goesOn(one);
    assert.equal(one.messages.length, 1);
    hasAllOf(one.messages[0], frame);
    assert.equal("late" in one.messages[0], false);
    assert.equal(one.connection.acknowledged.includes(frame.id), frame.ack === "client");
    assert.deepEqual(one.errors, []);
  },

  async batch(frame) {
    const one = await connected();
    one.connection.send(frame);
    await until(() => one.messages.length === frame.messages.length, "every message");
    await goesOn(one);
    for (const [place, each] of frame.messages.entries()) hasAllOf(one.messages[place], each);
    const wanted = frame.messages.filter((/** @type {Frame} */ { ack }) => ack).map((/** @type {Frame} */ { id }) => id);
    assert.deepEqual(one.connection.acknowledged.filter((id) => !id.startsWith(AFTERWARDS)), wanted);
  },

  async skipped(frame) {
    const { sequence } = frame.payload;
    const one = await connected({ gapTimeoutSeconds: 3600 });
    const [before, after] = [numbered(sequence - 1), numbered(sequence + 1)];
    one.connection.send(before);
    await until(() => one.ids.includes(before.id), "the message before");
    one.connection.send(after);
    await goesOn(one);
    assert.deepEqual(one.ids, [before.id], "it waits for the number between");
    one.connection.send(frame);
    await until(() => one.ids.includes(after.id), "the message after");
    const wanted = frame.ack ? 2 : 0;
    const acknowledged = () => one.connection.acknowledged.filter((id) => id === frame.id).length;
    await until(() => acknowledged() >= wanted / 2, "an acknowledgement");
    one.connection.send({ ...frame, attempt: 2 }); // it may come again, too
    await until(() => acknowledged() >= wanted, "an acknowledgement each time, or its run posts it for ever");
    await goesOn(one);
    assert.equal(acknowledged(), wanted);
    assert.deepEqual(one.ids, [before.id, after.id]);
    assert.deepEqual([one.gaps, one.errors], [[], []]);
  },

  async pong(frame) {
    const one = await connected();
    one.connection.send(frame); // that nobody asked for
    await goesOn(one);
    assert.deepEqual([one.messages, one.errors], [[], []]);
  },

  async error(frame) {
    const one = await connected();
    one.connection.send(frame);
    await goesOn(one);
    assert.equal(one.errors.length, 1);
    assert.ok(one.errors[0].message.includes(frame.message), "what to do is told");
  },

  async close(frame) {
    const one = await connected();
    one.connection.send(frame);
    one.connection.close();
    if (frame.reconnect) {
      await gateway.connection(2);
      return;
    }
    await until(() => one.client.state === "closed", "the end");
    await until(() => one.states.at(-1)?.state === "closed", "the news of the end");
    assert.ok(one.errors[0].message.includes(frame.reason), "why is told");
    const next = await connected(); // by then one that comes back would have been there
    assert.deepEqual(gateway.connections, [one.connection, next.connection]);
  },
};

test("nothing is documented that is not tried here", () => {
  assert.deepEqual(Object.keys(handled).sort(), names("send"));
  assert.deepEqual(names("receive"), ["ack", "ping"]);
});

for (const name of names("send"))
  for (const [number, example] of examples(name).entries())
    test(`${name}, example ${number + 1}, is handled as documented`, () => handled[name](example));

test("a skipped message that nobody waits for is not acknowledged", async () => {
  const { ack, ...frame } = examples("skipped")[0];
  assert.equal(ack, "client");
  await handled.skipped(frame);
});

test("a close that the client may come back from", () =>
  handled.close({ kind: "close", reason: "maintenance", reconnect: true }));

for (const [what, frame] of /** @type {[string, unknown][]} */ ([
  ["a kind that is not known yet", { kind: "news", id: "a", payload: 1, reconnect: false }],
  ["a frame with nothing in it", {}],
]))
  test(`${what} is ignored`, async () => {
    const one = await connected();
    one.connection.sendUnjudged(frame);
    await goesOn(one);
    assert.deepEqual([one.messages, one.errors], [[], []]);
  });

test("API Gateway's own error is told", async () => {
  const one = await connected();
  one.connection.sendUnjudged({ message: "Internal server error", connectionId: "Sm9tZQ=", requestId: "r-1" });
  await until(() => one.errors.length, "the error");
  assert.deepEqual([one.errors[0].code, one.errors[0].message], ["frame", "Internal server error"]);
});

for (const name of names("send"))
  test(`a field that is not known yet, in ${name}, changes nothing`, () =>
    handled[name]({ ...examples(name)[0], aFieldThatIsNotKnownYet: { kind: "close" } }));

test("one message is acknowledged, and then many, as documented", async () => {
  // Ids as large as there can be: a hundred of them are more than a frame may hold.
  const many = Array.from({ length: 230 }, (_, n) => message(`${n} `.padEnd(128 - `${n} `.length, "é"), { ack: "client" }));
  const one = await connected();
  one.connection.send(message("alone", { ack: "client" }));
  await until(() => one.connection.received.length === 1, "the first acknowledgement");
  one.connection.send({ kind: "batch", messages: many.slice(0, 115) });
  one.connection.send({ kind: "batch", messages: many.slice(115) });
  await until(() => one.connection.acknowledged.length > many.length, "every acknowledgement");

  assert.deepEqual(one.connection.acknowledged, ["alone", ...many.map(({ id }) => id)]);
  assert.ok(one.connection.received.length < 10, "many in a frame");
  assert.deepEqual(gateway.violations, []);
});

test("a ping is as documented, and its pong is heard", async () => {
  const one = await connected({ pingSeconds: 0.02, pongSeconds: 0.5 });
  await until(() => one.connection.received.length >= 3, "three pings");
  for (const frame of one.connection.received) assert.deepEqual(frame, examples("ping")[0]);
  assert.equal(gateway.connections.length, 1);
  assert.deepEqual(one.errors, []);
});
