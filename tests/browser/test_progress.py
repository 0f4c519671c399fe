"""`examples/progress` in real Chromium, on the deployed stack: the bar survives whatever happens to its page."""

from collections.abc import Iterator

import pytest

from examples.progress import job
from examples.progress.server import STEPS, USER, make_application
from local.demo.stage import Stage
from ringback import Publisher
from tests.browser.pages import BROKEN_NETWORK, Window
from tests.browser.progress import Bar, Pace
from tests.serving import serving
from tests.waiting import until


@pytest.fixture
def pace() -> Pace:
    return Pace()


@pytest.fixture
def url(stage: Stage, pace: Pace) -> Iterator[str]:
    def make_token() -> str:
        return stage.keys.token(USER, contexts=[job.CONTEXT])

    with serving(lambda _: make_application(Publisher(stage.installation.sdk), make_token, work=pace)) as url:
        yield url


def test_the_bar_survives_a_reload_and_hears_of_an_end_it_was_away_for(
    windows: Window, stage: Stage, url: str, pace: Pace
) -> None:
    windows.expect_errors(BROKEN_NETWORK)
    bar = Bar(windows.page(url))
    job_id = bar.start()
    pace.go_on(3)
    bar.shows("At work", 3, STEPS)

    bar.page.reload()
    bar.shows("At work", 3, STEPS)  # which nobody has told it since
    bar.await_connected()
    pace.go_on(2)
    bar.shows("At work", 5, STEPS)

    windows.close_pages()
    pace.go_on(STEPS - 5)
    end = f"{job_id}-end"
    until(lambda: stage.runs.exists(end), "the job has ended")
    stage.runs.await_waiting(stage.runs.arn_of(end))
    # What the steps told while nobody looked waits nowhere, and is never a dead letter.
    assert not [step for step in range(1, STEPS + 1) if stage.runs.exists(f"{job_id}-{step}")]
    back = Bar(windows.page(url))

    back.shows("Finished", STEPS, STEPS)
    run = stage.runs.await_end(stage.runs.arn_of(end))
    assert run.output is not None
    assert run.output["status"] == "acknowledged"
    back.page.reload()
    back.shows("Finished", STEPS, STEPS)
