// The machine as a graph, with the path that a run took through it. The history beside it says the same in words.

import { html, duration, memo, plural, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useTicking } from "../lib.js";
import { labelWidth, layOut } from "./layout.js";

/** @typedef {import("./path.js").Path} Path */
/** @typedef {import("../feed.js").Run} Run */

const SMALLEST = 0.62;
const LARGEST = 2;

/** @param {{definition: any, path: Path, run: Run, onPick: (name: string) => void}} props */
export function GraphPanel({ definition, path, run, onPick }) {
  const layout = useMemo(() => layOut(definition), [definition]);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const fit = useFit(box, layout.width);
  const [zoom, setZoom] = useState(0); // 0: as it fits
  const scale = zoom || fit;
  const zoomBy = useCallback((/** @type {number} */ factor) => {
    setZoom((last) => Math.min(LARGEST, Math.max(0.3, (last || fit) * factor)));
  }, [fit]);
  useDrag(box);
  useInSight(box, layout, path.visits.filter((visit) => visit.now).pop()?.name, scale);
  useWheel(box, zoomBy);
  const names = path.visits.map((visit) => visit.name);
  const summary = names.length ? `The path it took: ${names.slice(-30).join(", ")}.` : "It has entered no state yet.";
  return html`
    <section class="card" aria-label="Graph">
      <div class="card-head">
        <h2>Path</h2>
        <div class="row graph-tools">
          <${Legend} />
          <button type="button" class="icon-button" aria-label="Make the graph smaller" onClick=${() => zoomBy(1 / 1.25)}>−</button>
          <button type="button" class="button quiet small" onClick=${() => setZoom(0)}>Fit</button>
          <button type="button" class="icon-button" aria-label="Make the graph larger" onClick=${() => zoomBy(1.25)}>+</button>
        </div>
      </div>
      <div class="graph-box" ref=${box} tabindex="0" role="region" aria-label="The graph; the history says the same in words">
        <svg class="graph" role="img" aria-label=${`The ${{ delivery: "delivery", fanOut: "fan-out", chat: "chat session" }[run.machine]} machine. ${summary}`}
          width=${layout.width * scale} height=${layout.height * scale} viewBox=${`0 0 ${layout.width} ${layout.height}`}>
          <defs>
            ${["plain", "taken"].map((kind) => html`
              <marker key=${kind} id=${`arrow-${kind}`} class="arrow ${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
                <path d="M0 0.6 8 4 0 7.4z" />
              </marker>`)}
          </defs>
          ${layout.groups.map((group) => html`<${Group} key=${group.name} group=${group} ...${stay(path, group.name)} />`)}
          ${layout.edges.map((edge) => html`<${Edge} key=${edge.key} edge=${edge} times=${path.taken.get(edge.key) ?? 0} />`)}
          ${layout.edges.map((edge) => html`<${EdgeLabel} key=${edge.key} edge=${edge} times=${path.taken.get(edge.key) ?? 0} errors=${(path.errors.get(edge.key) ?? []).join(" ")} />`)}
          ${layout.nodes.map((node) => node.type === "start" || node.type === "end"
            ? html`<circle key=${node.name} class="graph-point ${node.type}" cx=${node.x} cy=${node.y} r=${node.type === "end" ? 6 : 5} />`
            : html`<${Node} key=${node.name} node=${node} ...${stay(path, node.name)} status=${run.status}
                waitingSince=${run.waitingSince} nextAttemptAt=${run.nextAttemptAt} onPick=${onPick} />`)}
        </svg>
      </div>
    </section>`;
}

function Legend() {
  return html`
    <span class="legend muted" aria-hidden="true">
      <span><svg viewBox="0 0 22 8"><path class="graph-edge taken" d="M0 4h22" /></svg>taken</span>
      <span><svg viewBox="0 0 22 8"><path class="graph-edge caught" d="M0 4h22" /></svg>on an error</span>
    </span>`;
}

/** How a run stayed in a state. @param {Path} path @param {string} name */
function stay(path, name) {
  const visits = path.visits.filter((visit) => visit.name === name);
  const newest = visits[visits.length - 1];
  return {
    visits: visits.length,
    failures: visits.filter((visit) => visit.caught).length,
    retries: visits.reduce((sum, visit) => sum + Math.max(0, visit.tries - 1), 0),
    now: newest?.now ?? false,
  };
}

