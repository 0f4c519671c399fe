"""Dead letters on a real queue's terms: what is read is hidden, and nothing may be lost or come twice."""

import json
import threading
from collections import Counter
from datetime import timedelta
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

import pytest

from ringback import dead_letters
from ringback.dead_letters import DeadLetter, DeadLetterQueue, NewLife, Redriven, open_queue
from ringback.envelope import Envelope
from ringback.errors import InvalidMessage, LetterNotFound, Refused, RingbackError
from tests.builders import envelope
from tests.integration.sdk.conftest import Place, now
from tests.sdk import refusal


@pytest.fixture
def queue(place: Place) -> DeadLetterQueue:
    return open_queue(place.installation, wait_seconds=0)


def open_again(place: Place, **options: Any) -> DeadLetterQueue:
    return open_queue(place.installation, wait_seconds=0, **options)


def test_looking_shows_each_letter_once_and_leaves_it_for_everybody(place: Place, queue: DeadLetterQueue) -> None:
    for number in range(35):
        place.put_letter(f"m-{number}")

    seen = [letter.message_id for letter in queue.letters()]

    assert sorted(map(str, seen)) == sorted(f"m-{number}" for number in range(35))
    assert len(place.bodies()) == 35


def test_looking_can_stop_early(place: Place, queue: DeadLetterQueue) -> None:
    for number in range(30):
        place.put_letter(f"m-{number}")

    letters = queue.letters()
    next(letters)
    letters.close()

    assert len(place.bodies()) == 30


def test_looking_ends_though_letters_come_back_meanwhile(place: Place) -> None:
    place.put_letter()

    assert len(list(open_again(place, hide_seconds=0).letters())) == 1


def test_what_is_held_is_hidden_again_before_it_comes_back_and_not_sooner(place: Place) -> None:
    for number in range(40):
        place.put_letter(f"m-{number}")
    time = [0.0]
    changes: list[tuple[int, int]] = []
    events = place.installation.clients.sqs.meta.events
    events.register(
        "before-parameter-build.sqs.ChangeMessageVisibilityBatch",
        lambda params, **_: changes.append((params["Entries"][0]["VisibilityTimeout"], len(params["Entries"]))),
    )
    letters = open_again(place, monotonic=lambda: time[0], hide_seconds=30).letters()

    next(letters)
    for seconds in (15, 21, 29):
        time[0] = seconds
        for _ in range(10):
            next(letters)
    hidden_again = list(changes)
    list(letters)

    # The first ten at 21 seconds; the second ten, hidden at 15, are good until 45.
    assert hidden_again == [(30, 10)]
    assert changes[1:] == [(0, 10)] * 4


