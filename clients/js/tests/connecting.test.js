// Connected, whatever the network does: states, tokens, backoff, replaced and half-open connections, the end.

import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { WebSocket as Ws } from "ws";
import { RingbackClient, RingbackError } from "../ringback.js";
import { connected, gateway, jwt, make, message } from "./bench.js";
import { until } from "./gateway.js";

afterEach(() => mock.reset());

/** @param {{ states: { state: string }[] }} one */
const statesOf = (one) => one.states.map(({ state }) => state);

const now = () => Date.now() / 1000;

test("it says who, to which conversation", async () => {
  const { connection, client } = await connected({ contextId: "a b&c" });
  assert.deepEqual(connection.protocols, ["bearer", "token"]);
  assert.deepEqual(connection.query, { context: "chat", contextId: "a b&c" });
  await until(() => client.state === "open", "open");
});

test("to connect twice is to connect once", async () => {
  const one = await connected();
  await until(() => one.client.state === "open", "open");
  one.client.connect();
  one.client.connect();
  const other = await connected(); // had they been two, they would have come before
  assert.equal(gateway.connections.indexOf(other.connection), 1);
});

test("a URL keeps what it has", async () => {
  const { connection } = await connected({ url: `${gateway.url}?stage=blue` });
  assert.deepEqual(connection.query, { stage: "blue", context: "chat", contextId: "42" });
});

test("what is missing is named", () => {
  const good = { url: "wss://example.com/v1", context: "c", contextId: "1", token: "t", onMessage() {} };
  for (const name of ["url", "context", "contextId", "token", "onMessage"])
    assert.throws(() => new RingbackClient({ ...good, [name]: undefined }), new RegExp(`${name} is missing`));
  assert.throws(() => new RingbackClient({ ...good, url: "https://example.com" }), { code: "option", message: /wss:/ });
  for (const wrong of [-1, NaN, "soon"])
    assert.throws(() => new RingbackClient({ ...good, pingSeconds: /** @type {any} */ (wrong) }), /pingSeconds has to be/);
});

test("a drop is followed by a reconnect, with a token of its own", async () => {
  let tokens = 0;
  const one = await connected({ token: async () => `token-${++tokens}` });
  one.connection.drop();
  const next = await gateway.connection(2);
  await until(() => one.client.state === "open" && one.states.length === 5, "open again");
  assert.deepEqual([one.connection.token, next.token], ["token-1", "token-2"]);
  assert.deepEqual(statesOf(one), ["connecting", "open", "waiting", "connecting", "open"]);
  assert.equal(one.states[2].attempt, 1);
});

test("the waits double up to the cap, with full jitter", async () => {
  let random = 1;
  mock.method(Math, "random", () => random);
  gateway.refuse(503);
  const one = make({ backoffBaseSeconds: 0.01, backoffCapSeconds: 0.05 });
  one.client.connect();
  const waits = () => one.states.filter(({ state }) => state === "waiting");
  await until(() => waits().length >= 5, "five waits");
  assert.deepEqual(waits().slice(0, 5).map(({ retryInSeconds }) => retryInSeconds), [0.01, 0.02, 0.04, 0.05, 0.05]);
  assert.deepEqual(waits().slice(0, 3).map(({ attempt }) => attempt), [1, 2, 3]);
  random = 0.25;
  await until(() => waits().at(-1).retryInSeconds === 0.0125, "a wait by another chance");
  assert.equal(one.errors[0].code, "connection");
});

for (const [what, seconds, attempt] of /** @type {[string, number, number][]} */ ([
  ["a connection that lasts ends a row of failures", 0.1, 1],
  ["one that ends at once does not", 0, 4],
]))
  test(what, async () => {
    gateway.refuse(503);
    const one = make();
    one.client.connect();
    await until(() => gateway.refused.length === 3, "three refusals");
    let now = Date.now();
    mock.method(Date, "now", () => now);
    gateway.accept();
    const connection = await gateway.connection(1);
    connection.send(message("a"));
    await until(() => one.ids.length, "the message");
    now += seconds * 1000;
    connection.drop();
    await gateway.connection(2);
    assert.equal(one.states.findLast(({ state }) => state === "waiting").attempt, attempt);
  });