const Edge = memo((/** @type {{edge: import("./layout.js").Edge, times: number}} */ { edge, times }) => html`
  <path class="graph-edge ${edge.caught ? "caught" : ""} ${times ? "taken" : ""}" d=${curve(edge.points)} marker-end=${`url(#arrow-${times ? "taken" : "plain"})`} />`);

const EdgeLabel = memo((/** @type {{edge: import("./layout.js").Edge, times: number, errors: string}} */ { edge, times, errors }) => edge.label.length === 0 ? null : html`
  <g class="graph-label">
    <rect x=${edge.x - labelWidth(edge.label) / 2} y=${edge.y - edge.label.length * 6.5} width=${labelWidth(edge.label)} height=${edge.label.length * 13} rx="3" />
    ${edge.label.map((line, index) => html`
      <text key=${line} class=${times && happened(edge, line, errors) ? "taken" : ""} x=${edge.x} y=${edge.y + (index - (edge.label.length - 1) / 2) * 13 + 3.5}>${line}</text>`)}
  </g>`);

const Group = memo((/** @type {{group: import("./layout.js").Group, visits: number, now: boolean}} */ { group, visits, now }) => html`
  <g class="graph-group ${visits ? "visited" : ""} ${now ? "now" : ""}">
    <rect x=${group.x} y=${group.y} width=${group.width} height=${group.height} rx="8" />
    <text x=${group.x + 14} y=${group.y + 21}>${group.name}</text>
    <text class="small" x=${group.x + group.width - 14} y=${group.y + 21} text-anchor="end">for each part</text>
  </g>`);

/**
 * Whether a line of an edge's label was why it was taken: an error by its name, or what stands for all others.
 * @param {import("./layout.js").Edge} edge
 * @param {string} line
 * @param {string} errors
 */
function happened(edge, line, errors) {
  if (!edge.caught) return true;
  const names = errors.split(" ").map((name) => name.replace(/^States\./, ""));
  return names.includes(line) || (["TaskFailed", "ALL"].includes(line) && names.some((name) => !edge.label.includes(name)));
}

/** @type {Record<string, string>} */
const TYPES = { Task: "task", Choice: "choice", Succeed: "succeeds", Fail: "fails", Wait: "wait", Pass: "pass", Map: "map", Parallel: "parallel" };

/**
 * @typedef {{node: import("./layout.js").Node, visits: number, failures: number, retries: number, now: boolean, status: string, waitingSince?: string, nextAttemptAt?: string, onPick: (name: string) => void}} NodeProps
 */

const Node = memo((/** @type {NodeProps} */ { node, visits, failures, retries, now, status, waitingSince, nextAttemptAt, onPick }) => {
  const left = node.x - node.width / 2;
  const top = node.y - node.height / 2;
  const middle = node.y - 4 - (node.lines.length - 1) * 8;
  const waits = now && node.waits && nextAttemptAt;
  const told = [visits > 1 ? `${visits} times` : visits ? "once" : TYPES[node.type] ?? node.type, retries ? plural(retries, "retry", "retries") : ""].filter(Boolean).join(" · ");
  const kind = `${node.type.toLowerCase()} ${visits ? "visited" : ""} ${now ? "now" : ""} ${status === "cancelled" ? "stopped" : ""}`;
  return html`
    <g class="graph-node ${kind}" onClick=${visits ? () => onPick(node.name) : undefined}>
      ${now && html`<rect class="halo" x=${left - 4} y=${top - 4} width=${node.width + 8} height=${node.height + 8} rx="11" />`}
      <rect class="body" x=${left} y=${top} width=${node.width} height=${node.height} rx=${node.type === "Choice" ? 16 : 7} />
      ${node.lines.map((line, index) => html`<text key=${line} class="name" x=${node.x} y=${middle + index * 16}>${line}</text>`)}
      ${waits
        ? html`<${WaitInNode} x=${left} y=${top + node.height} middle=${node.x} width=${node.width} since=${waitingSince} to=${nextAttemptAt} />`
        : html`<text class="small" x=${node.x} y=${top + node.height - 11}>${now ? "now" : told}</text>`}
      ${visits > 1 && html`<g class="visits-count"><rect x=${left + node.width - 14} y=${top - 9} width="26" height="18" rx="9" /><text x=${left + node.width - 1} y=${top + 4}>×${visits}</text></g>`}
      ${failures > 0 && html`<g class="failures"><title>${plural(failures, "attempt")} failed and went on</title><circle cx=${left} cy=${top} r="8.5" /><text x=${left} y=${top + 4}>${failures > 9 ? "9+" : failures > 1 ? failures : "!"}</text></g>`}
    </g>`;
});

/** @param {{x: number, y: number, middle: number, width: number, since?: string, to?: string}} props */
function WaitInNode({ x, y, middle, width, since, to }) {
  const [from, until] = [Date.parse(since ?? ""), Date.parse(to ?? "")];
  const text = useTicking((now) => (until > now ? `${duration(Math.ceil((until - now) / 1000))} left` : "due"));
  const share = useTicking((now) => String(Math.round(Math.min(1, Math.max(0, (now - from) / (until - from || 1))) * 100)));
  return html`
    <text class="small strong" x=${middle} y=${y - 11}>${text}</text>
    <rect class="wait-line" x=${x + 8} y=${y - 6} width=${width - 16} height="2.5" rx="1" />
    <rect class="wait-done" x=${x + 8} y=${y - 6} width=${((width - 16) * Number(share)) / 100} height="2.5" rx="1" />`;
}

/** A line through the points, with its corners rounded. @param {import("./layout.js").Point[]} points */
function curve(points) {
  const [first, ...rest] = points;
  let path = `M${spot(first)}`;
  for (let index = 0; index < rest.length - 1; index += 1) {
    const [at, next] = [rest[index], rest[index + 1]];
    path += ` Q${spot(at)} ${spot({ x: (at.x + next.x) / 2, y: (at.y + next.y) / 2 })}`;
  }
  return `${path} L${spot(rest[rest.length - 1])}`;
}

/** @param {import("./layout.js").Point} point */
const spot = (point) => `${point.x.toFixed(1)} ${point.y.toFixed(1)}`;

/** The scale at which the whole width is seen, as long as that can be read. @param {{current: HTMLElement | null}} box @param {number} width */
function useFit(box, width) {
  const [fit, setFit] = useState(1);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setFit(Math.max(SMALLEST, Math.min(1, (element.clientWidth - 2) / width)));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [width]);
  return fit;
}

/**
 * Where the run is stays in sight, when it moves on; within the box, the page is not moved.
 * @param {{current: HTMLElement | null}} box
 * @param {import("./layout.js").Layout} layout
 * @param {string | undefined} name
 * @param {number} scale
 */
function useInSight(box, layout, name, scale) {
  useLayoutEffect(() => {
    const element = box.current;
    const node = layout.nodes.find((one) => one.name === name);
    if (!element || !node) return;
    const [x, y] = [node.x * scale, node.y * scale];
    const [width, height] = [(node.width / 2) * scale, (node.height / 2) * scale];
    const seen = x - width >= element.scrollLeft && x + width <= element.scrollLeft + element.clientWidth
      && y - height >= element.scrollTop && y + height <= element.scrollTop + element.clientHeight;
    if (!seen) element.scrollTo(x - element.clientWidth / 2, y - element.clientHeight / 2);
  }, [name, layout, scale]);
}

/** A mouse moves the graph by dragging; a finger scrolls it as it scrolls everything. @param {{current: HTMLElement | null}} box */
function useDrag(box) {
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    let from = { x: 0, y: 0 };
    const move = (/** @type {PointerEvent} */ event) => {
      element.scrollLeft = from.x - event.clientX;
      element.scrollTop = from.y - event.clientY;
    };
    const end = () => {
      element.classList.remove("dragged");
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
    };
    const begin = (/** @type {PointerEvent} */ event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      from = { x: element.scrollLeft + event.clientX, y: element.scrollTop + event.clientY };
      element.classList.add("dragged");
      addEventListener("pointermove", move);
      addEventListener("pointerup", end);
    };
    element.addEventListener("pointerdown", begin);
    return () => {
      end();
      element.removeEventListener("pointerdown", begin);
    };
  }, []);
}

/** A wheel with Ctrl held, which is also what a trackpad's pinch is. @param {{current: HTMLElement | null}} box @param {(factor: number) => void} zoomBy */
function useWheel(box, zoomBy) {
  useEffect(() => {
    const element = box.current;
    const wheel = (/** @type {WheelEvent} */ event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / 300));
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, [zoomBy]);
}
