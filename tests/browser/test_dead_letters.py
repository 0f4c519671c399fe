"""The dead letters in the console: a long message is read when somebody opens it."""

import uuid

from playwright.sync_api import expect

from local.console import Console
from local.demo.stage import Stage
from tests.browser.pages import Window


def test_a_message_is_shown_whole_however_long_it_is(windows: Window, console: Console, stage: Stage) -> None:
    page = windows.page(f"{console.url}/#/dead-letters")
    queue = page.get_by_test_id("queue-ingest")
    bodies = {length: f"no envelope {uuid.uuid4()} {'x' * length} its end" for length in (10, 20_000)}

    for body in bodies.values():
        stage.installation.clients.sns.publish(TopicArn=stage.installation.message_topic_arn, Message=body)
        letter = queue.get_by_test_id("letter").first  # the newest
        expect(letter).to_have_count(1, timeout=20_000)
        letter.get_by_text("Message", exact=True).click()
        expect(letter).to_contain_text(body, timeout=20_000)
        queue.get_by_label("Choose all").check()
        queue.get_by_test_id("purge").click()
        page.get_by_role("dialog").get_by_role("button", name="Purge").click()
        expect(queue.get_by_test_id("letter")).to_have_count(0, timeout=20_000)
