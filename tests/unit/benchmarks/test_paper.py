"""The calculation for ten million people."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks import paper
from benchmarks.billing.prices import PRICES
from benchmarks.paper import Assumptions, Load

ROOT = Path(__file__).resolve().parents[3]
ONE = Assumptions(
    users=1,
    connections_per_user=1,
    connected_hours=24,
    reconnects_per_hour=0,
    ping_seconds=1e12,
    messages_per_day=1,
    share_online=1,
)


def bill(given: Assumptions) -> dict[str, float]:
    return {name: usd for name, _, usd in Load(given).bill()}


def test_a_month_of_one_silent_connection_is_its_minutes() -> None:
    costs = bill(replace(ONE, messages_per_day=0))

    minutes = 365 / 12 * 24 * 60
    assert costs.pop("WebSocket connection-minutes") == pytest.approx(minutes * PRICES["websocket_connection_minute"])
    assert sum(costs.values()) == pytest.approx(0, abs=1e-6)


def test_a_ping_and_its_answer_are_two_messages() -> None:
    costs = bill(replace(ONE, messages_per_day=0, ping_seconds=60))

    assert costs["WebSocket messages: pings and pongs"] == pytest.approx(
        2 * 365 / 12 * 24 * 60 * PRICES["websocket_message"]
    )
    assert costs["WebSocket messages: all others"] == 0


def test_a_message_to_somebody_who_is_there_is_no_run() -> None:
    message = Load(ONE).message()

    assert (message.starts, message.transitions, message.invocations, message.frames) == (0, 0, 1, 1)


def test_a_user_with_two_connections_gets_two_posts_and_one_look_up() -> None:
    message = Load(replace(ONE, connections_per_user=2)).message()

    assert (message.frames, message.connection_reads) == (2, 1)


def transitions_of(path: str) -> int:
    """As docs/cost.md has it, which is counted in the machine's histories."""
    cost = (ROOT / "docs" / "cost.md").read_text("utf-8")
    found = re.search(rf"^\| {re.escape(path)} \| (\d+) \|", cost, re.MULTILINE)
    assert found
    return int(found[1])


def test_transitions_are_those_of_the_histories() -> None:
    away = replace(ONE, share_online=0, absence_seconds=0)
    cycles = replace(away, absence_seconds=36_000)

    assert Load(away).message().transitions == transitions_of("nobody there, then a reconnect")
    assert Load(replace(away, share_acknowledged=1)).message().transitions == transitions_of(
        "nobody there, then a reconnect, acknowledged"
    )
    assert Load(replace(ONE, share_acknowledged=1)).message().transitions == transitions_of("online, acknowledged")
    assert Load(cycles).looks > 0.5
    assert Load(cycles).message().transitions == pytest.approx(
        transitions_of("nobody there, then a reconnect")
        + transitions_of("each backoff cycle in which nobody comes") * Load(cycles).looks
    )


def test_who_wakes_and_who_acknowledges_share_a_quota() -> None:
    away = replace(ONE, users=1000, share_online=0, share_acknowledged=1)

    needed = Load(away).needed()

    assert needed[paper.SUCCESSES] == pytest.approx(2 * needed[paper.STARTS])


def test_functions_that_wait_for_nothing_take_concurrency_too() -> None:
    silent = replace(
        ONE, users=1000, messages_per_day=0, reconnects_per_hour=3.6, call_seconds=0
    )  # one handshake a second

    def concurrency(processor_seconds: float) -> float:
        given = replace(silent, processor_seconds=processor_seconds, memory_mb=1769)
        return Load(given).needed()[paper.CONCURRENCY]

    handshake = paper.CONNECT.invocations
    assert concurrency(0.5) == pytest.approx(handshake * 0.5)
    # Lambda takes 10 invocations a second for each concurrent execution, however short they are.
    assert concurrency(0.001) == pytest.approx(handshake / 10)
    assert Load(silent).needed()[paper.INVOCATIONS] == pytest.approx(handshake)


def test_functions_are_billed_for_their_own_time_and_for_that_of_their_calls() -> None:
    given = replace(ONE, processor_seconds=0.002, call_seconds=0.01, memory_mb=884.5)  # half a processor
    message = Load(given).message()
    seconds = message.calls * 0.01 + message.invocations * 0.004

    assert bill(given)["Lambda: GB-seconds"] == pytest.approx(
        seconds * 884.5 / 1024 * 365 / 12 * PRICES["lambda_gb_second"]
    )


@pytest.mark.parametrize(
    ("reads", "writes", "size", "partitions"),
    [(0, 0, 0, 1), (3000, 1000, 10, 1), (3001, 0, 0, 2), (0, 1001, 0, 2), (0, 0, 10.1, 2), (0, 9500, 0, 10)],
)
def test_a_table_has_as_many_partitions_as_its_narrowest_limit_wants(
    reads: float, writes: float, size: float, partitions: int
) -> None:
    assert paper._partitions(reads, writes, size) == partitions


def test_ten_times_the_people_need_ten_times_as_much() -> None:
    few, many = Assumptions(users=1_000_000), Assumptions(users=10_000_000)

    assert Load(many).needed() == {quota: pytest.approx(10 * value) for quota, value in Load(few).needed().items()}
    assert sum(bill(many).values()) == pytest.approx(10 * sum(bill(few).values()))


def test_every_assumption_is_in_the_table_and_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    names = {f"`--{each.name.replace('_', '-')}`" for each in fields(Assumptions)}
    _, assumptions, *_ = paper.reckon(Assumptions()).tables
    assert {row[2] for row in assumptions.rows} == names

    assert paper.main(["--users", "1234", "--share-online", "0.5"]) == 0

    said = capsys.readouterr().out
    assert "1,234" in said
    assert "0.5" in said


@pytest.mark.parametrize(
    "arguments", [["--share-online", "1.5"], ["--users", "-1"], ["--ping-seconds", "0"], ["--memory-mb", "0"]]
)
def test_what_makes_no_sense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        paper.main(arguments)

    assert arguments[0].removeprefix("--").replace("-", "_") in capsys.readouterr().err
