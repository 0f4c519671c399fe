// Many real clients in one process. Orders come as JSON lines on stdin, what happens goes as JSON lines to stdout.
//
//   node swarm.mjs CLIENT_MODULE
//   {"do": "make", "client", "url", "token", "context", "contextId", "options", "whole"}
//   {"do": "connect" | "close" | "replace", "client"}
//
// `whole`: what is told of a message has its type and payload, too.
// `replace` is what an application does that finds its connection dead: it drops it and opens another.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { RingbackClient } = await import(pathToFileURL(process.argv[2]).href);

const clients = new Map();

function tell(event, client, more) {
  process.stdout.write(`${JSON.stringify({ event, client, at: Date.now() / 1000, ...more })}\n`);
}

function make({ client: name, url, token, context, contextId, options, whole }) {
  const client = new RingbackClient({
    url,
    context,
    contextId,
    token: () => token,
    storage: null,
    onMessage: ({ id, type, payload, sequence, ordered, late, attempt }) => {
      const more = whole ? { type, payload } : {};
      tell("message", name, { id, payloadOf: payload?.id ?? null, sequence, ordered, late, attempt, ...more });
    },
    onState: ({ state, error }) => {
      tell("state", name, { state });
      if (error?.code === "evicted") client.connect(); // the person comes back
    },
    onGap: (gap) => tell("gap", name, gap),
    onError: ({ code, message }) => tell("error", name, { code, text: message }),
    ...options,
  });
  clients.set(name, client);
}

const ORDERS = {
  make,
  connect: ({ client }) => clients.get(client).connect(),
  close: ({ client }) => clients.get(client).close(),
  replace: ({ client }) => {
    clients.get(client).close();
    clients.get(client).connect();
  },
};

tell("ready", "");
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  ORDERS[order.do](order);
}
process.exit(0);
