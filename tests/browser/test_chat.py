"""A chat in real Chromium, on the deployed stack: a customer and two agents, by clicks, through drops."""

import uuid
from collections import Counter

from playwright.sync_api import Page, expect

from local.console import Console
from tests.browser import chat
from tests.browser.chat import PATIENCE_MS, People
from tests.browser.pages import BROKEN_NETWORK, Window


def opened(windows: Window, console: Console) -> People:
    """A page of its own, with people nobody else knows."""
    windows.expect_errors(BROKEN_NETWORK)
    windows.expect_errors(r"status of 409 .*/accept")
    return chat.opened(windows.page(console.url), *(f"{name}-{uuid.uuid4()}" for name in ("ana", "bo", "cy")))


def await_run(page: Page, *states: str, status: str) -> None:
    """Wait until the chat's run, which this page shows, has been in these states and has this status."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(status, timeout=PATIENCE_MS)
    for state in states:
        expect(page.get_by_label("History", exact=True)).to_contain_text(state, timeout=PATIENCE_MS)


def test_whole_chat_by_clicks_while_connections_are_dropped(windows: Window, console: Console) -> None:
    people = opened(windows, console)
    page, ana = people.page, people.customer
    said = ["Is anybody there?"]
    ana.start("my parcel")
    expect(ana.find("position")).to_have_text("You are number 1 of 1 in the queue.", timeout=PATIENCE_MS)
    ana.say(said[0])

    winner, loser = people.accept_at_once()
    expect(loser.find("notice")).to_contain_text("another agent has accepted it")
    expect(loser.find("accept")).to_have_count(0, timeout=PATIENCE_MS)
    for person in (ana, winner):
        person.await_status("ACTIVE")
        person.await_texts(*said)
    winner.find("text").press_sequentially("Hello")
    expect(ana.find("typing")).to_have_text(f"{winner.name} is typing…", timeout=PATIENCE_MS)
    winner.find("text").press("Enter")
    said.append("Hello")
    ana.await_texts(*said)

    for round_number in range(3):
        ana.drop()
        for number in range(3):
            said.append(f"{round_number}, {number}")
            winner.say(said[-1])
        winner.await_texts(*said)
        ana.heal()
        ana.await_texts(*said)

    winner.drop()
    ana.say("Hello?")
    said.append("Hello?")
    ana.await_texts(*said)
    winner.heal()
    winner.await_texts(*said)

    winner.click("transfer")
    loser.await_event("chat.transferred")
    loser.await_texts(*said)
    expect(winner.find("gone")).to_contain_text(loser.name, timeout=PATIENCE_MS)
    loser.click("requeue")
    ana.await_status("WAITING")
    expect(ana.find("position")).to_have_text("You are number 1 of 1 in the queue.", timeout=PATIENCE_MS)
    winner.click("accept")
    ana.await_status("ACTIVE")
    ana.say("Thanks, that is all")
    said.append("Thanks, that is all")
    winner.await_texts(*said)
    ana.click("end")

    for person in (ana, winner):
        person.await_status("ENDED")
    expect(winner.find("rate-form")).to_have_count(0)
    ana.find("star-5").check(force=True)
    ana.find("feedback").fill("patient")
    ana.click("rate")
    for person in (ana, winner):
        person.await_event("chat.rated")
        person.await_texts(*said)
    expect(ana.find("rate-form")).to_have_count(0)
    assert ana.numbers == winner.numbers == list(range(1, len(ana.numbers) + 1))
    # A list for each agent who comes or comes back, and once the customer's chat, of which there is none; the log for
    # who comes into the chat, and after each reconnect.
    assert Counter(people.reads) == {
        "customer chats": 1,
        "agent chats/waiting": 3,
        "agent chats/…/messages": 4,
        "customer chats/…/messages": 3,
    }

    ana.click("transcript")
    expect(page.get_by_test_id("transcript-text")).to_contain_text("Thanks, that is all")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    ana.click("chat-run")
    await_run(page, "Waiting", "Active", "Rating", "Closed", status="succeeded")


def test_an_agent_who_leaves_is_seen_to_be_away_and_back_and_a_reload_restores_all(
    windows: Window, console: Console
) -> None:
    people = opened(windows, console)
    ana, (bo, cy) = people.customer, people.agents
    ana.start("")
    bo.click("accept")
    ana.await_status("ACTIVE")
    ana.say("Hello")
    bo.await_texts("Hello")

    bo.drop()
    expect(ana.find("away")).to_contain_text(bo.name, timeout=PATIENCE_MS)
    bo.heal()
    ana.await_event("chat.agent_back")
    expect(ana.find("away")).to_have_count(0)
    bo.say("Here I am again")
    ana.await_texts("Hello", "Here I am again")

    before = len(people.reads)
    people.page.reload()
    for person in (ana, bo, cy):
        person.await_state("open")
    for person in (ana, bo):
        person.await_status("ACTIVE")
        person.await_texts("Hello", "Here I am again")
    ana.say("And I too")
    bo.await_texts("Hello", "Here I am again", "And I too")
    reads = people.reads[before:]
    assert (reads.count("customer chats/…/messages"), reads.count("agent chats/…/messages")) == (1, 1)
    bo.click("end")
    ana.await_status("ENDED")
