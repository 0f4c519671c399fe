"""What the storm is measured with: quotas, the bound they set, the services' answers, the stream's lanes."""

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks import storm
from benchmarks.storm.cloud import Services
from benchmarks.storm.quotas import Bucket, Quota, at_best
from benchmarks.storm.stream import Change, Counts, EventSource, Lane, Mapping

TOKEN = "t-1"


# Quotas


def test_a_bucket_lets_its_burst_through_and_then_so_many_a_second() -> None:
    bucket = Bucket(Quota(3, 2))

    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.4), bucket.take(0.5), bucket.take(0.9), bucket.take(1.0)] == [False, True, False, True]
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False], "it holds no more than its burst"


def test_the_storm_of_ten_thousand_takes_fourteen_seconds_at_best() -> None:
    assert at_best([0.0] * 10_000, storm.LARGE_REGION)[-1] == pytest.approx(14)
    assert at_best([0.0] * 10_000, storm.SMALL_REGION)[-1] == pytest.approx(28.33, abs=0.01)
    slowly = [number / 500 for number in range(10_000)]
    assert at_best(slowly, storm.LARGE_REGION) == pytest.approx(slowly), "as fast as they come"


def test_the_best_is_a_smaller_account_s_as_well() -> None:
    """The whole storm, and a fifth of it under a fifth of the quotas."""
    whole = at_best([number / 2_500 for number in range(10_000)], storm.LARGE_REGION)
    fifth = at_best([number / 500 for number in range(2_000)], storm.LARGE_REGION.of(5))

    assert fifth[-1] == pytest.approx(whole[-1], abs=0.01)


def test_several_calls_of_one_arrival_follow_each_other() -> None:
    assert at_best([0.0, 0.0], Quota(3, 1), calls=3) == pytest.approx([0, 3])


@example(arrivals=[1, 1, 1], burst=1, per_second=3)
@given(
    arrivals=st.lists(st.integers(0, 50), min_size=1, max_size=30),
    burst=st.integers(1, 5),
    per_second=st.integers(1, 4),
)
def test_at_best_a_bucket_takes_every_call_and_nothing_could_be_sooner(
    arrivals: list[int], burst: int, per_second: int
) -> None:
    comes = sorted(float(at) for at in arrivals)
    quota = Quota(burst, per_second)
    through = at_best(comes, quota)

    bucket, sooner = Bucket(quota), Bucket(quota)
    assert all(bucket.take(at + 1e-6 * number) for number, at in enumerate(through))
    assert all(at >= arrival for at, arrival in zip(through, comes, strict=True))
    assert all(sooner.take(at + 1e-6 * number) for number, at in enumerate(through[:-1]))
    last_waited = through[-1] - max(comes[-1], through[-2] if len(through) > 1 else 0) > 1e-3
    assert not (last_waited and sooner.take(through[-1] - 1e-3))


# Services


def item(number: int, *, token: str = TOKEN, user: str = "user#ana") -> dict[str, Any]:
    return {
        "caller_id": {"S": user},
        "waits_for": {"S": f"reconnect#chat#42#{number:05}"},
        "task_token": {"S": token},
        "padding": {"S": "x" * 1_000},
    }


def services(*items: dict[str, Any], burst: int = 10) -> Services:
    made = Services()
    made.reset({"burst": burst, "perSecond": 1})
    for each in items:
        made.answer("PutItem", {"TableName": "Callbacks", "Item": each}, 0)
    return made


def query(made: Services, **more: Any) -> dict[str, Any]:
    values = {":user": {"S": "user#ana"}, ":prefix": {"S": "reconnect#chat#42#"}}
    status, answer = made.answer("Query", {"TableName": "Callbacks", "ExpressionAttributeValues": values, **more}, 0)
    assert status == 200
    return answer


def test_a_run_that_waits_goes_on_once() -> None:
    made = services(item(1))

    assert made.answer("SendTaskSuccess", {"taskToken": TOKEN}, 3.5) == (200, {})
    status, again = made.answer("SendTaskSuccess", {"taskToken": TOKEN}, 4)

    assert (status, again["__type"]) == (400, "TaskTimedOut")
    report = made.answer("Report", {}, 5)[1]
    assert (report["woken"], report["waiting"], report["throttled"]) == ({TOKEN: 3.5}, 0, [])


def test_what_is_throttled_changes_nothing() -> None:
    made = services(item(1), burst=0)

    status, answer = made.answer("SendTaskSuccess", {"taskToken": TOKEN}, 3.5)

    assert (status, answer["__type"]) == (400, "ThrottlingException")
    report = made.answer("Report", {}, 5)[1]
    assert (report["woken"], report["waiting"], report["throttled"]) == ({}, 1, [3.5])


def test_rows_are_read_in_order_and_page_by_page() -> None:
    made = services(*(item(number) for number in reversed(range(1_500))), item(0, user="user#bo"))

    first = query(made)
    second = query(made, ExclusiveStartKey=first["LastEvaluatedKey"])

    read = [row["waits_for"]["S"] for page in (first, second) for row in page["Items"]]
    assert read == [f"reconnect#chat#42#{number:05}" for number in range(1_500)]
    assert "LastEvaluatedKey" not in second


