// The gateway that the other tests trust: it must notice who leaves the protocol.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Gateway, until } from "./gateway.js";

const PLACE = "?context=chat&contextId=42";

/** @param {(gateway: Gateway) => Promise<unknown>} play */
async function on(play) {
  const gateway = await Gateway.start();
  try {
    await play(gateway);
  } catch (error) {
    await gateway.close().catch(() => {});
    throw error;
  }
  await gateway.close();
}

/** @param {Gateway} gateway */
async function open(gateway, place = PLACE, protocols = ["bearer", "token"]) {
  const socket = new WebSocket(gateway.url + place, protocols);
  /** @type {any[]} */
  const heard = [];
  socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
  await until(() => socket.readyState !== WebSocket.CONNECTING, "an answer to the handshake");
  return { socket, heard, connection: /** @type {import("./gateway.js").Connection} */ (gateway.connections.at(-1)) };
}

test("it takes a handshake for what it says", () =>
  on(async (gateway) => {
    const { socket, connection } = await open(gateway);
    assert.equal(socket.protocol, "bearer");
    assert.deepEqual(connection.protocols, ["bearer", "token"]);
    assert.equal(connection.token, "token");
    assert.deepEqual(connection.query, { context: "chat", contextId: "42" });
  }));

for (const [what, status, place, protocols] of /** @type {[string, number, string, string[]][]} */ ([
  ["no token", 401, PLACE, ["bearer"]],
  ["another scheme", 401, PLACE, ["basic", "token"]],
  ["too much", 401, PLACE, ["bearer", "token", "more"]],
  ["nothing", 401, PLACE, []],
  ["no context", 403, "?contextId=42", ["bearer", "token"]],
  ["no contextId", 403, "?context=chat", ["bearer", "token"]],
]))
  test(`it refuses a handshake with ${what}`, () =>
    on(async (gateway) => {
      await open(gateway, place, protocols);
      assert.equal(gateway.refused[0].status, status);
      assert.equal(gateway.connections.length, 0);
    }));

test("it refuses, or hangs, as it is told", () =>
  on(async (gateway) => {
    gateway.refuse(429);
    const { socket } = await open(gateway);
    assert.equal(socket.readyState, WebSocket.CLOSED);
    assert.deepEqual(gateway.refused, [{ status: 429, token: "token" }]);
    gateway.hang();
    const hanging = new WebSocket(gateway.url + PLACE, ["bearer", "token"]);
    await until(() => gateway.hanging, "a handshake");
    gateway.accept();
    assert.equal((await open(gateway)).socket.readyState, WebSocket.OPEN);
    assert.equal(hanging.readyState, WebSocket.CONNECTING);
  }));

for (const [what, text] of [
  ["another action", '{"action":"leave"}'],
  ["an acknowledgement of nothing", '{"action":"ack"}'],
  ["too many ids", JSON.stringify({ action: "ack", ids: Array(101).fill("a") })],
  ["an id that is none", '{"action":"ack","id":7}'],
  ["no JSON", "ack"],
  ["no object", "null"],
  ["more than a frame may hold", JSON.stringify({ action: "ping", more: "x".repeat(32 * 1024) })],
])
  test(`it notices ${what} from a client`, () =>
    assert.rejects(
      on(async (gateway) => {
        (await open(gateway)).socket.send(text);
        await until(() => gateway.violations.length, "a violation");
      }),
      /^Error: Not the protocol:\nfrom the client: /,
    ));

test("it notices bytes that are no text", () =>
  assert.rejects(
    on(async (gateway) => {
      (await open(gateway)).socket.send(new TextEncoder().encode('{"action":"ping"}'));
      await until(() => gateway.violations.length, "a violation");
    }),
    /is binary/,
  ));

const MESSAGE = { kind: "message", id: "a", type: "said", payload: 1, sentAt: "2030-01-31T12:00:00.250Z", attempt: 1 };

for (const [what, frame] of /** @type {[string, any][]} */ ([
  ["another kind", { kind: "news" }],
  ["a message without an id", { ...MESSAGE, id: undefined }],
  ["a time that is none", { ...MESSAGE, sentAt: "noon" }],
  ["an ack that is none", { ...MESSAGE, ack: "none" }],
  ["a batch with something else in it", { kind: "batch", messages: [MESSAGE, { kind: "pong" }] }],
  ["more than a frame may hold", { ...MESSAGE, payload: "x".repeat(128 * 1024) }],
]))
  test(`it notices ${what} to a client`, () =>
    assert.rejects(
      on(async (gateway) => (await open(gateway)).connection.send(frame)),
      /^Error: Not the protocol:\nto the client: /,
    ));

test("it answers as the deployed one does, and takes the actions that it is told of", () =>
  on(async (gateway) => {
    gateway.actions.push("say");
    const { socket, heard, connection } = await open(gateway);
    for (const frame of [{ action: "ack", id: "a" }, { action: "say" }, { action: "ack", ids: ["b", "c"] }, { action: "ping" }])
      socket.send(JSON.stringify(frame));
    await until(() => heard.length, "an answer");
    assert.deepEqual(heard, [{ kind: "pong" }]);
    assert.deepEqual(connection.acknowledged, ["a", "b", "c"]);
    assert.equal(connection.received.length, 4);
  }));

test("a stalled connection takes all and says nothing", () =>
  on(async (gateway) => {
    const { socket, heard, connection } = await open(gateway);
    connection.stall();
    socket.send('{"action":"ping"}');
    connection.send(MESSAGE);
    socket.close();
    const other = await open(gateway);
    other.socket.send('{"action":"ping"}');
    await until(() => other.heard.length, "the pong of the other one");
    assert.deepEqual([heard, connection.received, connection.closed], [[], [], false]);
  }));

test("ends differ", () =>
  on(async (gateway) => {
    for (const [end, code] of /** @type {[(connection: any) => void, number][]} */ ([
      [(connection) => connection.drop(), 1006],
      [(connection) => connection.close(1001, "Going away"), 1001],
    ])) {
      const { socket, connection } = await open(gateway);
      const closed = new Promise((resolve) => (socket.onclose = (event) => resolve(event.code)));
      end(connection);
      assert.equal(await closed, code);
      await until(() => connection.closed, "the end");
      assert.equal(connection.closeCode, code);
    }
  }));

test("what does not come is named", () =>
  on(async (gateway) => {
    await open(gateway);
    await assert.rejects(until(() => false, "the moon", 0.01), /^Error: the moon: this did not come within 0.01 s$/);
    await assert.rejects(gateway.connection(2, 0.01), /connection 2: .*; 1 came, 0 were refused$/);
  }));
