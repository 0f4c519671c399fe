// What the console's page makes of drafts: a question a line on standard input, an answer a line, as JSON.

import { createInterface } from "node:readline";
import { asCommand, asCurl, emptyDraft, jsonProblem, placeError, read, WAYS } from "../../local/console/page/views/messages.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { drafts = [], texts = [], errors = [] } = JSON.parse(line);
  const composed = drafts.map((given) => {
    const draft = { ...emptyDraft(), ...given };
    const { messages, problems } = read(draft);
    const command = asCommand(draft.way, messages);
    return { messages, problems, command, curl: asCurl(draft.way, messages, "http://127.0.0.1/api") };
  });
  const placed = errors.map(([error, given]) => placeError(error, { ...emptyDraft(), ...given }));
  console.log(JSON.stringify({ composed, placed, found: texts.map(jsonProblem), ways: Object.keys(WAYS) }));
}
