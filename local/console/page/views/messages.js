/**
 * What can be written in a form, and what becomes of it: a message in its JSON form, a command, a request. Nothing here
 * knows of the page, so that it can be tested without one.
 *
 * A draft is what stands in the form: all of it text or true/false, also what its way in has no use for, so that
 * nothing is lost when somebody changes their mind about the way.
 */

/**
 * @typedef {Record<string, any>} Draft
 * @typedef {Record<string, any>} Json
 */

const ENVELOPE = [
  "user", "context", "contextId", "id", "type", "payload", "nowOrNever", "ack", "ackTimeoutSeconds", "ordered", "track",
  "ttlSeconds", "maxAttempts", "backoffBaseSeconds", "backoffCapSeconds", "correlationId", "sequence", "isFinal", "burst",
];
/**
 * The ways in, in the order in which they are offered. `fields` are what a message can have there.
 * @type {Record<string, {name: string, hint: string, fields: string[]}>}
 */
export const WAYS = {
  accept: {
    name: "Accept call",
    hint: "A direct call of the Accept function, as the Python package and the command make it. Answers what became of the message.",
    fields: ENVELOPE,
  },
  http: { name: "HTTP API", hint: "POST /messages. Answers as the call does.", fields: ENVELOPE },
  topic: {
    name: "SNS topic",
    hint: "Fire and forget: the answer says only that the topic has it.",
    fields: ENVELOPE,
  },
  bus: {
    name: "EventBridge bus",
    hint: "Fire and forget: the answer says only that the bus has it.",
    fields: ENVELOPE,
  },
  run: {
    name: "StartExecution",
    hint: "Starts a run of the delivery machine: one run for one message, in any case.",
    fields: ENVELOPE.filter((field) => field !== "track" && field !== "nowOrNever"),
  },
  fanOut: {
    name: "Fan-out",
    hint: "One message to a list of people, or to everybody who is in a conversation.",
    fields: [
      "audience", "users", "context", "contextId", "exclude", "where", "durable", "id", "type", "payload", "ttlSeconds",
      "maxAttempts", "backoffBaseSeconds", "backoffCapSeconds", "correlationId",
    ],
  },
  postOnce: {
    name: "One connection",
    hint: "One post to one connection, now or never: no waiting, no run.",
    fields: ["connectionId", "id", "type", "payload", "correlationId", "sequence", "isFinal", "burst"],
  },
};

