// Where the states of a machine stand, and the ways between them: a definition in, coordinates out.

import { Graph, layout } from "@dagrejs/dagre";
import { edgeKey, endOf, inside, startOf } from "./path.js";

/**
 * @typedef {{x: number, y: number}} Point
 * @typedef {{name: string, type: string, waits: boolean, x: number, y: number, width: number, height: number, lines: string[]}} Node x and y are its middle; type "start" and "end" are points
 * @typedef {{name: string, x: number, y: number, width: number, height: number}} Group a Map state with what is inside it
 * @typedef {{key: string, from: string, to: string, caught: boolean, points: Point[], label: string[], x: number, y: number}} Edge
 * @typedef {{width: number, height: number, nodes: Node[], groups: Group[], edges: Edge[]}} Layout
 */

const CHARACTER = 7.4;
const LABEL_CHARACTER = 6.1;
const LABEL_LINE = 13;
const HEIGHT = 50;
const GROUP_HEAD = 34;
const GROUP_PAD = 14;
const POINT = 14;

/** @param {string[]} label */
export const labelWidth = (label) => Math.max(0, ...label.map((line) => line.length)) * LABEL_CHARACTER + 8;

/** Lay out a machine, top down. @param {any} definition an ASL object @returns {Layout} */
export function layOut(definition) {
  return level(definition, "");
}

/**
 * One level. A Map is laid out by itself first, and is then one large node of its level: the layout has no edges to groups.
 * @param {any} machine
 * @param {string} name
 * @returns {Layout}
 */
function level(machine, name) {
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 34, ranksep: 34, edgesep: 18, marginx: 10, marginy: 8 });
  graph.setDefaultEdgeLabel(() => ({}));
  /** @type {Map<string, Layout>} */
  const inner = new Map();
  const states = /** @type {[string, any][]} */ (Object.entries(machine.States));

  graph.setNode(startOf(name), { width: POINT, height: POINT });
  if (states.some(([, state]) => state.End || state.Type === "Succeed")) graph.setNode(endOf(name), { width: POINT, height: POINT });
  for (const [one, state] of states) {
    const within = inside(state);
    if (within) {
      const laidOut = level(within, one);
      inner.set(one, laidOut);
      graph.setNode(one, { width: Math.max(laidOut.width, one.length * CHARACTER + 90) + 2 * GROUP_PAD, height: laidOut.height + GROUP_HEAD + GROUP_PAD });
    } else {
      graph.setNode(one, { width: Math.max(132, ...wrap(one).map((line) => line.length * CHARACTER + 34)), height: HEIGHT + (wrap(one).length - 1) * 16 });
    }
  }
  const ways = waysOf(machine, name);
  for (const way of ways) {
    const label = way.label.length
      ? { width: labelWidth(way.label), height: way.label.length * LABEL_LINE + 2, labelpos: "c" }
      : {};
    // The ordinary way is straight; what is caught goes around it.
    graph.setEdge(way.from, way.to, { ...label, weight: way.caught ? 1 : 12 }, way.key);
  }
  layout(graph);

  /** @type {Layout} */
  const made = { width: graph.graph().width ?? 0, height: graph.graph().height ?? 0, nodes: [], groups: [], edges: [] };
  for (const one of graph.nodes()) {
    const { x, y, width, height } = /** @type {any} */ (graph.node(one));
    const state = machine.States[one];
    const within = inner.get(one);
    if (within) {
      made.groups.push({ name: one, x: x - width / 2, y: y - height / 2, width, height });
      add(made, within, x - within.width / 2, y - height / 2 + GROUP_HEAD);
    } else if (state) {
      made.nodes.push({ name: one, type: state.Type, waits: state.Type === "Wait" || String(state.Resource).endsWith(".waitForTaskToken"), x, y, width, height, lines: wrap(one) });
    } else {
      made.nodes.push({ name: one, type: one === startOf(name) ? "start" : "end", waits: false, x, y, width, height, lines: [] });
    }
  }
  for (const way of ways) {
    const edge = /** @type {any} */ (graph.edge(way.from, way.to, way.key));
    made.edges.push({ ...way, points: edge.points, x: edge.x ?? 0, y: edge.y ?? 0 });
  }
  return inView(made);
}

