// Every message once, the ordered ones in order, and acknowledged when it has been handled.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, make, Memory, message, numbered, skipped, gateway } from "./bench.js";
import { until } from "./gateway.js";

test("a message is handed over, and acknowledged if that is wanted", async () => {
  const one = await connected();
  one.connection.send(message("a"));
  one.connection.send(message("b", { ack: "client", payload: { any: ["JSON"] } }));
  await until(() => one.connection.acknowledged.length, "the acknowledgement");
  assert.deepEqual(one.ids, ["a", "b"]);
  assert.deepEqual(one.messages[1].payload, { any: ["JSON"] });
  assert.deepEqual(one.connection.acknowledged, ["b"]);
});

test("the acknowledgement waits for an async handler", async () => {
  const { promise, resolve } = Promise.withResolvers();
  const one = await connected({ onMessage: ({ id }) => (id === "slow" ? promise : undefined) });
  one.connection.send(message("slow", { ack: "client" }));
  one.connection.send(message("quick", { ack: "client" }));
  await until(() => one.connection.acknowledged.length, "the quick one's acknowledgement");
  assert.deepEqual(one.connection.acknowledged, ["quick"]);
  resolve(undefined);
  await until(() => one.connection.acknowledged.length === 2, "the slow one's acknowledgement");
});

test("what fails is not acknowledged, and is handled when it comes again", async () => {
  let attempts = 0;
  const one = await connected({
    onMessage: async () => {
      attempts += 1;
      if (attempts === 1) throw new TypeError("not today");
    },
  });
  one.connection.send(message("a", { ack: "client" }));
  await until(() => one.errors.length, "the error");
  assert.equal(one.errors[0].code, "handler");
  assert.match(one.errors[0].message, /onMessage failed for a/);
  assert.ok(one.errors[0].cause instanceof TypeError);
  assert.deepEqual(one.connection.acknowledged, []);
  one.connection.send(message("a", { ack: "client", attempt: 2 }));
  await until(() => one.connection.acknowledged.length, "the acknowledgement");
  assert.equal(attempts, 2);
});

test("what comes again is not handled again, but acknowledged again", async () => {
  const { promise, resolve } = Promise.withResolvers();
  let calls = 0;
  const one = await connected({ onMessage: () => ((calls += 1), promise) });
  one.connection.send(message("a", { ack: "client" }));
  one.connection.send(message("a", { ack: "client", attempt: 2 })); // while the first is being handled
  await until(() => calls, "the handler");
  resolve(undefined);
  await until(() => one.connection.acknowledged.length === 1, "the acknowledgement");
  one.connection.send(message("a", { ack: "client", attempt: 3 }));
  await until(() => one.connection.acknowledged.length === 2, "the second acknowledgement");
  assert.equal(calls, 1);
});

test("a batch is its messages, and many are acknowledged together", async () => {
  const one = await connected();
  const messages = Array.from({ length: 120 }, (_, n) => message(`m${n}`, { ack: "client" }));
  one.connection.send({ kind: "batch", messages });
  await until(() => one.connection.acknowledged.length === 120, "120 acknowledgements");
  assert.deepEqual(one.ids, messages.map(({ id }) => id));
  assert.equal(one.connection.received.length, 3);
});

test("what was handled before a reload is not handled again", async () => {
  const storage = new Memory();
  const before = await connected({ storage });
  before.connection.send(message("a", { ack: "client" }));
  await until(() => before.connection.acknowledged.length, "the acknowledgement");
  before.client.close();

  const after = await connected({ storage });
  after.connection.send(message("a", { ack: "client" }));
  after.connection.send(message("b", { ack: "client" }));
  await until(() => after.connection.acknowledged.length === 2, "both acknowledgements");
  assert.deepEqual(after.ids, ["b"]);

  const somebodyElse = await connected({ storage, user: "bob" });
  somebodyElse.connection.send(message("a"));
  await until(() => somebodyElse.ids.length, "the message");
  const elsewhere = await connected({ storage, contextId: "43" });
  elsewhere.connection.send(message("a"));
  await until(() => elsewhere.ids.length, "the message");
});

test("a browser's sessionStorage is the memory, if no other is given", async () => {
  const globals = /** @type {any} */ (globalThis);
  const there = Object.getOwnPropertyDescriptor(globals, "sessionStorage");
  Object.defineProperty(globals, "sessionStorage", { value: new Memory(), configurable: true });
  try {
    const before = await connected({ storage: undefined });
    before.connection.send(message("a"));
    await until(() => before.ids.length, "the message");
    before.client.close();
    const after = await connected({ storage: undefined });
    for (const id of ["a", "b"]) after.connection.send(message(id));
    await until(() => after.ids.length, "the message");
    assert.deepEqual(after.ids, ["b"]);
  } finally {
    if (there) Object.defineProperty(globals, "sessionStorage", there);
    else delete globals.sessionStorage;
  }
});