export const MAX_BURST = 100;
const RETRY = ["maxAttempts", "backoffBaseSeconds", "backoffCapSeconds"];
/** What a message that does not wait has no use for. */
const FOR_WHAT_WAITS = ["ack", "ackTimeoutSeconds", "ordered", "track", ...RETRY];
/** Whole numbers: the least, and the most, that the envelope allows. @type {Record<string, [number, number]>} */
const NUMBERS = {
  ackTimeoutSeconds: [1, 3600],
  ttlSeconds: [1, 604_800],
  maxAttempts: [1, 270],
  backoffBaseSeconds: [1, 3600],
  backoffCapSeconds: [1, 86_400],
  sequence: [0, Number.MAX_SAFE_INTEGER],
  burst: [1, MAX_BURST],
};
/** @type {Record<string, number>} */
const LENGTHS = { user: 255, context: 64, contextId: 128, id: 128, type: 128, correlationId: 128 };
const REQUIRED = ["user", "context", "contextId", "connectionId", "users", "payload"];
const PRINTABLE = /^[!-"$-~]+$/;

/** @returns {Draft} A draft that can be sent as it is. */
export function emptyDraft() {
  return {
    way: "accept", user: "ana", context: "chat", contextId: "42", connectionId: "", audience: "users", users: "ana, bob",
    exclude: "", where: "", durable: false, id: "", type: "", payload: '{"text": "Hello"}', nowOrNever: false, ack: "none",
    ackTimeoutSeconds: "", ordered: false, track: false, ttlSeconds: "", maxAttempts: "", backoffBaseSeconds: "",
    backoffCapSeconds: "", correlationId: "", sequence: "", isFinal: false, burst: "1",
  };
}

/**
 * Whether the form shows a field: its way in has it, and no other choice rules it out.
 * @param {Draft} draft @param {string} field @returns {boolean}
 */
export function has(draft, field) {
  const { fields } = WAYS[draft.way];
  if (!fields.includes(field)) return false;
  if (FOR_WHAT_WAITS.includes(field) && fields.includes("nowOrNever") && draft.nowOrNever) return false;
  if (field === "ackTimeoutSeconds") return draft.ack === "client";
  if (field === "sequence") return !(draft.ordered && has(draft, "ordered"));
  if (field === "users") return draft.audience === "users";
  if (RETRY.includes(field)) return draft.way !== "fanOut" || draft.durable;
  return true;
}

/**
 * Read a draft.
 *
 * @param {Draft} draft
 * @returns {{messages: Json[], problems: Record<string, string>}} The messages, one or a numbered burst, as the way in
 *   takes them; and what is wrong, by field. With problems, the messages are what could be read.
 */
export function read(draft) {
  const problems = check(draft);
  const payload = "payload" in problems ? null : JSON.parse(draft.payload);
  const burst = has(draft, "burst") && !problems.burst ? Number(draft.burst) : 1;
  const build = draft.way === "fanOut" ? fanOut : draft.way === "postOnce" ? postOnce : envelope;
  const messages = Array.from({ length: burst }, (_, index) => {
    const number = burst > 1 ? index + 1 : null;
    return build(draft, numbered(payload, number), idOf(draft, number));
  });
  return { messages, problems };
}

/** What is wrong with a draft, by field. @param {Draft} draft */
function check(draft) {
  /** @type {Record<string, string>} */
  const problems = {};
  const text = (/** @type {string} */ field) => String(draft[field]).trim();
  for (const field of WAYS[draft.way].fields) {
    if (!has(draft, field)) continue;
    if (REQUIRED.includes(field) && !text(field)) {
      problems[field] = field === "connectionId" ? "Choose an open connection." : "This is needed.";
    } else if (field in LENGTHS && text(field).length > LENGTHS[field]) {
      problems[field] = `At most ${LENGTHS[field]} characters.`;
    } else if (["user", "context", "contextId", "id"].includes(field) && text(field) && !PRINTABLE.test(text(field))) {
      problems[field] = "Printable ASCII only, without spaces and #.";
    } else if (field in NUMBERS && text(field) !== "") {
      const [least, most] = NUMBERS[field];
      const value = /^\d+$/.test(text(field)) ? Number(text(field)) : NaN;
      if (!(value >= least && value <= most)) problems[field] = `A whole number from ${least} to ${most}.`;
    } else if (field === "burst") {
      problems.burst = `A whole number from 1 to ${MAX_BURST}.`;
    }
  }
  if (!problems.payload) {
    const problem = jsonProblem(draft.payload);
    if (problem) problems.payload = `Line ${problem.line}, column ${problem.column}: ${problem.text}`;
  }
  if (has(draft, "where")) {
    const wrong = list(draft.where).find((pair) => !/^[^=]+=.+$/.test(pair));
    if (wrong) problems.where = `Write name=value, for example plan=gold; “${wrong}” is not.`;
  }
  const [base, cap] = [draft.backoffBaseSeconds, draft.backoffCapSeconds];
  if (has(draft, "backoffCapSeconds") && base && cap && Number(cap) < Number(base)) {
    problems.backoffCapSeconds ??= "No lower than the first wait.";
  }
  return problems;
}

/** @param {Draft} draft @param {unknown} payload @param {string} id @returns {Json} */
function envelope(draft, payload, id) {
  const given = (/** @type {string} */ field) => has(draft, field) && String(draft[field]).trim() !== "";
  /** @type {Json} */
  const message = {
    ...(id ? { id } : {}),
    recipient: { user: draft.user.trim(), context: draft.context.trim(), contextId: draft.contextId.trim() },
    ...(draft.type.trim() ? { type: draft.type.trim() } : {}),
    payload,
  };
  if (has(draft, "ack") && draft.ack === "client") message.ack = "client";
  for (const field of ["ackTimeoutSeconds", "ttlSeconds", "sequence"]) {
    if (given(field)) message[field] = Number(draft[field]);
  }
  for (const field of ["ordered", "track", "isFinal"]) {
    if (has(draft, field) && draft[field]) message[field] = true;
  }
  if (has(draft, "nowOrNever") && draft.nowOrNever) message.durable = false;
  if (given("correlationId")) message.correlationId = draft.correlationId.trim();
  const retry = has(draft, "maxAttempts") && retryOf(draft);
  if (retry) message.retry = retry;
  return message;
}

/** @param {Draft} draft @param {unknown} payload @param {string} id @returns {Json} */
function postOnce(draft, payload, id) {
  return { ...envelope(draft, payload, id), recipient: { connectionId: draft.connectionId } };
}

/** @param {Draft} draft @param {unknown} payload @param {string} id @returns {Json} */
function fanOut(draft, payload, id) {
  const place = { context: draft.context.trim(), contextId: draft.contextId.trim() };
  /** @type {Json} */
  const message = { ...(draft.type.trim() ? { type: draft.type.trim() } : {}), payload };
  if (draft.ttlSeconds) message.ttlSeconds = Number(draft.ttlSeconds);
  if (draft.correlationId.trim()) message.correlationId = draft.correlationId.trim();
  const retry = has(draft, "maxAttempts") && retryOf(draft);
  if (retry) message.retry = retry;
  /** @type {Record<string, string[]>} */
  const where = {};
  for (const pair of list(draft.where)) {
    const [name, ...value] = pair.split("=");
    (where[name.trim()] ??= []).push(value.join("=").trim());
  }
  return {
    ...(id ? { id } : {}),
    message,
    audience: draft.audience === "users" ? { users: list(draft.users), ...place } : { conversation: place },
    ...(list(draft.exclude).length ? { exclude: list(draft.exclude) } : {}),
    ...(Object.keys(where).length ? { where } : {}),
    ...(draft.durable ? { durable: true } : {}),
  };
}

/** @param {Draft} draft */
function retryOf(draft) {
  const given = RETRY.filter((field) => String(draft[field]).trim() !== "");
  return given.length ? Object.fromEntries(given.map((field) => [field, Number(draft[field])])) : null;
}

/** @param {string} text */
const list = (text) => text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean);

