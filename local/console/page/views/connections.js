// Who is connected now, and how long for; a connection can be closed from the server's side.

import { html, Ago, api, Countdown, Empty, link, memo, Page, TableScroll, toast, useAction, useMemo, useState } from "../lib.js";
import { useFeed } from "../feed.js";
import { Control } from "./fields.js";

/** @typedef {import("../feed.js").Connection & {state?: string}} Open */

const SHOWN = 500;

export function ConnectionsView() {
  const connections = useFeed((feed) => feed.connections);
  const ready = useFeed((feed) => feed.ready);
  const [user, setUser] = useState("");
  const shown = useMemo(() => {
    const wanted = user.trim().toLowerCase();
    return connections
      .filter((one) => one.user.toLowerCase().includes(wanted))
      .sort((one, other) => other.connectedAt.localeCompare(one.connectedAt));
  }, [connections, user]);
  if (ready && connections.length === 0) {
    return html`
      <${Page} title="Connections">
        <div class="card">
          <${Empty} title="Nobody is connected">
            <p>Open a client in the <a href="#/playground">playground</a>, or with the command that <code>make up</code> prints.</p>
          <//>
        </div>
      <//>`;
  }
  return html`
    <${Page} title="Connections">
      <div class="narrow">
        <${Control} label="User">
          ${(/** @type {any} */ props) => html`
            <input ...${props} type="search" value=${user} placeholder="all" autocomplete="off" data-testid="filter-user"
              onInput=${(/** @type {any} */ event) => setUser(event.currentTarget.value)} />`}
        <//>
      </div>
      <div class="card">
        <p class="visually-hidden" role="status">${shown.length} of ${connections.length} shown</p>
        ${shown.length === 0
          ? html`<${Empty} title=${ready ? "No connection of such a user" : "Looking…"} />`
          : html`
            <${TableScroll} label="Open connections">
              <table class="table reflow">
                <thead>
                  <tr><th scope="col">User</th><th scope="col">Conversation</th><th scope="col">Connection</th><th scope="col">Attributes</th>
                    <th scope="col">Connected</th><th scope="col">Ends in</th><th scope="col"><span class="visually-hidden">What can be done</span></th></tr>
                </thead>
                <tbody>
                  ${shown.slice(0, SHOWN).map((/** @type {Open} */ one) => html`
                    <${Row} key=${one.connectionId} ...${one} attributes=${JSON.stringify(one.attributes ?? {})} />`)}
                </tbody>
              </table>
            <//>
            ${shown.length > SHOWN && html`<p class="card-body muted">The newest ${SHOWN} of ${shown.length}; a user narrows them down.</p>`}`}
      </div>
    <//>`;
}

// The feed gives all of them anew whenever one changes; as plain values they are drawn again only if they did.
const Row = memo((/** @type {Omit<Open, "attributes"> & {attributes: string}} */ one) => {
  const { user, context, contextId, connectionId } = one;
  const [close, busy] = useAction(async () => {
    await api("/api/connections/close", { method: "POST", body: { user, context, contextId, connectionId } });
    toast(`The connection of ${user} is closed.`);
  });
  const attributes = Object.entries(JSON.parse(one.attributes));
  return html`
    <tr data-testid="connection" data-connection=${connectionId}>
      <td data-label="User"><a href=${link(["send"], { user, context, contextId })} title="Write to this recipient">${user}</a></td>
      <td data-label="Conversation">${context}/${contextId}</td>
      <td data-label="Connection" ><span class="mono">${connectionId}</span>
        ${one.state === "stale" && html` <span class="tag warn" title="It took a message and left it unacknowledged">stale</span>`}</td>
      <td data-label="Attributes">
        <span class="row">
          ${attributes.map(([name, value]) => html`<span class="tag" key=${name}>${name}=${value}</span>`)}
          ${attributes.length === 0 && html`<span class="muted">none</span>`}
        </span>
      </td>
      <td data-label="Connected"><${Ago} value=${one.connectedAt} /></td>
      <td data-label="Ends in"><${Countdown} to=${one.expiresAt} /></td>
      <td class="do">
        <span class="row">
          <a class="button small" href=${link(["send"], { connectionId })} aria-label=${`Post to the connection ${connectionId} of ${user}`}>Post</a>
          <button type="button" class="button danger small" disabled=${busy} data-testid="close-connection"
            aria-label=${`Close the connection ${connectionId} of ${user}`} onClick=${close}>Close</button>
        </span>
      </td>
    </tr>`;
});