test("a token that cannot be had is asked for again", async () => {
  let asked = 0;
  const one = await connected({
    token: () => {
      asked += 1;
      if (asked < 3) throw new Error("no network");
      return "token";
    },
  });
  assert.deepEqual(one.errors.map(({ code }) => code), ["token", "token"]);
  assert.equal(/** @type {Error} */ (one.errors[0].cause).message, "no network");
});

for (const [what, token, reason] of /** @type {[string, any, RegExp][]} */ ([
  ["no token any more", () => null, /none/],
  ["a fixed token that has expired", jwt({ exp: 1 }), /expired/],
  ["something fixed that is no token", "not a token", /no token to connect with/],
]))
  test(`${what}: closed, and told why`, async () => {
    const one = make({ token });
    one.client.connect();
    await until(() => one.states.at(-1)?.state === "closed", "closed");
    assert.equal(one.states.at(-1).error.code, "token");
    assert.match(one.errors[0].message, reason);
    assert.equal(gateway.connections.length, 0);
  });

test("what the token function answers may be better the next time", async () => {
  let asked = 0;
  const one = await connected({ token: () => (++asked === 1 ? "<html>502 Bad Gateway</html>" : "token") });
  assert.equal(one.errors[0].code, "token");
});

test("a bad answer when a connection is replaced leaves the old one as it is", async () => {
  let asked = 0;
  const one = await connected({ token: () => (++asked === 2 ? "<html></html>" : "token"), maxConnectionSeconds: 0.05 });
  await until(() => one.errors.length, "the error");
  assert.deepEqual([one.client.state, one.connection.closed], ["open", false]);
  await gateway.connection(2);
});

test("a token function without an answer is given up", async () => {
  let asked = 0;
  const never = new Promise(() => {});
  const token = () => /** @type {any} */ (++asked === 1 ? never : "token");
  const one = await connected({ token, handshakeSeconds: 0.05 });
  assert.match(one.errors[0].message, /takes too long/);
  assert.deepEqual(statesOf(one).slice(0, 3), ["connecting", "waiting", "connecting"]);
});

test("another WebSocket class may raise its errors", async () => {
  gateway.refuse(503);
  const one = make({ WebSocket: /** @type {any} */ (Ws) });
  one.client.connect();
  await until(() => gateway.refused.length >= 2, "a second handshake");
  gateway.accept();
  (await gateway.connection(1)).send(message("a"));
  await until(() => one.ids.length, "the message");
});

test("an option that is undefined is none", async () => {
  const one = await connected({ pingSeconds: undefined, gapTimeoutSeconds: undefined, onState: undefined });
  one.connection.send(message("a"));
  await until(() => one.ids.length, "the message");
  assert.deepEqual(one.connection.received, []);
});

test("a handshake without an answer is given up", async () => {
  gateway.hang();
  const one = make({ handshakeSeconds: 0.05 });
  one.client.connect();
  await until(() => gateway.hanging >= 2, "a second handshake");
  assert.equal(one.errors[0].code, "connection");
  gateway.accept();
  await gateway.connection(1);
});

test("a connection is replaced before it ends, and nothing on its way to it is lost", async () => {
  const one = await connected({ maxConnectionSeconds: 0.1, lingerSeconds: 0.2 });
  const next = await gateway.connection(2);
  assert.equal(one.connection.closed, false);
  one.connection.send(message("by the old one", { ack: "client" }));
  next.send(message("by the new one", { ack: "client" }));
  await until(() => one.ids.length === 2, "both");
  await until(() => one.connection.closed, "the end of the old one");
  assert.deepEqual(statesOf(one), ["connecting", "open"]);
});

test("a replacement that fails leaves the old one as it is, and is tried again", async () => {
  const one = await connected({ maxConnectionSeconds: 0.1 });
  gateway.refuse(503);
  await until(() => gateway.refused.length >= 2, "two refusals");
  assert.equal(one.client.state, "open");
  one.connection.send(message("a"));
  await until(() => one.ids.length, "the message");
  gateway.accept();
  await gateway.connection(2);
  assert.equal(statesOf(one).includes("waiting"), false);
});

