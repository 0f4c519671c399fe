// Which runs the console's page forgets.

import assert from "node:assert/strict";
import { test } from "node:test";

import { makeRoom } from "../../local/console/page/room.js";

const runs = (...all) => new Map(all.map(([arn, endedAt]) => [arn, { arn, ...(endedAt ? { endedAt } : {}) }]));
const after = (map, most) => {
  makeRoom(map, most);
  return [...map.keys()];
};

test("what ended longest ago makes room first, and one that waits stays", () => {
  const known = runs(["waits"], ["late", "2030-01-31T12:00:09.500Z"], ["early", "2030-01-31T12:00:09Z"], ["new"]);
  assert.deepEqual(after(known, 4), ["waits", "late", "early", "new"]);
  assert.deepEqual(after(known, 3), ["waits", "late", "new"]);
  assert.deepEqual(after(known, 2), ["waits", "new"]);
});

test("of those that are under way, the one that was heard of first goes", () => {
  assert.deepEqual(after(runs(["one"], ["ended", "2030-01-31T12:00:00Z"], ["two"], ["three"]), 2), ["two", "three"]);
});
