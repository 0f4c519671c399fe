"""The console in real Chromium, on the deployed stack: a person watches messages survive."""

import random
import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from local.console import Console
from local.demo.stage import Stage, envelope
from tests.browser import playground
from tests.browser.pages import BROKEN_NETWORK, Window
from tests.browser.playground import Player
from tests.waiting import until

MESSAGES, DROPS = 500, 50
PER_CALL = 5
# So few that the emulated cloud, which has two workers for its posts, is not busy with connections that are gone.
UNDER_WAY = 5
PATIENCE_MS = 45_000
COUNTDOWN = re.compile(r"^(\d+ (s|min|h)( \d+ (s|min))?|due)$")


def hand_over(stage: Stage, messages: list[dict[str, Any]]) -> None:
    """Send these; what could not be taken is sent again under the same id."""
    while messages:
        answers = stage.accept(*messages)
        assert {answer["status"] for answer in answers} <= {"started", "duplicate", "unavailable"}
        both = zip(messages, answers, strict=True)
        messages = [message for message, answer in both if answer["status"] == "unavailable"]


def runs_of(page: Page, user: str) -> Locator:
    """The rows of this user's runs, found as a person finds them."""
    page.get_by_role("navigation").get_by_role("link", name="Runs").click()
    page.get_by_placeholder("Recipient").fill(user)
    return page.get_by_role("row").filter(has_text=user)


def mark(page: Page) -> None:
    """Leave a mark that a reload would wipe out."""
    page.evaluate("window.notReloaded = true")


def assert_not_reloaded(page: Page) -> None:
    assert page.evaluate("window.notReloaded === true")


def test_person_watches_a_message_survive_a_half_open_connection(
    windows: Window, stage: Stage, console: Console, user: str
) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    page = windows.page(console.url)
    mark(page)
    player = playground.opened(page)
    player.connect(user=user, pingSeconds="240")

    player.click("half-open")
    expect(player.card.get_by_test_id("fault")).to_have_text("half-open")
    player.click("send-acknowledged")
    expect(player.card.get_by_test_id("run-link")).to_be_visible()
    row = runs_of(page, user)
    expect(row).to_contain_text("Wait For Reconnect", timeout=PATIENCE_MS)
    expect(row).to_contain_text("waiting")
    expect(row.locator(".countdown")).to_have_text(COUNTDOWN)
    row.get_by_role("link").click()
    expect(page.get_by_label("Facts")).to_contain_text("Waits for a reconnect")

    player = playground.opened(page)
    player.await_count("handled", 0)
    player.click("heal")
    expect(player.messages).to_have_count(1, timeout=PATIENCE_MS)
    player.await_state("open")

    expect(runs_of(page, user)).to_contain_text("acknowledged", timeout=PATIENCE_MS)
    player = playground.opened(page)
    expect(player.messages).to_have_count(1)
    for name, number in {"handled": 1, "acknowledged": 1, "connections": 2}.items():
        player.await_count(name, number)
    assert_not_reloaded(page)


def test_500_messages_through_50_random_drops_are_shown_once_and_in_order(
    windows: Window, stage: Stage, console: Console, user: str
) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    chance = random.Random(50)  # noqa: S311 - no secret
    drops = sorted(chance.sample(range(1, MESSAGES - PER_CALL), DROPS))
    messages = [envelope(user, number, ordered=True, ack="client", ackTimeoutSeconds=1) for number in range(MESSAGES)]
    page = windows.page(console.url)
    mark(page)
    player = playground.opened(page)
    player.connect(user=user, gapTimeoutSeconds="600")

    sent = 0
    while (handled := player.count("handled")) < MESSAGES:
        if drops and handled >= drops[0]:
            drops.pop(0)
            drop(player)
        elif sent < MESSAGES and sent - handled <= UNDER_WAY:
            hand_over(stage, messages[sent : sent + PER_CALL])
            sent += PER_CALL
        else:
            page.wait_for_timeout(20)
    assert not drops
    player.click("show-all")
    expect(player.messages).to_have_count(MESSAGES)

    assert player.ids == [message["id"] for message in messages]
    assert (player.count("handled"), player.count("late"), player.count("gaps")) == (MESSAGES, 0, 0)
    assert player.count("connections") >= DROPS + 1
    ids = {message["id"] for message in messages}
    until(lambda: not ids & running(stage), "all their runs are over", seconds=60)
    assert_not_reloaded(page)


def drop(player: Player) -> None:
    """Drop its connection, and see it come back."""
    connections = player.count("connections")
    player.click("drop")
    until(lambda: player.count("connections") > connections, "the client is back")


def running(stage: Stage) -> set[str]:
    """The names of the runs that are not over, which are their messages' ids."""
    answer = stage.installation.clients.stepfunctions.list_executions(
        stateMachineArn=stage.installation.delivery_state_machine_arn, statusFilter="RUNNING", maxResults=1000
    )
    return {execution["name"] for execution in answer["executions"]}
