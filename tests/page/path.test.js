// The path that the console's graph shows, read from histories.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { condition, layOut } from "../../local/console/page/views/layout.js";
import { edgeKey, endOf, readPath, startOf, statesOf } from "../../local/console/page/views/path.js";

const definition = (name) => JSON.parse(readFileSync(new URL(`../../statemachines/${name}.asl.json`, import.meta.url), "utf8"));
const DELIVERY = definition("delivery");
const FAN_OUT = definition("fan_out");
const CHAT_SESSION = definition("chat_session");

/** A history: the emulator's, without `previousEventId`, unless `chained`. */
function history(events, { chained = false } = {}) {
  const made = [];
  for (const [type, details = {}, previous] of events) {
    const id = made.length + 1;
    const time = new Date(Date.UTC(2030, 0, 31, 12) + id * 1000).toISOString();
    const known = chained ? { previousEventId: previous ?? id - 1 } : {};
    made.push({ id, type, timestamp: time, [`x${type}EventDetails`]: details, ...known });
  }
  return made;
}
const entered = (name, type = "Task") => [`${type}StateEntered`, { name }];
const exited = (name, type = "Task") => [`${type}StateExited`, { name }];
const failed = (error, cause) => ["TaskFailed", { error, cause }];
const NOBODY = [["ExecutionStarted"], entered("Resolve Connections"), ["TaskScheduled"], failed("NoOpenConnection", '{"errorMessage": "Ana is not there"}'), exited("Resolve Connections"), entered("Wait For Reconnect"), ["TaskScheduled"]];
const ONLINE = [
  ["ExecutionStarted"], entered("Resolve Connections"), ["TaskScheduled"], ["TaskSucceeded"], exited("Resolve Connections"),
  entered("Acknowledgement Wanted?", "Choice"), exited("Acknowledgement Wanted?", "Choice"),
  entered("Post To Connections"), ["TaskScheduled"], ["TaskSucceeded"], exited("Post To Connections"), ["ExecutionSucceeded"],
];

test("a delivered message went straight from the start to the end", () => {
  const path = readPath(history(ONLINE), DELIVERY);
  assert.deepEqual([...path.taken.keys()], [
    edgeKey(startOf(""), "Resolve Connections"),
    edgeKey("Resolve Connections", "Acknowledgement Wanted?"),
    edgeKey("Acknowledgement Wanted?", "Post To Connections"),
    edgeKey("Post To Connections", endOf("")),
  ]);
  assert.ok(path.visits.every((visit) => !visit.caught && !visit.now));
  assert.equal(path.after[0].type, "ExecutionSucceeded");
});

test("a run that waits is in its last state, and came there by the error that was caught", () => {
  const path = readPath(history(NOBODY), DELIVERY);
  assert.deepEqual(path.visits.map((visit) => [visit.name, visit.caught, visit.now]), [["Resolve Connections", true, false], ["Wait For Reconnect", false, true]]);
  assert.equal(path.visits[0].cause, "Ana is not there");
  const edge = edgeKey("Resolve Connections", "Wait For Reconnect", true);
  assert.equal(path.taken.get(edge), 1);
  assert.deepEqual(path.errors.get(edge), ["NoOpenConnection"]);
});

test("what a retry made good was not caught", () => {
  const retried = [...ONLINE];
  retried.splice(3, 0, failed("Lambda.TooManyRequestsException"), ["TaskScheduled"]);
  const [resolve] = readPath(history(retried), DELIVERY).visits;
  assert.deepEqual([resolve.tries, resolve.error, resolve.caught], [2, "Lambda.TooManyRequestsException", false]);
});

test("a cancelled run is nowhere any more", () => {
  const path = readPath(history([...NOBODY, ["ExecutionAborted", { error: "Cancelled" }]]), DELIVERY);
  assert.ok(path.visits.every((visit) => !visit.now));
});

test("what did not change is the same object after the next reading", () => {
  const first = readPath(history(NOBODY), DELIVERY);
  const next = readPath(history([...NOBODY, ["TaskSubmitted"]]), DELIVERY, first);
  assert.equal(next.visits[0], first.visits[0]);
  assert.notEqual(next.visits[1], first.visits[1]);
});

test("iterations of a Map that run at the same time are told apart by the event before", () => {
  const events = history([
    ["ExecutionStarted", {}, 0], [...entered("Post To Each Part", "Map"), 1],
    ["MapIterationStarted", { name: "Post To Each Part", index: 0 }, 2], ["MapIterationStarted", { name: "Post To Each Part", index: 1 }, 2],
    [...entered("Post To Audience"), 3], [...entered("Post To Audience"), 4],
    [...failed("InvalidMessage"), 5], ["TaskSucceeded", {}, 6],
    [...exited("Post To Audience"), 8], [...exited("Post To Audience"), 7],
    [...entered("Count The Rest As Failed", "Pass"), 10], [...entered("Is Anybody Owed It?", "Choice"), 9],
  ], { chained: true });
  const path = readPath(events, FAN_OUT);
  assert.equal(path.taken.get(edgeKey(startOf("Post To Each Part"), "Post To Audience")), 2);
  assert.equal(path.taken.get(edgeKey("Post To Audience", "Count The Rest As Failed", true)), 1);
  assert.equal(path.taken.get(edgeKey("Post To Audience", "Is Anybody Owed It?")), 1);
});

for (const [name, machine] of Object.entries({ DELIVERY, FAN_OUT, CHAT_SESSION })) {
  test(`the graph of ${name} has every state and every transition, apart and in view`, () => {
    const layout = layOut(machine);
    const states = statesOf(machine);
    const drawn = [...layout.nodes, ...layout.groups].map((one) => one.name);
    for (const state of states.keys()) assert.ok(drawn.includes(state), state);
    for (const [from, { state }] of states) {
      for (const to of [state.Next, state.Default, ...(state.Choices ?? []).map((way) => way.Next)].filter(Boolean)) assert.ok(layout.edges.some((edge) => edge.key === edgeKey(from, to)), `${from} → ${to}`);
      for (const { Next } of state.Catch ?? []) assert.ok(layout.edges.some((edge) => edge.key === edgeKey(from, Next, true)), `${from} ⇢ ${Next}`);
    }
    for (const { x, y, width, height } of layout.nodes) assert.ok(x - width / 2 >= 0 && x + width / 2 <= layout.width && y + height / 2 <= layout.height);
    for (const { points } of layout.edges) for (const { x } of points) assert.ok(x >= 0 && x <= layout.width);
    for (const [index, one] of layout.nodes.entries()) {
      for (const other of layout.nodes.slice(index + 1)) assert.ok(Math.abs(one.x - other.x) >= (one.width + other.width) / 2 || Math.abs(one.y - other.y) >= (one.height + other.height) / 2, `${one.name}, ${other.name}`);
    }
  });
}

test("a condition is told in a few characters", () => {
  assert.equal(condition({ Condition: "{% $states.context.Execution.Input.ack = 'client' %}" }), "ack = 'client'");
  assert.equal(condition({ Condition: "{% $exists($states.input.acknowledgement) %}" }), "acknowledgement?");
  assert.equal(condition({ Condition: "{% $states.input.fanOut.durable = true and $states.input.part.size > 0 %}" }), "fanOut.durable …");
});