test("as many ids are remembered as told", async () => {
  const one = await connected({ seenLimit: 2 });
  for (const id of ["a", "b", "c"]) one.connection.send(message(id, { ack: "client" }));
  await until(() => one.connection.acknowledged.length === 3, "three");
  for (const id of ["b", "a"]) one.connection.send(message(id, { ack: "client" }));
  await until(() => one.connection.acknowledged.length === 5, "two more");
  assert.deepEqual(one.ids, ["a", "b", "c", "a"]);
});

test("a memory that fails, or holds something else, does no harm", async () => {
  const broken = {
    getItem: () => "{]",
    setItem: () => {
      throw new Error("QuotaExceeded");
    },
  };
  const one = await connected({ storage: broken });
  one.connection.send(message("a", { ack: "client" }));
  await until(() => one.connection.acknowledged.length, "the acknowledgement");
});

test("the numbers decide, not the arrival", async () => {
  const one = await connected();
  for (const number of [2, 4, 1, 3]) one.connection.send(numbered(number));
  await until(() => one.connection.acknowledged.length === 4, "four acknowledgements");
  assert.deepEqual(one.ids, ["n1", "n2", "n3", "n4"]);
});

test("ordered messages are handled one after the other, the others at once", async () => {
  /** @type {string[]} */
  const log = [];
  const one = await connected({
    onMessage: async ({ id }) => {
      log.push(`${id} begins`);
      await until(() => log.includes("free begins"), "the message that waits for nobody");
      log.push(`${id} ends`);
    },
  });
  for (const frame of [numbered(1), numbered(2), message("free")]) one.connection.send(frame);
  await until(() => log.length === 6, "all");
  assert.ok(log.indexOf("n1 ends") < log.indexOf("n2 begins"), log.join());
});

test("without a memory, the first ones are collected for a moment", async () => {
  const one = await connected();
  for (const number of [58, 57, 59]) one.connection.send(numbered(number));
  await until(() => one.ids.length === 3, "three");
  assert.deepEqual(one.ids, ["n57", "n58", "n59"]);
  assert.deepEqual(one.gaps, []);
});

test("the order goes on after a reload", async () => {
  const storage = new Memory();
  const before = await connected({ storage });
  before.connection.send(numbered(57));
  await until(() => before.ids.length, "the first");
  before.client.close();

  const after = await connected({ storage, settleSeconds: 0 });
  after.connection.send(numbered(59));
  const stranger = await connected({ settleSeconds: 0 }); // who remembers nothing, and does not wait
  stranger.connection.send(numbered(59));
  await until(() => stranger.ids.length, "the stranger's first");
  assert.deepEqual(after.ids, []);
  after.connection.send(numbered(58));
  await until(() => after.ids.length === 2, "two");
  assert.deepEqual(after.ids, ["n58", "n59"]);
});

test("a gap that stays is told, and what comes after all is late", async () => {
  const one = await connected({ gapTimeoutSeconds: 0.1 });
  one.connection.send(numbered(1));
  one.connection.send(numbered(4));
  await until(() => one.ids.length === 2, "the one behind the gap");
  assert.deepEqual(one.gaps, [{ from: 2, to: 3 }]);
  one.connection.send(numbered(3));
  await until(() => one.connection.acknowledged.includes("n3"), "the acknowledgement of the late one");
  assert.equal(one.messages[2].late, true);
  one.connection.send(numbered(5));
  await until(() => one.ids.length === 4, "the next");
  assert.equal(one.messages[3].late, undefined);
});

test("a handler that is slower than the gap timeout makes no gap", async () => {
  const { promise, resolve } = Promise.withResolvers();
  const one = await connected({ gapTimeoutSeconds: 0.05, onMessage: ({ id }) => id === "n1" && promise });
  one.connection.send(numbered(2));
  one.connection.send(numbered(1));
  one.connection.send(message("marker", { ack: "client" }));
  await until(() => one.connection.acknowledged.length, "the marker");
  const second = await connected({ gapTimeoutSeconds: 0.1 }); // a clock: its own gap begins after, and ends later
  second.connection.send(numbered(1));
  second.connection.send(numbered(3));
  await until(() => second.gaps.length, "the clock's gap");
  assert.deepEqual(one.gaps, []);
  resolve(undefined);
  await until(() => one.connection.acknowledged.length === 3, "both");
});

