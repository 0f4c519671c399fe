"""A person's tab: the client module in a page, and what it has told its application."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from tests.waiting import until

_START = """async ({ options, tokens, handlerMilliseconds }) => {
  const { RingbackClient } = await import("/client/ringback.js");
  const seen = (window.seen = { messages: [], gaps: [], states: [], errors: [], tokens: 0 });
  const token = async () => {
    seen.tokens += 1;
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("/api/tokens", { method: "POST", headers, body: JSON.stringify(tokens) });
    return (await answer.json()).token;
  };
  window.client = new RingbackClient({
    token,
    onMessage: async (message) => {
      if (handlerMilliseconds) await new Promise((resolve) => setTimeout(resolve, handlerMilliseconds));
      seen.messages.push(message);
      sessionStorage.setItem("handled", `${sessionStorage.getItem("handled") ?? ""}${message.id} `);
    },
    onGap: (gap) => seen.gaps.push(gap),
    onState: (change) => seen.states.push({ ...change, error: change.error?.message, at: performance.now() }),
    onError: (error) => seen.errors.push(`${error.code}: ${error.message}`),
    ...options,
  });
  window.client.connect();
}"""


@dataclass(frozen=True)
class Tab:
    """One tab of this user."""

    page: Page
    url: str
    user: str

    def start(self, *, ttl_seconds: int = 3600, handler_milliseconds: int = 0, **options: Any) -> None:
        """Make a client with these options and connect it; its token lives so long, and can be had anew."""
        self.page.evaluate(
            _START,
            {
                "options": {"url": self.url, "context": "chat", "contextId": "42", "user": self.user, **options},
                "tokens": {"user": self.user, "ttlSeconds": ttl_seconds},
                "handlerMilliseconds": handler_milliseconds,
            },
        )

    def reload(self) -> None:
        """Load the page anew, in the midst of whatever it does: what the client kept is all that is left."""
        self.page.reload()

    def await_open(self, *, seconds: float = 20) -> None:
        """Wait until it is connected."""
        until(lambda: self.state == "open", f"the tab of {self.user} is connected", seconds=seconds)

    def await_messages(self, *ids: str, seconds: float = 30) -> None:
        """Wait until these messages are there, whatever else there is."""
        until(lambda: set(ids) <= set(self.ids), f"messages {ids}", seconds=seconds)

    @property
    def state(self) -> str:
        """The client's state."""
        state: str = self.page.evaluate("window.client?.state ?? 'none'")
        return state

    @property
    def ids(self) -> list[str]:
        """The ids of the messages that were handled, in that order, with those before a reload."""
        handled: str = self.page.evaluate("sessionStorage.getItem('handled') ?? ''")
        return handled.split()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was handled since the page was loaded."""
        messages: list[dict[str, Any]] = self.page.evaluate("seen.messages")
        return messages

    @property
    def seen(self) -> dict[str, Any]:
        """All that the client has told: messages, gaps, states, errors, and how many tokens it asked for."""
        seen: dict[str, Any] = self.page.evaluate("seen")
        return seen

    @property
    def states(self) -> list[str]:
        """The states it went through."""
        states: list[str] = self.page.evaluate("seen.states.map(({ state }) => state)")
        return states