/** The layout counts no bend of an edge into the graph's size: move and widen it until all is inside. @param {Layout} made @returns {Layout} */
function inView(made) {
  const half = (/** @type {Edge} */ edge) => labelWidth(edge.label) / 2 + 2;
  const lefts = made.edges.flatMap((edge) => [...edge.points.map((point) => point.x - 8), ...(edge.label.length ? [edge.x - half(edge)] : [])]);
  const rights = made.edges.flatMap((edge) => [...edge.points.map((point) => point.x + 8), ...(edge.label.length ? [edge.x + half(edge)] : [])]);
  const left = Math.min(0, ...lefts);
  const right = Math.max(made.width, ...rights);
  if (left === 0) return { ...made, width: right };
  /** @type {Layout} */
  const moved = { width: right - left, height: made.height, nodes: [], groups: [], edges: [] };
  add(moved, made, -left, 0);
  return moved;
}

/** @param {Layout} outer @param {Layout} within @param {number} dx @param {number} dy */
function add(outer, within, dx, dy) {
  const moved = (/** @type {any} */ thing) => ({ ...thing, x: thing.x + dx, y: thing.y + dy });
  outer.nodes.push(...within.nodes.map(moved));
  outer.groups.push(...within.groups.map(moved));
  outer.edges.push(...within.edges.map((edge) => ({ ...moved(edge), points: edge.points.map(moved) })));
}

/**
 * The transitions of a level; several between the same two states are one, with all their labels.
 * @param {any} machine
 * @param {string} name
 */
function waysOf(machine, name) {
  /** @type {Map<string, {key: string, from: string, to: string, caught: boolean, label: string[]}>} */
  const ways = new Map();
  const way = (/** @type {string} */ from, /** @type {string} */ to, /** @type {string[]} */ label, caught = false) => {
    const key = edgeKey(from, to, caught);
    const known = ways.get(key);
    if (known) known.label.push(...label);
    else ways.set(key, { key, from, to, caught, label });
  };
  way(startOf(name), machine.StartAt, []);
  for (const [from, state] of /** @type {[string, any][]} */ (Object.entries(machine.States))) {
    for (const choice of state.Choices ?? []) way(from, choice.Next, [condition(choice)]);
    if (state.Default) way(from, state.Default, ["otherwise"]);
    if (state.Next) way(from, state.Next, []);
    if (state.End || state.Type === "Succeed") way(from, endOf(name), []);
    for (const caught of state.Catch ?? []) way(from, caught.Next, caught.ErrorEquals.map((/** @type {string} */ error) => error.replace(/^States\./, "")), true);
  }
  return [...ways.values()];
}

/**
 * A choice's condition in a few characters: `{% $states.input.kind = 'list' %}` → `kind = 'list'`.
 * @param {any} choice
 */
export function condition(choice) {
  const text = String(choice.Condition ?? choice.Variable ?? "")
    .replace(/^\{%|%\}$/g, "")
    .replace(/\$states\.(context\.Execution\.Input|input)\./g, "")
    .replace(/\(\$\w+ :=.*\)/, "…")
    .replace(/\$exists\(([^)]*)\)/g, "$1?")
    .replace(/ = true\b/g, "")
    .trim();
  const short = text.split(/ and | or /)[0];
  const cut = short === text ? text : `${short} …`;
  return cut.length > 26 ? `${cut.slice(0, 25)}…` : cut;
}

/** A state's name in lines that a node can hold. @param {string} name */
function wrap(name) {
  if (name.length <= 22) return [name];
  const words = name.split(" ");
  const half = name.length / 2;
  let line = words.shift() ?? "";
  while (words.length > 1 && line.length + words[0].length / 2 < half) line += ` ${words.shift()}`;
  return words.length ? [line, words.join(" ")] : [line];
}
