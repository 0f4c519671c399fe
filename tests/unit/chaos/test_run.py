"""What is said of a chaos run beside its ledger: whether it can judge at all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.chaos import plan
from tests.chaos.cloud.decisions import DEFAULT_RATES
from tests.chaos.ledger import Fate, Ledger
from tests.chaos.run import Control, unfit

MANY = plan.make(1, 5_000)
EVERY_FAULT = dict.fromkeys(DEFAULT_RATES, 1)


def ledger(*, doubtful: int = 0) -> Ledger:
    """One of a thousand plain messages."""
    fates: Counter[tuple[str, str, Fate]] = Counter(
        {("plain", "sns", "delivered"): 1_000 - doubtful, ("plain", "accept", "in doubt"): doubtful}
    )
    return Ledger(fates=fates)


def test_much_in_doubt_is_too_much() -> None:
    assert not list(unfit(MANY, ledger(doubtful=10), EVERY_FAULT))
    (why,) = unfit(MANY, ledger(doubtful=11), EVERY_FAULT)
    assert "in doubt" in why


def test_a_fault_that_never_happened_is_missed() -> None:
    (why,) = unfit(MANY, ledger(), {**EVERY_FAULT, "gone": 0})
    assert why == "These faults never happened: gone."


def test_few_messages_need_not_meet_everything() -> None:
    assert not list(unfit(plan.make(1, 1_499), ledger(doubtful=11), {}))


def test_a_fault_that_is_not_to_happen_is_not_missed() -> None:
    assert not list(unfit(replace(MANY, rates={"gone": 0.5, "slow": 0.0}), ledger(), {"gone": 1}))
    assert not list(unfit(replace(MANY, only=()), ledger(), {}))


class _NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        pass


@pytest.fixture
def cloud_without_faults() -> Iterator[str]:
    """A cloud that knows nothing of these controls."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _NotFound) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_cloud_without_faults_is_refused(cloud_without_faults: str) -> None:
    with pytest.raises(RuntimeError, match=r"no fault layer.*tests\.chaos\.cloud"):
        Control(cloud_without_faults).told()