test("a connection is replaced before its token ends", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
  const one = await connected({ token: () => jwt({ iat: now(), exp: now() + 600 }), pingSeconds: 9999 });
  await until(() => one.client.state === "open", "open");
  mock.timers.tick(200_000);
  assert.equal(gateway.connections.length, 1);
  one.connection.send(message("a")); // it is not silent
  await until(() => one.ids.length, "the message");
  mock.timers.tick(239_000);
  assert.equal(gateway.connections.length, 1);
  mock.timers.tick(42_000);
  const next = await gateway.connection(2);
  assert.notEqual(next.token, one.connection.token);
});

for (const days of [7, -7])
  test(`where the clock is off by ${days} days, the token's own life tells`, async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() + days * 86_400_000 });
    const real = now() - days * 86_400;
    const one = await connected({ token: () => jwt({ iat: real, exp: real + 300 }), pingSeconds: 9999 });
    await until(() => one.client.state === "open", "open");
    mock.timers.tick(230_000);
    assert.equal(gateway.connections.length, 1);
    mock.timers.tick(11_000);
    await gateway.connection(2);
  });

test("a fixed token is used up to its end, and that is told", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: Date.now() });
  const one = await connected({ token: jwt({ exp: now() + 100 }) });
  await until(() => one.client.state === "open", "open");
  mock.timers.tick(99_000);
  assert.equal(one.client.state, "open");
  mock.timers.tick(2_000);
  await until(() => one.client.state === "closed", "closed");
  assert.match(one.errors[0].message, /expired/);
});

test("a silence is pinged, and nothing else", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const one = await connected({ pingSeconds: 240 });
  await until(() => one.client.state === "open", "open");
  for (const id of ["a", "b", "c"]) {
    mock.timers.tick(200_000);
    one.connection.send(message(id));
    await until(() => one.ids.includes(id), id);
  }
  assert.deepEqual(one.connection.received, []);
  mock.timers.tick(240_000);
  await until(() => one.connection.received.length, "the ping");
  assert.deepEqual(one.connection.received, [{ action: "ping" }]);
  await until(() => one.client.state === "open", "open");
  one.connection.send(message("after the pong"));
  await until(() => one.ids.length === 4, "the message after the pong");
  mock.timers.tick(20_000); // the ping was answered in time
  assert.equal(one.client.state, "open");
});

test("what arrived before the connection died does not answer a ping", async () => {
  const one = await connected({ pingSeconds: 0.05, pongSeconds: 0.2 });
  const { connection } = one;
  const send = connection.send.bind(connection);
  connection.send = (frame) => frame.kind !== "pong" && send(frame);
  await until(() => connection.received.length, "the ping");
  connection.send(message("a"));
  await until(() => one.ids.length, "the message");
  await gateway.connection(2);
});

test("a half-open connection is noticed and replaced", async () => {
  const one = await connected({ pingSeconds: 0.05, pongSeconds: 0.1 });
  one.connection.stall();
  const next = await gateway.connection(2);
  next.send(message("a"));
  await until(() => one.ids.length, "the message");
  assert.equal(statesOf(one).includes("waiting"), true);
});

test("evicted: closed for good, and told so", async () => {
  const one = await connected();
  one.connection.send({ kind: "close", reason: "evicted", reconnect: false });
  await until(() => one.states.at(-1).state === "closed", "closed");
  assert.equal(one.states.at(-1).error.code, "evicted");
  assert.match(one.errors[0].message, /evicted/);
  await until(() => one.connection.closed, "the end of the connection");
  one.client.connect();
  await gateway.connection(2);
});

test("evicted: what was handled is acknowledged first", async () => {
  const one = await connected();
  one.connection.send(message("a", { ack: "client" }));
  await until(() => one.ids.length, "the message");
  one.connection.send({ kind: "close", reason: "evicted", reconnect: false });
  await until(() => one.connection.closed, "the end of the connection");
  assert.deepEqual(one.connection.acknowledged, ["a"]);
});

