"""What EventBridge is asked, and what becomes of the events that it does not take."""

import json
from typing import Any

import pytest

from lambdas.adapters.message_bus import MessageBus, Untold
from lambdas.core.presence import Change
from tests.builders import NOW, recipient
from tests.integration.service import Answer, Service

SECRET = "s3cr3t"
BUS = MessageBus("Messages")


def changes(number: int) -> list[Change]:
    return [Change(recipient(), f"c-{n}", opened=True, at=NOW) for n in range(number)]


def answer(*codes: str | None) -> Answer:
    """A call that succeeds, though it may leave some events out: those with a code."""
    entries = [{"ErrorCode": code, "ErrorMessage": SECRET} if code else {"EventId": "e"} for code in codes]
    body = {"FailedEntryCount": sum(map(bool, codes)), "Entries": entries}
    return Answer(200, json.dumps(body).encode())


def asked(service: Service) -> list[list[dict[str, Any]]]:
    return [json.loads(request.body)["Entries"] for request in service.requests]


def test_an_event_says_of_itself_what_rules_look_for(service: Service) -> None:
    service.answer = answer(None)
    (change,) = changes(1)

    assert BUS.tell([change]) is None

    ((entry,),) = asked(service)
    assert json.loads(entry.pop("Detail")) == change.detail
    assert entry == {
        "EventBusName": "Messages",
        "Source": "ringback",
        "DetailType": "ringback.connection.opened",
        "Time": NOW.timestamp(),
    }


@pytest.mark.parametrize(("number", "calls"), [(0, []), (10, [10]), (25, [10, 10, 5])])
def test_a_call_holds_ten_events_at_most(service: Service, number: int, calls: list[int]) -> None:
    service.answer = answer(None)

    assert BUS.tell(changes(number)) is None

    entries = asked(service)
    assert [len(each) for each in entries] == calls
    told = [json.loads(entry["Detail"])["connectionId"] for each in entries for entry in each]
    assert told == [change.connection_id for change in changes(number)]


@pytest.mark.parametrize(
    ("codes", "first"),
    [
        ([None, "ThrottlingException", None], 1),
        (["ThrottlingException", "InternalFailure", None], 0),
        ([None, None, "ThrottlingException"], 2),
    ],
)
def test_an_event_that_a_successful_call_left_out_is_told_with_those_that_follow(
    service: Service, codes: list[str | None], first: int
) -> None:
    service.answer = answer(*codes)

    assert BUS.tell(changes(3)) == Untold(first, "PutEvents: ThrottlingException")


def test_what_fails_in_a_later_call_is_counted_from_the_beginning(service: Service, monkeypatch: Any) -> None:
    answers = [answer(*[None] * 10), answer(None, None, "InternalFailure")]
    put = MessageBus._put

    def next_answer(bus: MessageBus, some: Any) -> Any:
        service.answer = answers.pop(0)
        return put(bus, some)

    monkeypatch.setattr(MessageBus, "_put", next_answer)

    assert BUS.tell(changes(25)) == Untold(12, "PutEvents: InternalFailure")
    assert [len(each) for each in asked(service)] == [10, 10], "what follows is not put"


def test_a_call_that_fails_is_told_from_its_first_event_on_and_quotes_nothing(service: Service) -> None:
    body = {"__type": "com.amazonaws#AccessDeniedException", "message": f"Invalid: {SECRET}"}
    service.answer = Answer(400, json.dumps(body).encode())

    assert BUS.tell(changes(11)) == Untold(0, "PutEvents: AccessDeniedException")
    assert len(service.requests) == 1
