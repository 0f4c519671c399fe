// A message survives, step by step, in the playground: what a person would click, with a word on each step.

import { currentFeed } from "../feed.js";
import { add, all, changed, until } from "./players.js";

/** @typedef {import("./players.js").Player} Player */

const READ_SECONDS = 3;

export const STEPS = [
  { title: "Connect", text: "Ana opens the page. Her client connects, through a network link of its own." },
  { title: "Into the tunnel", text: "Her phone enters a tunnel. The connection is half-open: nobody is told, and both ends think that it is there." },
  { title: "Send", text: "A backend sends Ana a message that she has to acknowledge. It is posted into the silent connection, and lost there." },
  { title: "It waits", text: "No acknowledgement came in time. The run waits for Ana to come back; open it to see where it stands." },
  { title: "Out of the tunnel", text: "The network is back. The old connection breaks, and the client opens a new one by itself." },
  { title: "It arrives", text: "The reconnect wakes the run, which posts the message again; the client handles it, and acknowledges it." },
];

/** Where the story is: `step` is -1 before it begins; `over` is "" while it runs. */
export const story = { step: -1, over: "", problem: "", arn: "" };
let control = new AbortController();
/** @type {Player | undefined} */
let heroine;

/** Play it, with a client in a conversation of its own: nobody else is there to take the message. */
export async function startStory() {
  control.abort();
  const { signal } = (control = new AbortController());
  Object.assign(story, { step: 0, over: "", problem: "", arn: "" });
  changed();
  try {
    if (!heroine || !all().includes(heroine)) {
      heroine = add({ user: "ana", contextId: `story-${Date.now().toString(36)}` }, { first: true });
    }
    await play(heroine, signal);
    story.over = "done";
  } catch (error) {
    if (signal.aborted) return;
    story.over = "failed";
    story.problem = /** @type {Error} */ (error).message;
  }
  changed();
}

export function stopStory() {
  control.abort();
  Object.assign(story, { step: -1, over: "", problem: "", arn: "" });
  changed();
}

/** @param {Player} player @param {AbortSignal} signal */
async function play(player, signal) {
  const reach = async (/** @type {() => unknown} */ condition, /** @type {number} */ seconds, /** @type {string} */ otherwise) => {
    if (!(await until(condition, seconds, signal)) || signal.aborted) throw new Error(player.problem || otherwise);
  };
  const read = async () => {
    await until(() => false, READ_SECONDS, signal);
    if (signal.aborted) throw new Error("stopped");
  };
  const step = async (/** @type {number} */ number) => {
    await read();
    story.step = number;
    changed();
  };
  const run = () => currentFeed().runs.get(story.arn);

  player.setHandler("good");
  if (player.state !== "closed" && player.network.fault !== "none") await player.setFault("none");
  await player.connect();
  await reach(() => player.state === "open", 20, "The client could not connect.");

  await step(1);
  await player.setFault("halfOpen");
  await reach(() => player.network.fault === "halfOpen", 5, "The network could not be made half-open.");

  await step(2);
  const sent = await player.send("acknowledged", { ackTimeoutSeconds: 3, retry: { backoffBaseSeconds: 60, backoffCapSeconds: 60 } });
  story.arn = sent.answers[0]?.executionArn ?? "";
  changed();
  if (!story.arn) throw new Error(sent.error || "The message has no run.");
  await reach(() => run()?.waitingFor === "reconnect", 60, "The run did not come to wait for a reconnect.");

  await step(3);
  await read();

  await step(4);
  await player.setFault("none");
  await reach(() => player.state === "open" && player.network.fault === "none", 30, "The client did not come back.");
  await reach(() => player.entries.some((entry) => entry.message?.id === sent.ids[0] && entry.outcome === "handled"), 60, "The message did not arrive.");

  await step(5);
  await reach(() => run()?.status === "acknowledged", 30, "The run did not hear of the acknowledgement.");
}
