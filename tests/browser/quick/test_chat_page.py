"""The chat page in a real browser, with the console's own server; behind them stands a backend of the test."""

import re
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
    expect(loser.find("notice")).to_have_count(0)
    expect(winner.find("gone")).to_contain_text(f"You handed it to {loser.name}.")
    expect(winner.find("text")).to_have_count(0)
    winner.click("dismiss")
    winner.await_status("NONE")
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


def test_what_was_known_is_marked_as_old_while_the_network_is_down(people: People, page: Page) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("my parcel")
    bo.click("accept")
    bo.await_status("ACTIVE")
    expect(bo.find("old")).to_have_count(0)
    expect(bo.find("heal")).to_have_count(0)

    bo.drop()
    for _ in range(2):  # with the second try, the first has failed
        with page.expect_event("websocket"):
            pass

    expect(bo.find("old")).to_contain_text("Not connected since ")
    expect(bo.find("state")).to_have_text("reconnecting")
    expect(bo.find("problem")).to_have_count(0)
    bo.heal()
    expect(bo.find("old")).to_have_count(0)
    expect(bo.find("heal")).to_have_count(0)


def test_the_first_steps_are_said_until_they_are_done(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Chat").click()
    now = page.get_by_test_id("steps").locator("[aria-current]")
    expect(now).to_have_text("Connect everybody")

    people = chat.opened(page, *(f"{name}-{uuid.uuid4()}" for name in ("ana", "bo", "cy")))
    expect(now).to_have_text("Start a chat, as the customer")
    people.customer.start("my parcel")
    expect(now).to_have_text("Accept it, as an agent")
    people.agents[0].click("accept")

    expect(page.get_by_test_id("steps")).to_have_count(0)


def test_the_notice_of_a_lost_accept_goes_with_the_chat_or_by_a_click(people: People) -> None:
    ana = people.customer
    ana.start("my parcel")
    winner, loser = people.accept_at_once()
    loser.card.get_by_role("button", name="Dismiss").click()
    expect(loser.find("notice")).to_have_count(0)

    winner.click("requeue")
    winner, loser = people.accept_at_once()
    expect(loser.find("notice")).to_have_count(1)
    ana.click("end")
    expect(loser.find("notice")).to_have_count(0)


def test_the_log_stays_at_its_end_in_a_narrower_window(people: People, page: Page) -> None:
    ana = people.customer
    page.set_viewport_size({"width": 1280, "height": 900})
    ana.start("my parcel")
    for number in range(8):
        ana.say(f"{number} " + "some words that take more lines where there is less room " * 3)
    ana.await_texts(
        *(f"{number} " + "some words that take more lines where there is less room " * 3 for number in range(8))
    )
    log = ana.find("log")
    from_end = "log => Math.round(log.scrollHeight - log.scrollTop - log.clientHeight)"
    height = log.evaluate("log => log.scrollHeight")

    page.set_viewport_size({"width": 1180, "height": 900})

    page.wait_for_function("([log, height]) => log.scrollHeight > height", arg=[log.element_handle(), height])
    assert log.evaluate(f"log => new Promise(done => requestAnimationFrame(() => done(({from_end})(log))))") <= 1


def test_nothing_is_asked_again_and_again(people: People, page: Page) -> None:
    ana, (bo, _) = people.customer, people.agents
    coming = ["agent chats/waiting", "agent chats/waiting", "customer chats"]
    assert sorted(people.reads) == coming
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

    # An agent who comes into a chat was not told of its beginning; and who comes back looks once for what has expired.
    assert people.reads[3:] == ["agent chats/…/messages", "customer chats/…/messages"]


def test_what_expired_while_they_were_away_is_read(people: People, backend: Backend) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")
    ana.drop()
    bo.say("Goodbye")
    bo.click("end")
    bo.await_status("ENDED")

    backend.let_all_expire()
    ana.heal()

    ana.await_status("ENDED")
    ana.await_texts("Goodbye")


def test_what_will_never_be_pushed_is_read(people: People, backend: Backend) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")

    backend.skipped.add(ana.name)
    bo.click("end")

    ana.await_status("ENDED")
    assert people.reads.count("customer chats/…/messages") == 1


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


def test_what_was_not_taken_is_not_overtaken(people: People, page: Page, windows: Window) -> None:
    windows.expect_errors(r"ERR_FAILED .*/messages")
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

    held[0].abort()

    for number in range(2):
        expect(ana.find("sending").nth(number)).to_have_attribute("data-sending", "failed")
    ana.say("third")
    for person in (ana, bo):
        person.await_texts("first", "second", "third")


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


def test_what_comes_after_a_gap_is_shown_while_the_gap_is_not_over(people: People, backend: Backend) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")
    ana.drop()
    bo.say("Into the tunnel")
    bo.await_texts("Into the tunnel")
    backend.let_all_expire()  # or it comes again only later, which is the same to a page
    ana.heal()
    ana.await_texts("Into the tunnel")

    bo.say("Out of it")

    # Less than the 20 seconds in which a lost message may come again.
    texts = ana.find("message").locator(".said-text")
    expect(texts).to_have_text(["Into the tunnel", "Out of it"], timeout=10_000)
    # With the reconnect, and for the gap.
    assert people.reads.count("customer chats/…/messages") == 2


def test_a_log_that_is_empty_yet_takes_its_place(people: People, backend: Backend) -> None:
    ana = people.customer
    backend.deaf.add(ana.name)

    ana.start("my parcel")

    expect(ana.find("log")).to_be_visible()
    assert ana.find("log").locator("*").count() == 0
    log, form = ana.find("log").bounding_box(), ana.find("chat").bounding_box()
    assert log is not None
    assert form is not None
    assert (log["x"], log["width"]) == (form["x"], form["width"])


def test_another_tab_finds_the_open_chat_and_no_ended_one(people: People, windows: Window, url: str) -> None:
    ana = people.customer
    ana.start("my parcel")
    ana.say("Hello")
    ana.await_texts("Hello")

    others = [f"{name}-{uuid.uuid4()}" for name in ("bo", "cy")]
    other = chat.opened(windows.page(url), ana.name, *others)
    other.customer.await_status("WAITING")
    other.customer.await_texts("Hello")
    assert other.reads.count("customer chats") == 1
    other.page.close()

    ana.click("end")
    ana.await_status("ENDED")
    third = chat.opened(windows.page(url), ana.name, *others)
    expect(third.customer.find("start")).to_be_visible()
    third.customer.await_status("NONE")


def test_an_agent_sees_what_is_new_in_the_chat_that_is_not_shown(people: People, windows: Window, url: str) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    bo.await_status("ACTIVE")
    expect(bo.find("mine")).to_have_count(0)
    other = chat.opened(windows.page(url), *(f"{name}-{uuid.uuid4()}" for name in ("quin", "liv", "kim"))).customer
    other.start("")
    bo.click("accept")
    expect(bo.find("mine-chat")).to_have_count(2)
    expect(bo.find("news")).to_have_count(0)

    ana.say("Are you there?")
    ana.say("Hello?")
    other.say("And me?")
    bo.await_texts("And me?")
    expect(bo.find("news")).to_have_text("2 new")
    ana.click("end")
    expect(bo.find("news")).to_have_text("3 new")

    ended = bo.card.get_by_role("button", name=f"{ana.name}, ended 3 new")
    ended.click()
    bo.await_texts("Are you there?", "Hello?")
    bo.await_status("ENDED")
    expect(bo.find("transcript")).to_be_visible()
    expect(bo.find("news")).to_have_count(0)
    bo.click("dismiss")
    expect(bo.find("mine-chat")).to_have_count(1)
    ana.find("star-4").check(force=True)
    ana.click("rate")
    expect(ana.find("thanks")).to_be_visible()
    expect(bo.find("news")).to_have_text("1 new")
    bo.card.get_by_role("button", name=f"{ana.name}, ended 1 new").click()
    bo.await_event("chat.rated")
    bo.find("mine-chat").filter(has_text=other.name).click()
    bo.await_texts("And me?")
    expect(bo.find("mine")).to_have_count(0)


@pytest.mark.parametrize("fault", ["down", "half-open"])
def test_what_is_said_without_a_network_waits_for_it(people: People, fault: str) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")
    asked = len(people.asked)
    ana.click(fault)
    expect(ana.find("fault")).to_have_text(fault)

    for text in ("I say this", "in the tunnel"):
        ana.say(text)
    ana.click("end")

    expect(ana.find("notice")).to_contain_text(f"Not ended: the network is {fault}.")
    expect(ana.find("sending")).to_have_text(["I say thiswaits for the network", "in the tunnelwaits for the network"])
    assert [text for text in people.asked[asked:] if "customer" in text] == []
    bo.say("Are you there?")
    bo.await_texts("Are you there?")
    ana.heal()
    for person in (ana, bo):
        person.await_texts("Are you there?", "I say this", "in the tunnel")


def test_what_waited_for_the_network_and_what_was_being_written_survive_a_reload(people: People, page: Page) -> None:
    ana, (bo, _) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")
    ana.click("down")
    expect(ana.find("fault")).to_have_text("down")
    ana.say("I say this")
    expect(ana.find("sending")).to_have_count(1)
    ana.find("text").fill("in the tun")

    page.reload()

    for person in (ana, bo):
        person.await_texts("I say this")
    expect(ana.find("sending")).to_have_count(0)
    expect(ana.find("text")).to_have_value("in the tun")
    expect(bo.find("text")).to_have_value("")


def test_a_fault_goes_with_a_second_click_and_moves_nothing(people: People) -> None:
    ana = people.customer
    down, before = ana.find("down"), ana.find("down").bounding_box()

    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(ana.find("heal")).to_be_visible()
    assert down.bounding_box() == before
    down.click()

    expect(down).to_have_attribute("aria-pressed", "false")
    expect(ana.find("fault")).to_have_text("good")
    ana.await_state("open")


def test_a_silent_connection_is_said_to_be_noticed_in_time(people: People) -> None:
    people.customer.click("half-open")

    expect(people.customer.card.get_by_text("notices at its next ping, within 1 min 5 s.")).to_be_visible()


@pytest.mark.parametrize("name", ["", "äöü", "a#b", "a b", "x" * 256])
def test_a_name_that_cannot_be_is_told_before_they_connect(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Chat").click()
    card = page.get_by_test_id("person-0")

    card.get_by_test_id("name").fill(name)

    expect(card.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(card.get_by_label("Name")).to_have_accessible_description(re.compile("ASCII" if name else "Give a name"))
    expect(card.get_by_test_id("connect")).to_be_disabled()
    card.get_by_test_id("name").fill("x" * 255)
    expect(card.get_by_test_id("connect")).to_be_enabled()


def test_two_agents_of_one_name_are_not_both_connected(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Chat").click()
    first, second = (page.get_by_test_id(f"person-{key}") for key in (1, 2))
    name = f"bo-{uuid.uuid4()}"
    for card in (first, second):
        card.get_by_test_id("name").fill(name)
    expect(second).to_contain_text(f"Another agent here is {name}")

    page.get_by_test_id("connect-all").click()

    expect(first).to_have_attribute("data-state", "open")
    expect(second).to_have_attribute("data-state", "closed")


def test_too_long_a_text_is_said_to_be_so(people: People) -> None:
    ana = people.customer
    ana.find("subject").fill("x" * 201)
    expect(ana.find("start")).to_be_disabled()
    expect(ana.card.get_by_text("201 characters: 1 too many.")).to_be_visible()
    ana.start("😀" * 200)

    ana.say("y" * 5000)
    expect(ana.find("too-long")).to_have_text("5,000 characters: 1,000 too many.")
    expect(ana.find("sending")).to_have_count(0)
    ana.say("😀" * 4000)

    ana.await_texts("😀" * 4000)


def test_a_long_subject_leaves_room_for_the_rest(people: People) -> None:
    people.customer.start("W" * 200)
    waiting = people.agents[0].find("waiting")
    expect(waiting).to_contain_text("came")

    inside = "line => line.getBoundingClientRect().bottom <= line.closest('ol').getBoundingClientRect().bottom"
    assert waiting.evaluate(inside)


def test_on_a_phone_its_tab_and_its_buttons_can_be_reached(chromium: Browser, url: str, backend: Backend) -> None:
    backend.chats.clear()
    with window(chromium, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as opened:
        for pattern in EXPECTED_ERRORS:
            opened.expect_errors(pattern)
        page = opened.page(f"{url}/#/chat")
        expect(page.get_by_role("navigation").get_by_role("link", name="Chat")).to_be_in_viewport(ratio=1)
        page.goto(f"{url}/#/runs")
        people = chat.opened(page, *(f"{name}-{uuid.uuid4()}" for name in ("ana", "bo", "cy")))
        expect(page.get_by_role("navigation").get_by_role("link", name="Chat")).to_be_in_viewport(ratio=1)
        people.customer.start("")
        people.agents[0].click("accept")
        people.agents[0].await_status("ACTIVE")
        people.customer.await_status("ACTIVE")

        sizes = "all => all.map(one => [one.textContent, one.getBoundingClientRect().height])"
        sized = page.locator("main :is(button, a)").evaluate_all(sizes)
        assert [(text, height) for text, height in sized if height < 40] == []
        opened.close_pages()


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
        winner.say("in the tunnel")
        look("accepted, and refused; one is dropped")
        winner.heal()
        expect(ana.find("message")).to_have_count(2)
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