/** The id of one message of a burst; every message needs one of its own. @param {Draft} draft @param {number | null} number */
function idOf(draft, number) {
  const id = draft.id.trim();
  return id && number ? `${id}-${number}` : id;
}

/**
 * A payload that says which of a burst it is: a field of an object, the end of a text; anything else stays as it is.
 * @param {unknown} payload @param {number | null} number
 */
function numbered(payload, number) {
  if (!number) return payload;
  if (typeof payload === "string") return `${payload} ${number}`;
  return payload && typeof payload === "object" && !Array.isArray(payload) ? { ...payload, number } : payload;
}

/**
 * Put what the server says about a message to the fields that it names.
 *
 * @param {string} text As the envelope's models write it: `recipient.user: is missing; ttlSeconds: …`.
 * @param {Draft} draft
 * @returns {{problems: Record<string, string>, rest: string}} `rest` is what belongs to no field that is shown.
 */
export function placeError(text, draft) {
  /** @type {Record<string, string>} */
  const problems = {};
  const rest = [];
  for (const part of text.split("; ")) {
    const [, path, problem] = /^([A-Za-z]+(?:\.[A-Za-z0-9]+)*): (.+)$/s.exec(part) ?? [];
    const field = path?.split(".").findLast((name) => !/^\d+$/.test(name));
    if (field && has(draft, field)) problems[field] = problem;
    else rest.push(part);
  }
  return { problems, rest: rest.join("; ") };
}

/** A word of a shell command. @param {string} text */
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
/** @param {string[]} parts */
const lines = (...parts) => parts.filter(Boolean).join(" \\\n  ");

/**
 * The same by the command. It always calls Accept, so it can send what is an envelope.
 *
 * @param {string} way @param {Json[]} messages
 * @returns {string | null} Null for what is no envelope.
 */
export function asCommand(way, messages) {
  if (way === "fanOut" || way === "postOnce") return null;
  const command = ".venv/bin/ringback send --local";
  if (messages.length > 1) {
    return `${command} --file - <<'END'\n${messages.map((message) => JSON.stringify(message)).join("\n")}\nEND`;
  }
  const { recipient, payload, retry = {}, ...rest } = messages[0];
  if ("sequence" in rest || "isFinal" in rest) {
    return lines(command, option("json-envelope", JSON.stringify(messages[0])));
  }
  const places = [option("user", recipient.user), option("context", recipient.context), option("context-id", recipient.contextId)];
  const parts = Object.entries({ ...rest, ...retry }).map(([name, value]) => {
    if (name === "durable") return "--not-durable"; // true is not written
    const written = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return value === true ? `--${written}` : option(written, String(value));
  });
  return lines(
    command,
    places.join(" "),
    typeof payload === "string" ? option("text", payload) : option("payload", JSON.stringify(payload)),
    parts.join(" "),
  );
}

