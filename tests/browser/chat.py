"""The page's chat, as a person clicks it: a customer and two agents side by side."""

from dataclasses import dataclass

from playwright.sync_api import Locator, Page, Request, expect

PATIENCE_MS = 60_000

# Both clicks in one turn of the page's event loop: neither agent has heard of the other.
_CLICK_BOTH = "buttons => { for (const button of buttons) button.click(); }"


@dataclass(frozen=True)
class Person:
    """One person's card."""

    card: Locator
    name: str

    def find(self, testid: str) -> Locator:
        return self.card.get_by_test_id(testid)

    def click(self, testid: str) -> None:
        self.find(testid).click(timeout=PATIENCE_MS)

    def await_state(self, state: str) -> None:
        """Wait until the connection is `open`, `closed`, …"""
        expect(self.card).to_have_attribute("data-state", state, timeout=PATIENCE_MS)

    def await_status(self, status: str) -> None:
        """Wait until their chat is `WAITING`, `ACTIVE`, `ENDED`, or there is none (`NONE`)."""
        expect(self.card).to_have_attribute("data-status", status, timeout=PATIENCE_MS)

    def await_texts(self, *texts: str) -> None:
        """Wait until exactly these messages are there, in this order."""
        expect(self.find("message").locator(".said-text")).to_have_text(list(texts), timeout=PATIENCE_MS)

    def await_event(self, kind: str) -> None:
        """Wait until an event of this type is in the log."""
        expect(self.card.locator(f"[data-testid=event][data-type='{kind}']").first).to_be_visible(timeout=PATIENCE_MS)

    def start(self, subject: str) -> None:
        self.find("subject").fill(subject)
        self.click("start")

    def say(self, text: str) -> None:
        """Write and send a message."""
        self.find("text").fill(text)
        self.find("text").press("Enter")

    def drop(self) -> None:
        """Take the network away, and see that the client has noticed."""
        self.click("down")
        expect(self.find("fault")).to_have_text("down")
        expect(self.card).not_to_have_attribute("data-state", "open", timeout=PATIENCE_MS)

    def heal(self) -> None:
        """Give it back, and see the client return."""
        self.click("heal")
        self.await_state("open")

    @property
    def numbers(self) -> list[int]:
        """The numbers of all that is in their log, from top to bottom."""
        shown: list[str] = (
            self.find("log").locator("[data-number]").evaluate_all("lines => lines.map(line => line.dataset.number)")
        )
        return [int(number) for number in shown]


@dataclass(frozen=True)
class People:
    """Who is on the page, and what the page has asked the chat API."""

    page: Page
    customer: Person
    agents: tuple[Person, Person]
    asked: list[str]

    @property
    def reads(self) -> list[str]:
        """What was read, without the ids: `customer chats/…/messages`."""
        return [text.removeprefix("GET ") for text in self.asked if text.startswith("GET ")]

    def accept_at_once(self) -> tuple[Person, Person]:
        """Have both agents accept what waits, at once; answers who has it, and who has not."""
        for agent in self.agents:
            expect(agent.find("accept")).to_have_count(1, timeout=PATIENCE_MS)
        self.page.get_by_test_id("accept").evaluate_all(_CLICK_BOTH)
        notice = self.page.get_by_test_id("notice")
        expect(notice).to_have_count(1, timeout=PATIENCE_MS)
        one, other = self.agents
        return (other, one) if one.find("notice").count() else (one, other)


def opened(page: Page, *names: str) -> People:
    """The chat of this page, with these names, everybody connected: the customer, and two agents."""
    asked: list[str] = []
    page.on("request", lambda request: _note(request, asked))
    page.get_by_role("navigation").get_by_role("link", name="Chat").click()
    people = found(page, *names, asked=asked)
    for person in (people.customer, *people.agents):
        person.find("name").fill(person.name)
    with page.expect_response("**/chats"):  # a customer asks whether they have a chat, before they start one
        page.get_by_test_id("connect-all").click()
    for person in (people.customer, *people.agents):
        person.await_state("open")
    return people


def found(page: Page, *names: str, asked: list[str]) -> People:
    """The people who are on the page already."""
    customer, *agents = (Person(page.get_by_test_id(f"person-{key}"), name) for key, name in enumerate(names))
    one, other = agents
    return People(page, customer, (one, other), asked)


def _note(request: Request, asked: list[str]) -> None:
    _, is_chat, rest = request.url.partition("/api/chat/")
    if is_chat:
        role, _, path = rest.split("/", 2)
        parts = path.partition("?")[0].split("/")
        if len(parts) == 3:
            parts[1] = "…"
        asked.append(f"{request.method} {role} {'/'.join(parts)}")