test("evicted by the connection that replaces it: no end", async () => {
  const one = await connected({ maxConnectionSeconds: 0.1 });
  gateway.hang();
  await until(() => gateway.hanging, "the handshake of the next one");
  one.connection.send({ kind: "close", reason: "evicted", reconnect: false });
  one.connection.close();
  await until(() => one.client.state !== "open", "the end of the old one");
  assert.equal(one.client.state, "connecting");
});

test("frames wait for a connection, as many as told", async () => {
  gateway.refuse(503);
  gateway.actions.push("say");
  const one = make({ sendQueueLimit: 2 });
  assert.throws(() => one.client.send({ action: "say" }), /connect first/);
  one.client.connect();
  one.client.send({ action: "say", n: 1 });
  one.client.send({ action: "say", n: 2 });
  assert.throws(() => one.client.send({ action: "say", n: 3 }), { code: "send", message: /too many/ });
  gateway.accept();
  const connection = await gateway.connection(1);
  await until(() => connection.received.length === 2, "two frames");
  one.client.send({ action: "say", n: 4 });
  await until(() => connection.received.length === 3, "a third");
  assert.deepEqual(connection.received.map(({ n }) => n), [1, 2, 4]);
  assert.throws(() => one.client.send({ action: "say", text: "é".repeat(16_400) }), /32 KB/);
});

test("an action that there is not is told", async () => {
  const one = await connected();
  gateway.actions.push("say");
  one.connection.send({ kind: "error", error: "UnknownAction", message: "There are two actions: ack and ping." });
  await until(() => one.errors.length, "the error");
  assert.match(one.errors[0].message, /two actions/);
});

test("close: what was handled is acknowledged, and nobody comes back", async () => {
  const one = await connected();
  const { connection } = one;
  one.client.close();
  assert.equal(one.client.state, "closed");
  one.client.close();
  await until(() => connection.closed, "the end");
  assert.equal(one.states.at(-1).error, undefined);
  assert.equal(gateway.connections.length, 1);

  const two = await connected();
  two.connection.send(message("a", { ack: "client" }));
  await until(() => two.ids.length, "the message");
  two.client.close();
  await until(() => two.connection.closed, "the end");
  assert.deepEqual(two.connection.acknowledged, ["a"]);
});

test("closed while it gets its token: no handshake", async () => {
  const { promise, resolve } = Promise.withResolvers();
  const one = make({ token: () => /** @type {Promise<string>} */ (promise), contextId: "closed" });
  one.client.connect();
  one.client.close();
  resolve("token");
  const later = await connected();
  await until(() => gateway.connections.some(({ query }) => query.contextId === "42"), "a later handshake");
  later.connection.send(message("a"));
  await until(() => later.ids.length, "the message");
  assert.equal(gateway.connections.length, 1);
  assert.deepEqual(statesOf(one), ["connecting", "closed"]);
});

test("closed while its token cannot be had: no further attempt", async () => {
  const { promise, reject } = Promise.withResolvers();
  const one = make({ token: () => /** @type {Promise<string>} */ (promise) });
  one.client.connect();
  one.client.close();
  reject(new Error("no network"));
  await connected();
  assert.deepEqual(statesOf(one), ["connecting", "closed"]);
  assert.deepEqual(one.errors, []);
});

test("what waits for a connection does not outlive a close", async () => {
  gateway.refuse(503);
  gateway.actions.push("say");
  const one = make();
  one.client.connect();
  one.client.send({ action: "say", n: 1 });
  one.client.close();
  gateway.accept();
  one.client.connect();
  one.client.send({ action: "say", n: 2 });
  const connection = await gateway.connection(1);
  await until(() => connection.received.length, "a frame");
  assert.deepEqual(connection.received, [{ action: "say", n: 2 }]);
});

test("closed while it connects: no connection stays", async () => {
  const one = make();
  one.client.connect();
  await Promise.resolve(); // it has its token
  one.client.close();
  const two = await connected();
  await until(() => two.client.state === "open", "open");
  await until(() => gateway.connections.filter(({ closed }) => !closed).length === 1, "one connection");
  assert.deepEqual(statesOf(one), ["connecting", "closed"]);
});

