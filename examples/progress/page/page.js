// A progress bar that survives a reload: it shows what it last knew, and Ringback tells the rest.

import { RingbackClient } from "./ringback.js";

/** @typedef {{ id: string, state: "running" | "finished" | "failed", done: number, of: number }} Job */

const CONNECTION = {
  connecting: "Connecting …",
  open: "Connected.",
  waiting: "Not connected; it tries again. Does make up still run?",
  closed: "Not connected.",
};

const [start, bar, said, hint, connection] = /** @type {[HTMLButtonElement, HTMLProgressElement, ...HTMLElement[]]} */ (
  ["start", "bar", "said", "hint", "connection"].map((id) => document.getElementById(id))
);
/** @type {RingbackClient | undefined} */
let client;
/** @type {string | undefined} */
let followed;
let isBusy = true; // until it is known what the server works at
/** @type {Set<string>} jobs that the server works at; one that it lost in a restart would never end */
let atWork = new Set();

/** @returns {Job | null} what this browser last knew */
const known = () => JSON.parse(localStorage.getItem("job") ?? "null");

/** @param {Job} job */
function remember(job) {
  localStorage.setItem("job", JSON.stringify(job));
  show();
}

function show() {
  const job = known();
  const isRunning = job?.state === "running" && atWork.has(job.id);
  start.disabled = isBusy || isRunning;
  hint.hidden = !isRunning;
  if (!job) return;
  const words = { running: "At work", finished: "Finished", failed: "Failed" };
  [bar.max, bar.value] = [job.of, job.done];
  said.textContent = `${words[job.state]}: ${job.done} of ${job.of} steps done.`;
}

/**
 * What comes late must not overwrite what is newer, and nothing overwrites an end.
 * @param {string} id
 * @param {Omit<Job, "id">} news
 */
function learn(id, news) {
  const job = known();
  if (job?.id !== id || job.state !== "running") return;
  if (news.state !== "running" || news.done > job.done) remember({ id, ...news });
}

/** @param {"GET" | "POST"} method @param {string} path */
async function ask(method, path) {
  const answer = await fetch(path, { method });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
}

/** Listen to the job; after its end, too, until the end is acknowledged. */
function follow() {
  const id = known()?.id;
  if (!id || id === followed) return;
  followed = id;
  client?.close();
  client = new RingbackClient({
    url,
    context: "job",
    contextId: id,
    token: async () => (await ask("POST", "/token")).token,
    onMessage: ({ payload }) => learn(id, payload),
    onState: ({ state }) => (connection.textContent = CONNECTION[state]),
    onError: console.warn,
  });
  client.connect();
}

start.onclick = async () => {
  isBusy = true;
  show();
  try {
    const job = await ask("POST", "/jobs");
    atWork.add(job.id);
    remember(job);
    follow();
  } finally {
    isBusy = false;
    show();
  }
};

show(); // at once, before anything is asked
const { url, jobs } = await ask("GET", "/jobs");
[atWork, isBusy] = [new Set(jobs), false];
show();
follow();
// Another tab has learnt something, or started a job.
window.addEventListener("storage", () => {
  const job = known();
  if (job && job.id !== followed) atWork.add(job.id);
  show();
  follow();
});
