// Which runs the page forgets when there are too many.

/** @typedef {import("./feed.js").Run} Run */

/**
 * Forget as many as are too many: the ended ones first, the longest ago first of all, and only then what was heard of
 * first. The server does the same: a run that waits for days is what people look for.
 * @param {Map<string, Run>} runs
 * @param {number} most
 */
export function makeRoom(runs, most) {
  if (runs.size <= most) return;
  const ended = [...runs.values()].filter((run) => run.endedAt);
  ended.sort((one, other) => Date.parse(/** @type {string} */ (one.endedAt)) - Date.parse(/** @type {string} */ (other.endedAt)));
  for (const arn of [...ended.map((run) => run.arn), ...runs.keys()]) {
    if (runs.size <= most) return;
    runs.delete(arn);
  }
}
