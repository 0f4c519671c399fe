// The page's frame: the views by route, the way between them, the banner when the console is gone.

import { render } from "preact";
import { html, Overlays, link, useEffect, useRef, useRoute, useStored } from "./lib.js";
import { startFeed, useFeed } from "./feed.js";
import { RunsView } from "./views/runs.js";
import { RunView } from "./views/run.js";
import { ConnectionsView } from "./views/connections.js";
import { DeadLettersView } from "./views/dead_letters.js";
import { ComposerView } from "./views/composer.js";
import { PlaygroundView } from "./views/playground.js";
import { ChatView } from "./views/chat.js";

const VIEWS = [
  { path: "runs", text: "Runs", view: RunsView },
  { path: "connections", text: "Connections", view: ConnectionsView },
  { path: "dead-letters", text: "Dead letters", view: DeadLettersView },
  { path: "send", text: "Send", view: ComposerView },
  { path: "playground", text: "Playground", view: PlaygroundView },
  { path: "chat", text: "Chat", view: ChatView },
];

function App() {
  const route = useRoute();
  const [path = "runs", arn] = route.segments;
  const current = VIEWS.find((view) => view.path === path);
  const place = `${path}/${arn ?? ""}`;
  const first = useRef(true);
  useEffect(() => {
    // Another view is a new page: start at its top, and let a screen reader begin with its heading.
    if (first.current) first.current = false;
    else {
      scrollTo(0, 0);
      document.getElementById("page-title")?.focus({ preventScroll: true });
    }
  }, [place]);
  return html`
    <a class="skip" href="#page-title" onClick=${skip}>Skip to the content</a>
    <${Bar} path=${path} />
    <${LostBanner} />
    <main id="main">
      ${path === "runs" && arn
        ? html`<${RunView} key=${arn} arn=${arn} />`
        : current
          ? html`<${current.view} query=${route.query} />`
          : html`<div class="page"><h1 id="page-title" tabindex="-1">There is no such page</h1><p><a href="#/runs">To the runs</a></p></div>`}
    </main>
    <${Overlays} />`;
}

/** The hash is the route, so the link cannot lead to an id. @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("page-title")?.focus();
}

/** @param {{path: string}} props */
function Bar({ path }) {
  const tabs = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const tab = /** @type {HTMLElement | null | undefined} */ (tabs.current?.querySelector("[aria-current]"));
    tab?.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a phone they scroll
  }, [path]);
  const counts = /** @type {Record<string, number>} */ ({
    connections: useFeed((feed) => feed.connections.length),
    "dead-letters": useFeed((feed) => feed.deadLetters.length),
  });
  return html`
    <header class="bar">
      <a class="brand" href="#/runs" aria-label="Ringback console">
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5.6 16.4a8 8 0 1 0-.9-7.6" /><path d="M4 4.2v4.9h4.9" /><circle cx="12" cy="12" r="2.4" /></svg>
        <span>Ringback</span>
      </a>
      <nav class="tabs" aria-label="Views" ref=${tabs}>
        ${VIEWS.map((view) => html`
          <a key=${view.path} href=${link([view.path])} aria-current=${view.path === path ? "page" : null}>
            ${view.text}${counts[view.path] ? html`<span class="count">${counts[view.path]}</span>` : null}
          </a>`)}
      </nav>
      <${Endpoint} />
      <${Theme} />
    </header>`;
}

function Endpoint() {
  const state = useFeed((feed) => feed.state);
  const endpoint = useFeed((feed) => feed.installation?.endpoint ?? "");
  const text = { open: "live", connecting: "connecting", lost: "not connected" }[state];
  return html`
    <span class="endpoint" title=${endpoint}>
      <span class="pulse ${state}" aria-hidden="true"></span>
      <span>${text}</span>
      <span class="endpoint-host">${endpoint.replace(/^https?:\/\//, "")}</span>
    </span>`;
}

function Theme() {
  const [theme, setTheme] = useStored("theme", "");
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const toggle = () => {
    const next = dark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    setTheme(next);
  };
  return html`
    <button type="button" class="icon-button" onClick=${toggle} aria-label=${dark ? "Use the light theme" : "Use the dark theme"}
      title=${dark ? "Light" : "Dark"}>
      <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8" /><path class="filled" d="M12 4a8 8 0 0 1 0 16z" /></svg>
    </button>`;
}

function LostBanner() {
  const state = useFeed((feed) => feed.state);
  return html`
    <div role="alert">
      ${state === "lost" && html`
        <div class="banner">The connection to the console is lost; what you see may be old. It comes back by itself, once <code>make up</code> runs.</div>`}
    </div>`;
}

startFeed();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