def test_only_the_token_s_own_row_is_removed() -> None:
    made = services(item(1))
    request = {"TableName": "Callbacks", "Key": {name: item(1)[name] for name in ("caller_id", "waits_for")}}

    other = made.answer("DeleteItem", {**request, "ExpressionAttributeValues": {":mine": {"S": "t-2"}}}, 0)
    assert (other[0], other[1]["__type"]) == (400, "ConditionalCheckFailedException")
    assert made.answer("DeleteItem", {**request, "ExpressionAttributeValues": {":mine": {"S": TOKEN}}}, 0)[0] == 200
    assert query(made)["Items"] == []


# The stream


def changes(*numbers: int, user: str = "ana", written_at: float = 0) -> list[Change]:
    return [
        Change(
            {"dynamodb": {"SequenceNumber": str(number), "Keys": {"caller_id": {"S": f"user#{user}-{number}"}}}},
            written_at,
        )
        for number in numbers
    ]


def numbers(batch: list[Change]) -> list[int]:
    return [int(change.number) for change in batch]


def failed_at(*wanted: object) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in wanted]}


def a_lane(*wanted: int, **settings: Any) -> Lane:
    lane = Lane(EventSource(**settings))
    lane.waiting.extend(changes(*wanted))
    return lane


def test_a_batch_is_as_large_as_the_mapping_lets_it_be() -> None:
    lane = a_lane(1, 2, 3, batch_size=2)

    first = lane.take(0)
    assert numbers(first) == [1, 2]
    assert lane.answered(first, failed_at()) == 0
    assert numbers(lane.take(0)) == [3]


@pytest.mark.parametrize(
    ("failures", "again"),
    [([2], [2, 3, 4]), ([3, 2], [2, 3, 4]), (["unknown"], [1, 2, 3, 4])],
    ids=["from there on", "from the first on", "all of it"],
)
def test_what_failed_comes_again_before_all_that_follow(failures: list[object], again: list[int]) -> None:
    lane = a_lane(1, 2, 3, 4, batch_size=3)

    assert lane.answered(lane.take(0), failed_at(*failures)) > 0

    assert [*numbers(lane.take(0)), *numbers(lane.take(0))] == again


def test_a_function_that_fails_gets_half_of_it() -> None:
    lane = a_lane(1, 2, 3, 4)

    lane.answered(lane.take(0), None)
    half = lane.take(0)
    assert numbers(half) == [1, 2]
    lane.answered(half, failed_at())
    assert numbers(lane.take(0)) == [3, 4]


def test_pauses_grow_until_a_batch_comes_on() -> None:
    lane = a_lane(1, 2, 3)

    pauses = [lane.answered(lane.take(0), answer) for answer in [failed_at(1)] * 3 + [failed_at(2)] * 2 + [failed_at()]]

    assert pauses == pytest.approx([0.2, 0.4, 0.8, 0.2, 0.4, 0])


def test_what_is_too_old_is_given_up() -> None:
    lane = a_lane(1, max_age_seconds=10)
    lane.waiting.extend(changes(2, written_at=5))

    assert numbers(lane.take(11)) == [2]
    assert lane.counts.given_up == 1


def test_all_changes_are_brought_in_order_whatever_fails() -> None:
    brought: list[list[int]] = [[], [], [], []]

    def invoker(mine: list[int]) -> Any:
        def invoke(records: list[dict[str, Any]]) -> dict[str, Any]:
            mine.append(int(records[0]["dynamodb"]["SequenceNumber"]))
            return failed_at(records[1]["dynamodb"]["SequenceNumber"]) if len(records) > 1 else failed_at()

        return invoke

    mapping = Mapping(EventSource(), shards=2, invokers=[invoker(mine) for mine in brought], cold_seconds=0)
    counts = mapping.bring(changes(*range(12), written_at=time.monotonic()), until=float("inf"))

    assert sorted(number for lane in brought for number in lane) == list(range(12))
    assert all(lane == sorted(lane) for lane in brought)
    assert counts.invocations == 12


def test_a_mapping_ends_when_its_time_is_up() -> None:
    mapping = Mapping(EventSource(), shards=1, invokers=[lambda records: failed_at("all")], cold_seconds=0)

    counts = mapping.bring(changes(1), until=0)

    assert counts.invocations == 0


# What comes of it


def outcome(shape: storm.Shape, *, processor_seconds: float, best: float) -> storm.Outcome:
    arrived = [best] * 10
    return storm.Outcome(shape, arrived, [best] * 10, 0, 0, [], {}, Counts(), processor_seconds)


def test_one_function_takes_as_long_as_its_memory_s_share_of_a_processor_or_the_quotas_let_it() -> None:
    slow = outcome(storm.ONE_USER, processor_seconds=0.02, best=14)  # 2 ms for each of 10,000
    quick = outcome(storm.ONE_USER, processor_seconds=0.0002, best=14)

    (slow_row, quick_row) = storm._processor([slow, quick]).rows

    assert slow_row == ("one user with all of the messages", 2, 13.8, 138)
    assert quick_row[3] == 14
