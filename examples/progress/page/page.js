// A progress bar that survives a reload: it shows what it last knew, and Ringback tells the rest.

import { RingbackClient } from "./ringback.js";

/** @typedef {{ id: string, state: "running" | "finished" | "failed", done: number, of: number }} Job */

const CONNECTION = {
  connecting: "Connecting …",
  open: "Connected.",
  waiting: "Not connected; it tries again. Does make up still run?",
  closed: "Not connected.",
};

const [start, bar, said, connection] = /** @type {[HTMLButtonElement, HTMLProgressElement, HTMLElement, HTMLElement]} */ (
  ["start", "bar", "said", "connection"].map((id) => document.getElementById(id))
);
/** @type {RingbackClient | undefined} */
let client;
/** @type {string | undefined} */
let followed;

/** @returns {Job | null} what this browser last knew */
const known = () => JSON.parse(localStorage.getItem("job") ?? "null");

/** @param {Job} job */
function remember(job) {
  localStorage.setItem("job", JSON.stringify(job));
  show();
}

function show() {
  const job = known();
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

/** @param {string} path */
async function post(path) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" } });
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
    token: async () => (await post("/session")).token,
    onMessage: ({ payload }) => learn(id, payload),
    onState: ({ state }) => (connection.textContent = CONNECTION[state]),
    onError: console.warn,
  });
  client.connect();
}

start.onclick = async () => {
  start.disabled = true;
  try {
    remember(await post("/jobs"));
    follow();
  } finally {
    start.disabled = false;
  }
};

show(); // at once, before anything is asked
const { url } = await post("/session");
follow();
window.addEventListener("storage", () => (show(), follow())); // another tab has learnt something, or started a job
