"""The chat page in a real browser, with the console's own server; behind them stands a backend of the test."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from local import console, stack
from local.tokens import Keys
from tests.browser import chat
from tests.browser.axe import serious_faults
from tests.browser.chat import People
from tests.browser.pages import BROKEN_NETWORK, Window, window
from tests.browser.quick import chat_backend
from tests.browser.quick.chat_backend import Backend
from tests.unit.test_local_installation import OUTPUTS

# The last one: there is no stack.
EXPECTED_ERRORS = (BROKEN_NETWORK, r"status of 409 .*/accept", r"status of 50\d .*/api/installation")


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with chat_backend.running() as running:
        yield running


@pytest.fixture(scope="module")
def url(backend: Backend) -> Iterator[str]:
    at = f"127.0.0.1:{backend.port}"
    outputs = {
        **OUTPUTS,
        "WebSocketUrl": f"ws://{at}/v1",
        "ChatApiUrl": f"http://{at}",
        "ChatsTableName": "",
        "ChatSessionStateMachineArn": "",
    }

    @dataclass(frozen=True)
    class Deployed:
        installation = stack.read_outputs(outputs, endpoint="http://127.0.0.1:9", directory=Path())
        keys = Keys.make()

    with console.running(Deployed()) as running:
        yield running.url


@pytest.fixture
def page(windows: Window, url: str, backend: Backend) -> Iterator[Page]:
    backend.chats.clear()  # nobody waits but who is on this page
    for pattern in EXPECTED_ERRORS:
        windows.expect_errors(pattern)
    yield windows.page(url)
    windows.close_pages()


@pytest.fixture
def people(page: Page) -> People:
    return chat.opened(page, *(f"{name}-{uuid.uuid4()}" for name in ("ana", "bo", "cy")))


def test_whole_chat_by_clicks(people: People, page: Page) -> None:
    ana = people.customer
    ana.start("my parcel")
    expect(ana.find("position")).to_have_text("You are number 1 of 1 in the queue.")
    ana.say("Is anybody there?")

    winner, loser = people.accept_at_once()
    expect(loser.find("notice")).to_contain_text("Not accepted: another agent has accepted it.")
    expect(loser.find("accept")).to_have_count(0)
    for person in (ana, winner):
        person.await_status("ACTIVE")
        person.await_texts("Is anybody there?")
    winner.find("text").press_sequentially("Hel")
    expect(ana.find("typing")).to_have_text(f"{winner.name} is typing…")

    ana.drop()
    for text in ("Hello", "How can I help?", "Still there?"):
        winner.say(text)
    winner.await_texts("Is anybody there?", "Hello", "How can I help?", "Still there?")
    ana.await_texts("Is anybody there?")
    ana.heal()
    ana.await_texts("Is anybody there?", "Hello", "How can I help?", "Still there?")
    expect(ana.find("typing")).to_be_empty()

    winner.click("transfer")
    loser.await_event("chat.transferred")
    loser.await_texts("Is anybody there?", "Hello", "How can I help?", "Still there?")
    expect(winner.find("gone")).to_contain_text(f"{loser.name} has this chat now")
    expect(winner.find("text")).to_have_count(0)
    ana.say("Thanks")
    loser.await_texts("Is anybody there?", "Hello", "How can I help?", "Still there?", "Thanks")
    loser.click("end")

    for person in (ana, loser):
        person.await_status("ENDED")
    ana.find("star-4").check(force=True)
    ana.find("feedback").fill("quick")
    ana.click("rate")
    for person in (ana, loser):
        person.await_event("chat.rated")
    expect(loser.find("log")).to_contain_text("rated it 4 of 5: “quick”")
    expect(ana.find("rate-form")).to_have_count(0)
    assert ana.numbers == loser.numbers == list(range(1, 11))
    ana.click("transcript")
    expect(page.get_by_test_id("transcript-text")).to_contain_text("How can I help?")


def test_nothing_is_asked_again_and_again(people: People, page: Page) -> None:
    ana, (bo, _) = people.customer, people.agents
    assert people.reads == ["agent chats/waiting"] * 2
    ana.start("")
    bo.click("accept")
    bo.await_event("chat.waiting")
    for number in range(5):
        ana.say(f"{number}")
    bo.await_texts(*"01234")
    ana.drop()
    bo.say("Hello")
    ana.heal()
    ana.await_texts(*"01234", "Hello")

    # An agent who comes into a chat was not told of its beginning.
    assert people.reads == ["agent chats/waiting"] * 2 + ["agent chats/…/messages"]


def test_a_reload_restores_it_by_reading_it_once(people: People, page: Page) -> None:
    ana, (bo, cy) = people.customer, people.agents
    ana.start("my parcel")
    cy.click("accept")
    ana.say("Hello")
    cy.await_texts("Hello")
    cy.say("Good morning")
    ana.await_texts("Hello", "Good morning")
    before = len(people.reads)

    page.reload()
    for person in (ana, bo, cy):
        person.await_state("open")
        person.await_status("NONE" if person is bo else "ACTIVE")
    ana.await_texts("Hello", "Good morning")
    cy.await_texts("Hello", "Good morning")
    ana.say("Here again")
    cy.await_texts("Hello", "Good morning", "Here again")

    # Two pages of two events each; the customer is told of it by the log, an agent by the list.
    reads = people.reads[before:]
    assert (
        sorted(reads)
        == ["agent chats/waiting"] * 2 + ["agent chats/…/messages"] * 2 + ["customer chats/…/messages"] * 2
    )
    assert ana.numbers == cy.numbers == [1, 2, 3, 4, 5]


def test_what_was_not_taken_can_be_sent_again(people: People, page: Page, windows: Window) -> None:
    windows.expect_errors(r"ERR_FAILED .*/messages")
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    bo.await_status("ACTIVE")
    page.route("**/messages", lambda route: route.abort())
    ana.say("Hello")
    expect(ana.find("sending")).to_have_attribute("data-sending", "failed")
    page.unroute("**/messages")

    ana.card.get_by_role("button", name="Try again").click()

    bo.await_texts("Hello")
    ana.await_texts("Hello")
    expect(ana.find("sending")).to_have_count(0)


def test_what_is_said_in_haste_keeps_its_order(people: People, page: Page) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    bo.await_status("ACTIVE")
    held: list[Route] = []
    page.route("**/messages", lambda route: route.continue_() if held else held.append(route))

    with page.expect_request("**/messages"):
        ana.say("first")
    ana.say("second")
    expect(ana.find("sending")).to_have_count(2)
    held[0].continue_()

    for person in (ana, bo):
        person.await_texts("first", "second")


@pytest.mark.parametrize(
    ("theme", "viewport"), [("light", {"width": 1280, "height": 800}), ("dark", {"width": 390, "height": 844})]
)
def test_no_state_of_a_chat_has_a_serious_fault(
    chromium: Browser, url: str, backend: Backend, theme: Literal["light", "dark"], viewport: ViewportSize
) -> None:
    backend.chats.clear()
    faults: dict[str, list[str]] = {}
    with window(chromium, color_scheme=theme, viewport=viewport, reduced_motion="reduce") as opened:
        for pattern in EXPECTED_ERRORS:
            opened.expect_errors(pattern)
        page = opened.page(url)
        people = chat.opened(page, *(f"{name}-{uuid.uuid4()}" for name in ("ana", "bo", "cy")))

        def look(what: str) -> None:
            faults[what] = serious_faults(page)
            if beyond := page.evaluate("document.documentElement.scrollWidth - innerWidth"):
                faults[what].append(f"{beyond} pixels wider than the window")

        ana = people.customer
        ana.start("my parcel")
        expect(people.agents[0].find("accept")).to_have_count(1)
        look("waiting")
        winner, loser = people.accept_at_once()
        ana.say("a word and a-very-long-one-" + "x" * 200)
        winner.await_event("chat.accepted")
        winner.drop()
        look("accepted, and refused; one is dropped")
        winner.heal()
        winner.click("transfer")
        loser.await_event("chat.transferred")
        ana.click("end")
        ana.find("star-2").check(force=True)
        look("to be rated")
        ana.click("rate")
        ana.await_event("chat.rated")
        ana.click("transcript")
        expect(page.get_by_test_id("transcript-text")).to_be_visible()
        look("rated, and the transcript")
        opened.close_pages()
    assert {what: found for what, found in faults.items() if found} == {}