test("an application that throws in what it is told disturbs nothing", async () => {
  let uncaught = 0;
  const { queueMicrotask } = globalThis;
  mock.method(globalThis, "queueMicrotask", (/** @type {() => void} */ callback) =>
    queueMicrotask(() => {
      try {
        callback();
      } catch {
        uncaught += 1; // what a browser shows in its console
      }
    }),
  );
  const one = await connected({
    onState: () => {
      throw new Error("the application's");
    },
  });
  one.connection.drop();
  (await gateway.connection(2)).send(message("a"));
  await until(() => one.ids.length, "the message");
  assert.equal(uncaught, 5);
});

test("in a browser: another network, and a page that is seen again", async () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  const network = new EventTarget();
  const globals = /** @type {any} */ (globalThis);
  globals.document = page;
  globals.addEventListener = network.addEventListener.bind(network);
  try {
    let tokens = 0;
    const token = () => `token-${++tokens}`;
    const one = await connected({ token, backoffBaseSeconds: 3600, backoffCapSeconds: 3600 });
    await until(() => one.client.state === "open", "open");
    network.dispatchEvent(new Event("online"));
    const second = await gateway.connection(2); // though the first looks open
    second.send(message("a"));
    await until(() => one.ids.length, "the message by the second");

    page.hidden = true;
    page.dispatchEvent(new Event("visibilitychange"));
    page.hidden = false;
    page.dispatchEvent(new Event("visibilitychange"));
    await until(() => second.received.length, "a ping");
    assert.deepEqual(second.received, [{ action: "ping" }]);

    second.drop();
    await until(() => one.client.state === "waiting", "the backoff");
    network.dispatchEvent(new Event("online"));
    const third = await gateway.connection(3); // long before the backoff ends
    await until(() => one.client.state === "open", "open");
    third.drop();
    await until(() => one.client.state === "waiting", "the backoff");
    page.dispatchEvent(new Event("visibilitychange"));
    await gateway.connection(4);
    await until(() => one.client.state === "open", "open");

    gateway.hang();
    gateway.connections[3].drop();
    await until(() => one.client.state === "waiting", "the backoff");
    network.dispatchEvent(new Event("online"));
    await until(() => gateway.hanging === 1, "a handshake on a network that goes");
    const before = tokens;
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(tokens, before, "one handshake at a time");
    gateway.accept();
    network.dispatchEvent(new Event("online"));
    await gateway.connection(5); // without waiting for that handshake
    assert.equal(gateway.hanging, 1);
    assert.equal(gateway.connections.length, 5);

    one.client.close();
    network.dispatchEvent(new Event("online"));
    page.dispatchEvent(new Event("visibilitychange"));
    assert.equal(one.client.state, "closed");
  } finally {
    delete globals.document;
    delete globals.addEventListener;
  }
});

test("once connected by another cause, no backoff is waited out", async () => {
  mock.method(Math, "random", () => 1);
  const network = new EventTarget();
  const globals = /** @type {any} */ (globalThis);
  globals.addEventListener = network.addEventListener.bind(network);
  try {
    const one = await connected({ backoffBaseSeconds: 0.1 });
    one.connection.drop();
    await until(() => one.client.state === "waiting", "the backoff");
    network.dispatchEvent(new Event("online"));
    await gateway.connection(2);
    await until(() => one.client.state === "open", "open");
    const clock = await connected({ url: gateway.url, contextId: "clock", backoffBaseSeconds: 0.2 });
    clock.connection.drop();
    await gateway.connection(4); // after a backoff that began later, and was longer
    assert.equal(gateway.connections.filter(({ query }) => query.contextId === "42").length, 2);
  } finally {
    delete globals.addEventListener;
  }
});

test("errors are errors", () => {
  const error = new RingbackError("send", "text", "cause");
  assert.ok(error instanceof Error);
  assert.deepEqual([error.name, error.code, error.message, error.cause], ["RingbackError", "send", "text", "cause"]);
});