test("no gap is told while there is no connection", async () => {
  const one = await connected({ gapTimeoutSeconds: 0.1 });
  one.connection.send(numbered(1));
  one.connection.send(numbered(3));
  await until(() => one.connection.acknowledged.length, "the first");
  gateway.refuse(503);
  one.connection.drop();
  const clock = make({ gapTimeoutSeconds: 0.1 });
  await until(() => one.errors.length >= 5, "five refusals");
  assert.deepEqual(one.gaps, []);
  gateway.accept();
  const next = await gateway.connection(2);
  next.send(numbered(2));
  await until(() => one.ids.length === 3, "three");
  assert.deepEqual([one.ids, one.gaps, clock.gaps], [["n1", "n2", "n3"], [], []]);
});

test("after a reconnect, the gap has its time again", async () => {
  const one = await connected({ gapTimeoutSeconds: 0.2 });
  one.connection.send(numbered(1));
  one.connection.send(numbered(3));
  await until(() => one.connection.acknowledged.length, "the first");
  one.connection.drop();
  await until(() => one.ids.length === 2, "the one behind the gap");
  assert.deepEqual(one.gaps, [{ from: 2, to: 2 }]);
  await until(() => gateway.connections[1].acknowledged.includes("n3"), "its acknowledgement");
});

test("what was handled without a connection is acknowledged by the next one", async () => {
  const { promise, resolve } = Promise.withResolvers();
  const one = await connected({ onMessage: () => promise, backoffBaseSeconds: 0.2 });
  one.connection.send(message("a", { ack: "client" }));
  const other = await connected(); // what comes to it came later
  other.connection.send(message("marker"));
  await until(() => other.ids.length, "the marker");
  gateway.refuse(503);
  one.connection.drop();
  await until(() => one.client.state === "waiting", "the drop");
  resolve(undefined);
  await until(() => gateway.refused.length, "a refusal");
  gateway.accept();
  const next = await gateway.connection(3);
  await until(() => next.acknowledged.includes("a"), "the acknowledgement");
});

test("nobody waits for a number that will not come", async () => {
  const one = await connected();
  for (const frame of [numbered(1), numbered(3), skipped(2), skipped(4), numbered(5), skipped(1)]) one.connection.send(frame);
  await until(() => one.ids.length === 3, "three");
  assert.deepEqual(one.ids, ["n1", "n3", "n5"]);
  assert.deepEqual(one.gaps, []);
});

test("a number that will not come is remembered over a reload", async () => {
  const storage = new Memory();
  const before = await connected({ storage });
  for (const frame of [numbered(1), skipped(2, { ack: "client" }), skipped(4, { ack: "client" })]) before.connection.send(frame);
  await until(() => before.connection.acknowledged.length === 2, "two acknowledgements");
  before.client.close();

  const after = await connected({ storage });
  after.connection.send(numbered(3));
  await until(() => after.ids.length, "the next");
  after.connection.send(skipped(4, { ack: "client" })); // whose turn had not come, so it comes again
  after.connection.send(numbered(5));
  await until(() => after.ids.length === 2, "the one behind");
  assert.deepEqual([after.ids, after.gaps], [["n3", "n5"], []]);
});

test("a message and the word that it will not come: both are acknowledged, and the message is handled", async () => {
  const one = await connected();
  one.connection.send(numbered(2));
  one.connection.send(skipped(2, { ack: "client" }));
  await until(() => one.connection.acknowledged.includes("skipped-n2"), "the skip's acknowledgement");
  one.connection.send(numbered(1));
  await until(() => one.connection.acknowledged.length === 3, "three acknowledgements");
  assert.deepEqual(one.ids, ["n1", "n2"]);
});

test("a gap timeout without end is one", async () => {
  const one = await connected({ gapTimeoutSeconds: Infinity });
  one.connection.send(numbered(1));
  one.connection.send(numbered(3));
  const clock = await connected({ gapTimeoutSeconds: 0.05 });
  clock.connection.send(numbered(1));
  clock.connection.send(numbered(3));
  await until(() => clock.gaps.length, "the other's gap");
  assert.deepEqual([one.ids, one.gaps], [["n1"], []]);
});

test("an ordered message that fails is waited for if it comes again, else not", async () => {
  let failing = true;
  const one = await connected({
    onMessage: ({ id }) => {
      if (failing && ["n2", "n5"].includes(id)) throw new Error("not today");
    },
  });
  for (const number of [1, 2, 3]) one.connection.send(numbered(number));
  await until(() => one.errors.length, "the failure");
  assert.deepEqual(one.connection.acknowledged.filter((id) => id !== "n1"), []);
  failing = false;
  one.connection.send(numbered(2, { attempt: 2 }));
  await until(() => one.connection.acknowledged.length === 3, "all three");
  failing = true;
  one.connection.send(numbered(4));
  one.connection.send({ ...numbered(5), ack: undefined });
  one.connection.send(numbered(6));
  await until(() => one.connection.acknowledged.includes("n6"), "the one behind the lost one");
});
