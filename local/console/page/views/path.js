// The path a run took, read from its history: which states it visited, what happened in each, which way it went on.
// Nothing here knows the page.

/**
 * @typedef {Record<string, any> & {id: number, type: string, timestamp: string, previousEventId?: number}} HistoryEvent
 *
 * @typedef {object} Visit One stay in a state.
 * @property {number} number from 1
 * @property {string} name
 * @property {string} type of the state: Task, Choice, …
 * @property {number} depth 0, or more inside a Map
 * @property {string} enteredAt
 * @property {string} [exitedAt]
 * @property {HistoryEvent[]} events
 * @property {number} tries how often its task was begun
 * @property {string} [error] what made it fail; a retry may have followed
 * @property {string} [cause]
 * @property {boolean} caught whether it was left by a Catch
 * @property {boolean} now whether the run is in it
 *
 * @typedef {object} Path
 * @property {HistoryEvent[]} before events before the first state
 * @property {Visit[]} visits in order of entry
 * @property {HistoryEvent[]} after events after the last one: how it ended
 * @property {Map<string, number>} taken how often each edge was taken, by `edgeKey`
 * @property {Map<string, string[]>} errors what was caught on the way along an edge, by `edgeKey`
 */

const START = "[start]";
const END = "[end]";

/** The point where a level begins; a level is the name of a Map state, or "" for the machine. @param {string} level */
export const startOf = (level) => START + level;
/** @param {string} level */
export const endOf = (level) => END + level;

/** @param {string} from @param {string} to @param {boolean} [caught] */
export const edgeKey = (from, to, caught = false) => `${from}${caught ? " ⇢ " : " → "}${to}`;

/** The machine inside a Map state, or nothing. @param {any} state */
export const inside = (state) => state.ItemProcessor ?? state.Iterator;

/**
 * All states by name, with the level that they are on. Names are unique in a whole machine.
 * @param {any} definition
 * @returns {Map<string, {state: any, level: string, depth: number}>}
 */
export function statesOf(definition) {
  /** @type {Map<string, {state: any, level: string, depth: number}>} */
  const found = new Map();
  const walk = (/** @type {any} */ machine, /** @type {string} */ level, /** @type {number} */ depth) => {
    for (const [name, state] of Object.entries(/** @type {Record<string, any>} */ (machine.States))) {
      found.set(name, { state, level, depth });
      const inner = inside(state);
      if (inner) walk(inner, name, depth + 1);
    }
  };
  walk(definition, "", 0);
  return found;
}

/** What an event says beside its type, id and time. @param {HistoryEvent} event @returns {Record<string, any>} */
export function detailsOf(event) {
  for (const [name, value] of Object.entries(event)) if (name.endsWith("EventDetails") && value && typeof value === "object") return value;
  return {};
}

/** The text inside a cause that a function's error wrote as JSON. @param {string | undefined} cause */
export function readableCause(cause) {
  try {
    return JSON.parse(cause ?? "").errorMessage ?? cause;
  } catch {
    return cause;
  }
}

/**
 * Read a history.
 * @param {HistoryEvent[]} events
 * @param {any} definition
 * @param {Path} [last] what was read of the same run before: what has not changed since stays the same object
 * @returns {Path}
 */
export function readPath(events, definition, last) {
  const states = statesOf(definition);
  /** @type {Path} */
  const path = { before: [], visits: [], after: [], taken: new Map(), errors: new Map() };
  /** @type {Map<number, Visit>} */
  const byEvent = new Map();
  /** @type {Set<Visit>} */
  const open = new Set();
  /** @type {Visit[]} exited, and not yet gone on from */
  const left = [];
  let ended = false;
  const take = (/** @type {string} */ key) => path.taken.set(key, (path.taken.get(key) ?? 0) + 1);

  for (const event of events) {
    const details = detailsOf(event);
    const previous = byEvent.get(event.previousEventId ?? 0);
    if (event.type.endsWith("StateEntered")) {
      const name = String(details.name);
      const known = states.get(name);
      const visit = /** @type {Visit} */ ({
        number: path.visits.length + 1, name, type: event.type.replace("StateEntered", ""), depth: known?.depth ?? 0,
        enteredAt: event.timestamp, events: [event], tries: 0, caught: false, now: true,
      });
      path.visits.push(visit);
      open.add(visit);
      byEvent.set(event.id, visit);
      goOn(previous, visit);
    } else if (event.type.startsWith("Execution")) {
      (path.visits.length ? path.after : path.before).push(event);
      ended ||= event.type !== "ExecutionStarted" && event.type !== "ExecutionRedriven";
    } else {
      const visit = details.name && event.type.endsWith("StateExited") ? newest(open, (one) => one.name === details.name, previous) : newest(open, () => true, previous);
      if (!visit) {
        path.before.push(event);
        continue;
      }
      visit.events.push(event);
      byEvent.set(event.id, visit);
      if (event.type.endsWith("Scheduled")) visit.tries += 1;
      if (/(Failed|TimedOut)$/.test(event.type) && !event.type.startsWith("MapIteration")) {
        visit.error = details.error ?? event.type;
        visit.cause = readableCause(details.cause);
      }
      if (event.type.endsWith("StateExited")) {
        visit.exitedAt = event.timestamp;
        visit.now = false;
        // A failure that a retry made good has a success after it.
        visit.caught = /(Failed|TimedOut)$/.test(visit.events[visit.events.length - 2].type);
        open.delete(visit);
        left.push(visit);
        const state = states.get(visit.name);
        if (state && !visit.caught && (state.state.End || state.state.Type === "Succeed")) take(edgeKey(visit.name, endOf(state.level)));
      }
    }
  }
  if (ended) for (const visit of open) visit.now = false;
  if (last) path.visits = path.visits.map((visit, index) => (same(visit, last.visits[index]) ? last.visits[index] : visit));
  return path;

  /** @param {Visit | undefined} previous @param {Visit} visit */
  function goOn(previous, visit) {
    const level = states.get(visit.name)?.level ?? "";
    const from = previous && previous.exitedAt ? previous : [...left].reverse().find((one) => leadsTo(states.get(one.name), visit.name, level));
    if (!from || (states.get(from.name)?.level ?? "") !== level) {
      take(edgeKey(startOf(level), visit.name));
      return;
    }
    left.splice(left.indexOf(from), 1);
    const key = edgeKey(from.name, visit.name, from.caught);
    take(key);
    if (from.caught && from.error) path.errors.set(key, [...new Set([...(path.errors.get(key) ?? []), from.error])]);
  }
}

/** @param {{state: any, level: string} | undefined} from @param {string} to @param {string} level */
function leadsTo(from, to, level) {
  if (!from || from.level !== level) return false;
  const { Next, Default, Choices = [], Catch = [] } = from.state;
  return Next === to || Default === to || [...Choices, ...Catch].some((way) => way.Next === to);
}

/** @param {Set<Visit>} open @param {(visit: Visit) => boolean} fits @param {Visit | undefined} previous */
function newest(open, fits, previous) {
  if (previous && open.has(previous) && fits(previous)) return previous;
  return [...open].reverse().find(fits);
}

/** @param {Visit} one @param {Visit | undefined} other */
const same = (one, other) =>
  other !== undefined && one.name === other.name && one.events.length === other.events.length && one.now === other.now && one.enteredAt === other.enteredAt;