def test_the_more_are_read_the_longer_they_are_hidden(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_LETTERS_A_SECOND", 10)
    for number in range(30):
        place.put_letter(f"m-{number}")
    hidden_for: list[int] = []
    place.installation.clients.sqs.meta.events.register(
        "before-parameter-build.sqs.ReceiveMessage",
        lambda params, **_: hidden_for.append(params["VisibilityTimeout"]),
    )

    assert len(list(open_again(place).letters())) == 30

    assert hidden_for[:3] == [120, 121, 122]
    assert dead_letters.HIDE_SECONDS + dead_letters.MAX_HIDDEN / 100 < 30 * 60, "a killed command hides for minutes"


def unasked(error: str | None = None) -> tuple[Any, Any]:
    """What SQS answers, without moto: nothing, or an error. For botocore's event `before-call`."""
    if error is None:
        return SimpleNamespace(status_code=200), {}
    return SimpleNamespace(status_code=400), {"Error": {"Code": error, "Message": ""}}


def test_reading_goes_on_while_the_queue_counts_letters(place: Place, queue: DeadLetterQueue) -> None:
    for number in range(15):
        place.put_letter(f"m-{number}")
    looks = 0

    def nothing_at_first(**_: Any) -> Any:
        # SQS may say so of a queue that holds letters: it does not ask all of its servers.
        nonlocal looks
        looks += 1
        return unasked() if looks % 4 else None

    place.installation.clients.sqs.meta.events.register("before-call.sqs.ReceiveMessage", nothing_at_first)

    assert len(list(queue.letters())) == 15


def test_a_queue_that_counts_what_nobody_gets_does_not_hold_up_for_ever(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter()
    nothing: Any = lambda **_: unasked()  # noqa: E731
    place.installation.clients.sqs.meta.events.register("before-call.sqs.ReceiveMessage", nothing)

    assert list(queue.letters()) == []


@pytest.mark.parametrize("says_so", [True, False], ids=["short poll", "long poll"])
def test_where_sqs_hides_no_more_reading_ends_with_a_reason(
    place: Place,
    queue: DeadLetterQueue,
    monkeypatch: pytest.MonkeyPatch,
    says_so: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(dead_letters, "MAX_HIDDEN", 20)
    for number in range(35):
        place.put_letter(f"m-{number}")
    looks = 0

    def limited(**_: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks <= 2:
            return None
        return unasked("OverLimit") if says_so else unasked()

    events = place.installation.clients.sqs.meta.events
    events.register("before-call.sqs.ReceiveMessage", limited)
    seen: list[DeadLetter] = []
    with pytest.raises(Refused, match="120,000"):
        seen.extend(queue.letters())
    events.unregister("before-call.sqs.ReceiveMessage", limited)

    assert looks == 3
    assert len(place.bodies()) == 35


def test_letters_are_let_go_by_several_calls_at_once_though_one_fails(
    place: Place, queue: DeadLetterQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        place.put_letter(f"m-{number}")
    calls: list[str] = []

    def fail_first(**_: Any) -> Any:
        calls.append(threading.current_thread().name)
        return unasked("InvalidAddress") if len(calls) == 1 else None

    events = place.installation.clients.sqs.meta.events
    events.register("before-call.sqs.ChangeMessageVisibilityBatch", fail_first)
    list(queue.letters())

    assert len(calls) == 4
    assert threading.current_thread().name not in calls
    assert len(place.bodies()) == 30


def test_a_letter_says_what_the_state_machine_wrote(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter()

    letter = queue.find("m-1")

    assert (letter.reason, letter.cause, letter.attempts) == ("AttemptsExhausted", "nobody was there", 3)
    assert (letter.message, letter.execution_arn) == (envelope(), place.run_arn("m-1"))
    assert queue.find(letter.letter_id) == letter
    with pytest.raises(LetterNotFound, match="m-2"):
        queue.find("m-2")
    assert len(place.bodies()) == 1


def test_a_message_starts_again_under_its_own_id_in_a_run_of_its_own(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter("m-1")
    place.put_letter("m-2-r1", message=envelope(id="m-2"))
    place.put_letter("by-hand", message={name: value for name, value in envelope().items() if name != "id"})

    summary = queue.redrive()

    assert (summary.total, summary.failed) == (3, 0)
    assert place.runs() == {
        "m-1-r1": envelope(),
        "m-2-r2": envelope(id="m-2"),
        "by-hand-r1": envelope(id="by-hand"),
    }
    assert place.bodies() == []


UNREADABLE = [
    "no JSON",
    "[]",
    '"text"',
    "{}",
    '{"message": 1, "executionArn": 2}',
    '{"executionArn": "arn"}',
    "[" * 9_999,
]


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_nobody_can_read_is_kept_and_reported(place: Place, queue: DeadLetterQueue, body: str) -> None:
    place.put(body)

    (letter,) = queue.letters()
    summary = queue.redrive()

    assert (letter.readable, letter.body) == (False, body)
    assert summary.counts == {"unreadable": 1}
    assert place.bodies() == [body]


class Crash(Exception):
    """The process dies."""


CALLS = ["StartExecution", "DeleteMessageBatch", "ReceiveMessage"]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("cleans_up", [True, False], ids=["interrupted", "killed"])
def test_a_crash_anywhere_and_then_again(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    before: bool,  # noqa: FBT001
    cleans_up: bool,  # noqa: FBT001
) -> None:
    for number in range(45):
        place.put_letter(f"m-{number}")
    clients = place.installation.clients
    events = clients.stepfunctions.meta.events if call == "StartExecution" else clients.sqs.meta.events
    service = "stepfunctions" if call == "StartExecution" else "sqs"
    event = f"{'before-parameter-build' if before else 'after-call'}.{service}.{call}"
    calls: Counter[str] = Counter()

    def crash(**_: Any) -> None:
        calls[call] += 1
        if calls[call] >= (3 if call == "ReceiveMessage" else 25):
            raise Crash

    events.register(event, crash)
    with monkeypatch.context() as killed:
        if not cleans_up:
            killed.setattr(dead_letters._Reading, "release", lambda _: None)
        # What it cannot let go is there again at once, so that the test need not wait for it.
        knows_what_is_hidden = cleans_up and (before or call != "ReceiveMessage")
        queue = open_again(place, hide_seconds=30 if knows_what_is_hidden else 0)
        with pytest.raises(Crash):
            queue.redrive()
    events.unregister(event, crash)
    assert 0 < len(place.runs()) < 45

    summary = open_again(place).redrive()

    assert summary.failed == 0
    assert place.runs() == {f"m-{number}-r1": envelope(id=f"m-{number}") for number in range(45)}
    assert place.bodies() == []


def test_the_same_letter_twice_starts_one_run(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter()
    place.put_letter()

    assert queue.redrive().counts == {"redriven": 2}
    assert list(place.runs()) == ["m-1-r1"]


def test_a_run_that_was_started_and_has_ended_counts_as_started(place: Place, queue: DeadLetterQueue) -> None:
    start(place, "m-1-r1", envelope(ttlSeconds=60))
    place.put_letter()

    assert queue.redrive(life=NewLife(ttl_seconds=90)).counts == {"redriven": 1}
    assert place.runs() == {"m-1-r1": envelope(ttlSeconds=60)}
    assert place.bodies() == []


def test_another_message_s_run_is_no_reason_to_delete_a_letter(place: Place, queue: DeadLetterQueue) -> None:
    start(place, "m-1-r1", envelope(payload=1))
    place.put_letter(message=envelope(payload=True))

    assert queue.redrive().counts == {"conflict": 1}
    assert len(place.bodies()) == 1


def start(place: Place, name: str, message: Any) -> None:
    """Have a run that has ended: its name is taken, whatever its input is."""
    client, machine = place.installation.clients.stepfunctions, place.installation.delivery_state_machine_arn
    started = client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(message))
    client.stop_execution(executionArn=started["executionArn"])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (envelope(expiresAt="2020-01-31T12:00:00Z"), "AttemptsExhausted"),
        (envelope(), "MessageExpired"),
        (envelope(ttlSeconds=60), "MessageExpired"),
    ],
    ids=["by its end", "by the stage's default", "by its life"],
)
def test_an_expired_message_wants_a_new_life(place: Place, queue: DeadLetterQueue, message: Any, reason: str) -> None:
    place.put_letter(message=message, reason=reason)

    summary = queue.redrive()
    assert summary.counts == {"expired": 1}
    assert "ttl_seconds" in str(summary.failures[0].detail)
    assert place.runs() == {}

    assert queue.redrive(life=NewLife(ttl_seconds=90)).counts == {"redriven": 1}
    assert place.runs() == {"m-1-r1": envelope(ttlSeconds=90)}


def test_a_new_end_takes_the_place_of_the_old_life(place: Place, queue: DeadLetterQueue) -> None:
    end = (now() + timedelta(hours=1)).replace(microsecond=0)
    place.put_letter(message=envelope(ttlSeconds=60))

    queue.redrive(life=NewLife(expires_at=end))

    assert place.runs()["m-1-r1"] == envelope(expiresAt=f"{end:%Y-%m-%dT%H:%M:%S}.000Z")


def test_a_life_that_is_not_over_is_not_begun_anew(place: Place, queue: DeadLetterQueue) -> None:
    start(place, "m-1", envelope(ttlSeconds=3600))
    begun = place.installation.clients.stepfunctions.describe_execution(executionArn=place.run_arn("m-1"))["startDate"]
    place.put_letter(message=envelope(ttlSeconds=3600))

    queue.redrive()

    end = (begun + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert place.runs()["m-1-r1"] == envelope(expiresAt=end)


@pytest.mark.parametrize("life", [{"ttl_seconds": 0}, {"ttl_seconds": 604_801}, {"expires_at": now()}])
def test_a_new_life_has_bounds(life: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match=next(iter(life))):
        NewLife(**life)


def test_what_is_no_message_would_only_fail_again(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter(message={"payload": "secret"}, reason="InvalidMessage")

    summary = queue.redrive()

    assert summary.counts == {"refused": 1}
    assert "recipient: is missing" in str(summary.failures[0].detail)
    assert len(place.bodies()) == 1


def test_only_the_chosen_ones_are_redriven(place: Place, queue: DeadLetterQueue) -> None:
    for number in range(25):
        place.put_letter(f"m-{number}")
    by_letter = queue.find("m-7").letter_id

    with pytest.raises(LetterNotFound, match="m-99"):
        queue.redrive({"m-3", by_letter, "m-99"})

    assert set(place.runs()) == {"m-3-r1", "m-7-r1"}
    assert len(place.bodies()) == 23


def test_a_message_that_fails_again_at_once_is_not_redriven_for_ever(place: Place, queue: DeadLetterQueue) -> None:
    place.put_letter()

    def fail_again(result: Redriven) -> None:
        if result.outcome == "redriven":
            place.put_letter("m-1-r1", message=envelope())

    assert queue.redrive(on_result=fail_again).counts == {"redriven": 1, "came_back": 1}
    assert len(place.bodies()) == 1


def test_a_service_that_fails_keeps_the_letter(
    place: Place, queue: DeadLetterQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    place.put_letter()
    place.installation.clients.stepfunctions.meta.events.register("before-send.stepfunctions.StartExecution", throttled)

    assert queue.redrive().counts == {"unavailable": 1}
    assert len(place.bodies()) == 1


def throttled(**_: Any) -> Any:
    return refusal("ThrottlingException", "Rate exceeded")


def test_some_or_all_are_purged(place: Place, queue: DeadLetterQueue) -> None:
    for number in range(25):
        place.put_letter(f"m-{number}")
    place.put("unreadable")

    assert queue.purge({"m-3", "m-4"}) == 2
    assert len(list(queue.letters())) == 24
    assert queue.purge() == 24
    assert place.bodies() == []
    with pytest.raises(LetterNotFound):
        queue.purge({"m-3"})


INGEST = "IngestDeadLetterQueueUrl"


@pytest.fixture
def ingest(place: Place) -> DeadLetterQueue:
    return open_queue(place.installation, "ingest", wait_seconds=0)


def test_what_ingest_could_not_read_says_why(place: Place, ingest: DeadLetterQueue) -> None:
    place.put("{}", queue=INGEST, reason="recipient: is missing")

    (letter,) = ingest.letters()

    assert (letter.reason, letter.cause, letter.body) == ("InvalidMessage", "recipient: is missing", "{}")


def test_what_ingest_could_not_take_goes_back_as_it_came_under_an_id(place: Place, ingest: DeadLetterQueue) -> None:
    place.put("Hello", queue=INGEST, user="ana", context="chat", contextId="42", reason="why")
    place.put(json.dumps(envelope(id=None)), queue=INGEST)
    place.put(json.dumps(envelope()), queue=INGEST)
    place.put("no JSON", queue=INGEST, reason="why")
    letters = {letter.body: letter.letter_id for letter in ingest.letters()}

    assert ingest.redrive().counts == {"redriven": 4}

    back = {message["Body"]: message.get("MessageAttributes", {}) for message in place.take("IngestQueueUrl")}
    assert {name: value["StringValue"] for name, value in back.pop("Hello").items()} == {
        "user": "ana",
        "context": "chat",
        "contextId": "42",
        "id": letters["Hello"],
    }
    assert back.pop("no JSON") == {}
    assert [json.loads(body) for body in sorted(back, key=len)] == [
        envelope(),
        envelope(id=letters[json.dumps(envelope(id=None))]),
    ]
    assert place.bodies(INGEST) == []


EVENT = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "ringback.message",
    "source": "shop",
    "account": "123456789012",
    "time": "2030-01-31T12:00:00Z",
    "region": "eu-central-1",
    "resources": [],
}
EVENTBRIDGE = {
    "RULE_ARN": "arn:aws:events:eu-central-1:123456789012:rule/bus/rule",
    "TARGET_ARN": "arn:aws:sqs:eu-central-1:123456789012:Messages",
    "ERROR_CODE": "NO_PERMISSIONS",
    "ERROR_MESSAGE": "not allowed",
    "RETRY_ATTEMPTS": "0",
}


def test_of_an_event_that_was_set_aside_the_detail_goes_back(place: Place, ingest: DeadLetterQueue) -> None:
    message, nameless = envelope(id="m-1"), {k: v for k, v in envelope().items() if k != "id"}
    place.put(json.dumps({**EVENT, "detail": message}), queue=INGEST, **EVENTBRIDGE)
    place.put(json.dumps({**EVENT, "detail": nameless}), queue=INGEST, **EVENTBRIDGE)
    letters = {letter.message_id: letter for letter in ingest.letters()}

    assert letters.keys() == {"m-1", None}
    assert (letters["m-1"].reason, letters["m-1"].cause) == ("NotTaken", "not allowed")
    assert ingest.redrive({"m-1", letters[None].letter_id}).counts == {"redriven": 2}

    back = place.take("IngestQueueUrl")
    assert [each.get("MessageAttributes", {}) for each in back] == [{}, {}]
    assert sorted((json.loads(each["Body"]) for each in back), key=lambda each: each["id"] != "m-1") == [
        message,
        {**nameless, "id": letters[None].letter_id},
    ]


MANY = 200


def come_back(place: Place, results: list[Redriven]) -> None:
    """What ingest does with what is no message, at once; and a test must end."""
    assert len(results) < MANY, "redriven for ever"
    for message in place.take("IngestQueueUrl"):
        place.installation.clients.sqs.delete_message(
            QueueUrl=place.installation.output("IngestQueueUrl"), ReceiptHandle=message["ReceiptHandle"]
        )
        place.put(message["Body"], queue=INGEST, reason="still no message")


def test_letters_that_come_back_at_once_again_and_again_are_redriven_once(
    place: Place, ingest: DeadLetterQueue
) -> None:
    for body in ("no JSON", "{}", "[]"):
        place.put(body, queue=INGEST, reason="no message")
    results: list[Redriven] = []

    def reject(result: Redriven) -> None:
        results.append(result)
        come_back(place, results)

    summary = ingest.redrive(on_result=reject)

    assert summary.counts == {"redriven": 3, "came_back": 3}
    assert len(place.bodies(INGEST)) == 3


def test_what_was_put_on_the_queue_after_the_beginning_stays_and_is_no_end(
    place: Place, ingest: DeadLetterQueue
) -> None:
    """The old ones are told from the new by SQS's clock, whatever they say; and the new ones may never cease."""
    for number in range(15):
        place.put(f"old {number}", queue=INGEST)
    results: list[Redriven] = []

    def send_later(parsed: Any, **_: Any) -> None:
        for message in parsed.get("Messages", []):
            if message["Body"].startswith("new"):
                message["Attributes"]["SentTimestamp"] = str(int(message["Attributes"]["SentTimestamp"]) + 2_000)

    def one_more(result: Redriven) -> None:
        results.append(result)
        assert len(results) < MANY, "read for ever"
        place.put(f"new {len(results)}", queue=INGEST)

    place.installation.clients.sqs.meta.events.register("after-call.sqs.ReceiveMessage", send_later)
    summary = ingest.redrive(on_result=one_more)

    assert summary.counts["redriven"] == 15
    assert set(summary.counts) == {"redriven", "came_back"}
    assert all(body.startswith("old") for body in place.bodies("IngestQueueUrl"))


@pytest.fixture
def flooded(place: Place) -> Place:
    """A queue with 15 letters, on which new ones are put as fast as they are read."""
    for old in range(15):
        place.put_letter(f"old-{old}")
    events = place.installation.clients.sqs.meta.events
    numbers = count()

    def flood(parsed: Any, **_: Any) -> None:
        for message in parsed.get("Messages", []):
            if '"new-' in message["Body"]:
                message["Attributes"]["SentTimestamp"] = str(int(message["Attributes"]["SentTimestamp"]) + 2_000)
        for number in islice(numbers, 10):
            assert number < 1_000, "read for ever"
            place.put_letter(f"new-{number}")

    events.register("after-call.sqs.ReceiveMessage", flood, unique_id="flood")
    return place


def test_looking_ends_though_letters_keep_coming(flooded: Place, queue: DeadLetterQueue) -> None:
    seen = {letter.message_id for letter in queue.letters()}

    assert seen >= {f"old-{number}" for number in range(15)}


def test_looking_for_one_ends_though_letters_keep_coming(flooded: Place, queue: DeadLetterQueue) -> None:
    with pytest.raises(LetterNotFound):
        queue.find("nobody-has-this")


def test_purging_all_leaves_what_came_after_it_began(flooded: Place, queue: DeadLetterQueue) -> None:
    assert queue.purge() == 15

    flooded.installation.clients.sqs.meta.events.unregister("after-call.sqs.ReceiveMessage", unique_id="flood")
    left = [json.loads(body)["message"]["id"] for body in flooded.bodies()]
    assert left
    assert all(name.startswith("new-") for name in left)


def test_letters_are_old_or_new_by_the_queue_s_clock(place: Place, ingest: DeadLetterQueue) -> None:
    """Years before its letters: a clock of this machine that is slow."""
    place.put("no JSON", queue=INGEST)
    place.installation.clients.sqs.meta.events.register(
        "after-call.sqs.GetQueueAttributes",
        lambda parsed, **_: parsed["ResponseMetadata"]["HTTPHeaders"].update(date="Thu, 31 Jan 2030 12:00:00 GMT"),
    )

    def an_hour_ago(parsed: Any, **_: Any) -> None:
        for message in parsed.get("Messages", []):
            message["Attributes"]["SentTimestamp"] = "1896087600000"

    place.installation.clients.sqs.meta.events.register("after-call.sqs.ReceiveMessage", an_hour_ago)

    assert ingest.redrive().counts == {"redriven": 1}


def test_many_letters_may_have_one_body(place: Place, ingest: DeadLetterQueue) -> None:
    def long_ago(parsed: Any, **_: Any) -> None:
        for message in parsed.get("Messages", []):
            message["Attributes"]["SentTimestamp"] = "0"

    place.installation.clients.sqs.meta.events.register("after-call.sqs.ReceiveMessage", long_ago)
    for _ in range(3):
        place.put("no JSON", queue=INGEST)

    assert ingest.redrive().counts == {"redriven": 3}


def test_a_detail_that_is_no_envelope_goes_back_to_be_refused_with_a_reason(
    place: Place, ingest: DeadLetterQueue
) -> None:
    place.put(json.dumps({**EVENT, "detail": "text"}), queue=INGEST, **EVENTBRIDGE)

    assert ingest.redrive().counts == {"redriven": 1}
    assert place.bodies("IngestQueueUrl") == ['"text"']


def test_only_attributes_that_are_read_go_back(place: Place, ingest: DeadLetterQueue) -> None:
    given = {"user": "ana", "context": "chat", "contextId": "42", "id": "m-1", "ttlSeconds": "60"}
    payload = json.dumps({"detail-type": "a payload may look like an event", "detail": 1})
    place.put(payload, queue=INGEST, **given, contentType="text/plain", reason="why", ERROR_CODE="x")
    # Without a recipient the body is the whole envelope, and attributes say nothing.
    place.put(json.dumps(envelope(id="m-2")), queue=INGEST, id="m-3", traceparent="00-1-2-3")

    assert {letter.message_id for letter in ingest.letters()} == {"m-1", "m-2"}
    ingest.redrive()

    back = {message["Body"]: message.get("MessageAttributes", {}) for message in place.take("IngestQueueUrl")}
    assert {name: value["StringValue"] for name, value in back[payload].items()} == {
        **given,
        "contentType": "text/plain",
    }
    assert back[json.dumps(envelope(id="m-2"))] == {}


def test_every_field_of_a_message_may_come_as_an_attribute() -> None:
    fields = {str(field.alias or name) for name, field in Envelope.model_fields.items()} - {"recipient", "payload"}
    assert fields | {"user", "context", "contextId", "contentType"} == dead_letters._INGEST_ATTRIBUTES
    assert {"ttlSeconds", "correlationId", "traceparent"} <= dead_letters._INGEST_ATTRIBUTES


def test_what_is_no_message_yet_has_no_life_to_renew(place: Place, ingest: DeadLetterQueue) -> None:
    place.put("no JSON", queue=INGEST)

    assert ingest.redrive(life=NewLife(ttl_seconds=60)).counts == {"refused": 1}
    assert place.bodies("IngestQueueUrl") == []


def test_a_stack_without_queues_says_so(place: Place) -> None:
    bare = type(place.installation)("here", {}, place.installation.clients)
    with pytest.raises(RingbackError, match="DeadLetterQueueUrl"):
        open_queue(bare)