/** A value that looks like an option has to hang on its own. @param {string} name @param {string} value */
const option = (name, value) => `--${name}${value.startsWith("-") ? "=" : " "}${quoted(value)}`;

/**
 * The same as a request to the HTTP API.
 *
 * @param {string} way @param {Json[]} messages @param {string} httpApiUrl
 * @returns {string | null} Null for what the API does not take.
 */
export function asCurl(way, messages, httpApiUrl) {
  if (way === "postOnce") return null;
  const path = way === "fanOut" ? "/messages/fan-out" : "/messages";
  return lines(
    `curl -sS ${quoted(`${httpApiUrl}${path}`)}`,
    '-H "Authorization: Bearer $(.venv/bin/python -m local token --backend)"',
    "-H 'Content-Type: application/json'",
    `-d ${quoted(JSON.stringify(messages.length > 1 ? { messages } : messages[0]))}`,
  );
}

/** The same as a start of the machine. @param {Json[]} messages @param {string} machineArn @param {string} endpoint */
export function asStart(messages, machineArn, endpoint) {
  const one = (/** @type {Json} */ message) =>
    lines(
      "AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local",
      `aws stepfunctions start-execution --region us-east-1 --endpoint-url ${quoted(endpoint)}`,
      `--state-machine-arn ${quoted(machineArn)}`,
      /^[\w-]{1,80}$/.test(message.id ?? "") ? `--name ${quoted(message.id)}` : "",
      `--input ${quoted(JSON.stringify(message))}`,
    );
  return messages.map(one).join("\n");
}

/**
 * Find the first place that is no JSON. Browsers do not all say where it is, and none says it for every mistake.
 *
 * @param {string} text
 * @returns {{line: number, column: number, text: string} | null} Counted from 1; null if it is JSON.
 */
export function jsonProblem(text) {
  try {
    JSON.parse(text);
    return null;
  } catch {
    // Said below.
  }
  const { at, what } = firstMistake(text);
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before[before.length - 1].length + 1, text: what };
}

/** Where a text that is no JSON stops to be it. */
class Mistake extends Error {
  /** @param {number} at @param {string} what */
  constructor(at, what) {
    super(what);
    this.at = at;
    this.what = what;
  }
}

/** @param {string} text @returns {{at: number, what: string}} */
function firstMistake(text) {
  let at = 0;
  /** @param {string} what @returns {never} */
  const fail = (what) => {
    throw new Mistake(at, what);
  };
  /** @param {RegExp} pattern */
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const skip = () => take(/[ \t\n\r]*/y);
  const string = () => {
    const start = at;
    if (take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y)) return;
    take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y);
    if (text[at] === "\\") fail("this escape does not exist; write \\\\ for a backslash");
    const open = at >= text.length || text[at] === "\n" || text[at] === "\r";
    if (open) at = start;
    fail(open ? 'this text has no closing "' : "write \\t for a tab, \\u00XX for other control characters");
  };
  /** @param {"]" | "}"} close @param {() => void} member */
  const members = (close, member) => {
    at += 1;
    skip();
    if (text[at] === close) return void (at += 1);
    for (;;) {
      member();
      skip();
      if (text[at] === close) return void (at += 1);
      if (!take(/,/y)) fail(at >= text.length ? `a closing ${close} is missing` : `a comma or ${close} is missing here`);
      skip();
      if (text[at] === close) fail("there is a comma too many before this");
    }
  };
  const value = () => {
    skip();
    const next = text[at];
    if (next === "{") {
      members("}", () => {
        if (text[at] !== '"') fail(at >= text.length ? "a closing } is missing" : 'a name in double quotes ("…") is expected');
        string();
        skip();
        if (!take(/:/y)) fail("a colon is missing after the name");
        value();
      });
    } else if (next === "[") members("]", value);
    else if (next === '"') string();
    else if (!take(/(?:true|false|null)\b|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y)) {
      fail(next === undefined ? "a value is missing" : /[a-zA-Z']/.test(next) ? 'text needs double quotes ("…")' : "this is no JSON value");
    }
  };
  try {
    value();
    skip();
    return { at, what: "there is something after the end of the value" };
  } catch (mistake) {
    if (mistake instanceof Mistake) return mistake;
    throw mistake;
  }
}
