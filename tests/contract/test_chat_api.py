"""The chat's HTTP API as API Gateway calls it. Who may do what when: `test_chat_table.py`."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from openapi_spec_validator import validate

from lambdas.chat.adapters import aws
from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core import errors, rules
from lambdas.chat.core.errors import ChatError
from lambdas.chat.core.model import Chat, Person, Role
from lambdas.chat.routes import chat_api
from lambdas.chat.routes.openapi import openapi
from lambdas.chat.routes.problems import Kind
from lambdas.problems import General
from tests.builders import NOW
from tests.chats import ANA, BO, CY, DAN, later
from tests.contract.chat_desk import (
    ACCEPTED,
    ENDED_BY_CUSTOMER,
    RATED,
    REQUEUED,
    SPENT,
    Answer,
    Desk,
    as_text,
    claims_of,
    desk,  # noqa: F401 - a fixture
    said,
    token_of,
)
from tests.contract.conftest import SECRET, Stage, spoil_state
from tests.contract.http_gateway import http_event
from tests.contract.test_chat_table import ACTIONS, EXPECTED, PROBLEMS

# POST /chats


def test_a_chat_is_started(desk: Desk) -> None:  # noqa: F811
    answer = desk.call(ANA, "POST", "/chats", {"subject": SECRET})

    assert answer.status == 201
    chat = answer.body
    assert uuid.UUID(chat["id"]).version == 4
    assert answer.headers["Location"] == f"/chats/{chat['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert chat == {
        "id": chat["id"],
        "status": "WAITING",
        "customer": "ana",
        "version": 1,
        "subject": SECRET,
        "startedAt": "2030-01-31T12:00:00Z",
        "waitingSince": "2030-01-31T12:00:00Z",
        "lastActivityAt": "2030-01-31T12:00:00Z",
    }
    assert desk.call(ANA, "GET", answer.headers["Location"]).body == {**chat, "position": 1}


def test_a_customer_has_one_open_chat(desk: Desk) -> None:  # noqa: F811
    first = desk.call(ANA, "POST", "/chats", {"subject": "first"})
    again = desk.call(ANA, "POST", "/chats", {"subject": "second"})
    of_another = desk.call(DAN, "POST", "/chats", {})
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Location"] == first.headers["Location"]
    assert of_another.status == 201

    desk.call(ANA, "POST", f"{first.headers['Location']}/end")

    another = desk.call(ANA, "POST", "/chats", {})
    assert another.status == 201
    assert another.body["id"] != first.body["id"]


def test_a_customer_finds_their_chat_also_when_it_is_over(desk: Desk) -> None:  # noqa: F811
    def found() -> Any:
        return desk.call(ANA, "GET", "/chats").body["chats"]

    assert found() == []
    desk.chat(by=DAN, chat_id="c-2")
    assert found() == []
    desk.chat(ACCEPTED)
    assert found() == [desk.now().as_json()]
    desk.call(ANA, "POST", "/chats/c-1/end")
    assert found() == [desk.now().as_json()]
    assert found()[0]["status"] == "ENDED"
    again = desk.call(ANA, "POST", "/chats", {})
    assert (again.status, found()) == (201, [again.body])
    desk.call(BO, "GET", "/chats").problem(Kind.CUSTOMERS_ONLY)


def test_who_starts_chat_after_chat_is_told_to_slow_down(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED, *SPENT, ENDED_BY_CUSTOMER)

    refused = desk.call(ANA, "POST", "/chats", {})

    refused.problem(Kind.TOO_MANY_MESSAGES)
    desk.clock.sleep(int(refused.headers["Retry-After"]))
    assert desk.call(ANA, "POST", "/chats", {}).status == 201


def test_a_chat_that_cannot_be_read_hides_no_other_and_may_be_readable_later(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    other = desk.chat(ACCEPTED, chat_id="c-2", by=DAN)
    spoil_state("c-1")

    assert desk.call(BO, "GET", "/chats/waiting").body["active"] == [other.as_json()]
    for path in ("/chats", "/chats/c-1", "/chats/c-1/messages"):
        desk.call(ANA, "GET", path).problem(Kind.UNREADABLE)
    desk.call(ANA, "POST", "/chats", {}).problem(Kind.UNREADABLE)


@pytest.mark.parametrize("body", [None, "{}", {"subject": None}])
def test_a_chat_needs_no_subject(desk: Desk, body: Any) -> None:  # noqa: F811
    answer = desk.call(ANA, "POST", "/chats", body)
    assert answer.status == 201
    assert "subject" not in answer.body


def test_agents_start_no_chats_and_customers_see_no_queue(desk: Desk) -> None:  # noqa: F811
    desk.call(BO, "POST", "/chats", {}).problem(Kind.CUSTOMERS_ONLY)
    desk.call(ANA, "GET", "/chats/waiting").problem(Kind.AGENTS_ONLY)


# Who calls


@pytest.mark.parametrize(
    ("claimed", "role"),
    [
        ({}, Role.CUSTOMER),
        ({"roles": "agent"}, Role.CUSTOMER),
        ({"role": "agent"}, Role.AGENT),
        *(
            ({"role": other}, Role.CUSTOMER)
            for other in ("", "customer", "agents", "Agent", " agent", "no agent", "[agent]", "[my agent]", '["agent"]')
        ),
        ({"role": ["agent"]}, Role.AGENT),
        ({"role": ["customer", "agent"]}, Role.AGENT),
        ({"role": ["former agent", "agent"]}, Role.AGENT),
        ({"role": [1, None, "agent"]}, Role.AGENT),
        # As API Gateway tells them, the word stands alone in each of these lists.
        *(
            ({"role": others}, Role.CUSTOMER)
            for others in (["agents", "customer"], ["not an agent"], ["former agent"], ["an agent of change"])
        ),
        *(({"role": odd}, Role.CUSTOMER) for odd in ([], [["agent"]], {"agent": True}, [{"agent": 1}], True, 1, None)),
    ],
    ids=str,
)
def test_the_token_says_who_is_an_agent(desk: Desk, claimed: dict[str, Any], role: Role) -> None:  # noqa: F811
    status = desk.call(BO, "GET", "/chats/waiting", None, {"sub": "bo", **claimed}).status
    assert status == (200 if role is Role.AGENT else 403)


def test_the_stage_says_which_claim_and_which_role(desk: Desk, stage: Stage) -> None:  # noqa: F811
    stage.set(ROLE_CLAIM="https://shop.example/groups", AGENT_ROLE="support")
    theirs = {"sub": "bo", "https://shop.example/groups": ["staff", "support"]}
    assert desk.call(BO, "GET", "/chats/waiting", None, theirs).status == 200
    desk.call(BO, "GET", "/chats/waiting").problem(Kind.AGENTS_ONLY)


@pytest.mark.parametrize(
    "claims", [{}, {"sub": ""}, {"sub": f"{SECRET} #"}, {"sub": "é"}, {"sub": "x" * 256}, {"sub": 5}, {"sub": ["bo"]}]
)
def test_a_token_that_names_nobody_is_refused(desk: Desk, claims: dict[str, Any]) -> None:  # noqa: F811
    for method, path in (("POST", "/chats"), ("GET", "/chats/c-1")):
        desk.call(ANA, method, path, None, {**claims, "role": "agent"}).problem(Kind.FORBIDDEN)


OF_BO = token_of({"sub": "bo", "role": "agent"})


@pytest.mark.parametrize("header", [f"Bearer {OF_BO}", f"bearer {OF_BO}", OF_BO, f"Bearer  {OF_BO}"])
def test_the_token_is_read_as_api_gateway_reads_it(desk: Desk, header: str) -> None:  # noqa: F811
    assert desk.call(BO, "GET", "/chats/waiting", authorization=header).status == 200


def test_an_agent_s_name_may_be_any_that_json_can_write(desk: Desk) -> None:  # noqa: F811
    """Whose payload ends anywhere, and has both characters that only base64url has."""
    for length in range(3):
        claims = {"sub": "bo", "role": "agent", "name": "ÿþ?>" * 3 + "~" * length}
        assert desk.call(BO, "GET", "/chats/waiting", None, claims).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        f"Bearer {OF_BO}, Bearer {OF_BO}",  # as API Gateway joins two headers
        f"Bearer {OF_BO},Bearer {OF_BO}",
        f"Bearer {OF_BO.rpartition('.')[0]}",
        f"Bearer {OF_BO}.more",
        "Bearer e30.e.e30",
        "Bearer e30.é.e30",
        "Bearer e30.gICA.e30",  # no UTF-8
        "Bearer e30.e30.e30",  # nobody
        f"Bearer {token_of('bo')}",
        f"Bearer {token_of(['sub', 'bo'])}",
        f"Bearer {token_of({'sub': 'ana', 'role': 'agent'})}",
        f"Bearer {token_of({'sub': ['bo'], 'role': 'agent'})}",
    ],
)
def test_another_token_than_the_verified_one_is_refused(desk: Desk, header: str) -> None:  # noqa: F811
    told = desk.call(BO, "GET", "/chats/waiting", authorization=header).problem(Kind.FORBIDDEN)
    assert told["detail"] == "send one token, with a sub, in the header Authorization: Bearer TOKEN"


def test_without_the_header_nobody_is_anybody(stage: Stage, desk: Desk) -> None:  # noqa: F811
    event = http_event("GET", "/chats/waiting", None, as_text(claims_of(BO)))
    assert "authorization" not in event["headers"]
    Answer(stage.call(chat_api.handler, event)).problem(Kind.FORBIDDEN)


# GET /chats/waiting, GET /chats/{id}


def test_the_queue_is_listed_first_come_first_served(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED, chat_id="c-cy", by=customer("eve"))
    third = desk.chat(chat_id="c-3", by=DAN, at=later(3))
    second = desk.chat(ACCEPTED, REQUEUED, chat_id="c-2", at=later(2))
    first = desk.chat(chat_id="c-1", by=customer("fay"), at=later(1))
    desk.call(CY, "POST", "/chats/c-1/accept")

    listed = desk.call(CY, "GET", "/chats/waiting").body

    assert [(chat["id"], chat["position"]) for chat in listed["waiting"]] == [("c-2", 1), ("c-3", 2)]
    assert [chat["customer"] for chat in listed["waiting"]] == [second.customer, third.customer]
    assert [(chat["id"], chat["agent"]) for chat in listed["active"]] == [(first.id, "cy")]
    of_bo = desk.call(BO, "GET", "/chats/waiting").body
    assert [chat["id"] for chat in of_bo["active"]] == ["c-cy"]
    assert of_bo["waiting"] == listed["waiting"]


def test_nobody_waits(desk: Desk) -> None:  # noqa: F811
    assert desk.call(BO, "GET", "/chats/waiting").body == {"waiting": [], "active": []}


def test_a_chat_that_went_to_somebody_else_while_it_was_listed_is_left_out(
    desk: Desk,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk.chat(ACCEPTED, chat_id="c-1")
    desk.chat(ACCEPTED, ENDED_BY_CUSTOMER, chat_id="c-2", by=DAN)
    monkeypatch.setattr(ChatTable, "active_of", lambda *_: ["c-1", "c-2", "c-3"])
    assert [chat["id"] for chat in desk.call(BO, "GET", "/chats/waiting").body["active"]] == ["c-1"]
    assert desk.call(CY, "GET", "/chats/waiting").body["active"] == []


def test_a_chat_has_a_position_while_it_waits(desk: Desk) -> None:  # noqa: F811
    desk.chat(chat_id="c-0", by=DAN, at=later(-1))
    desk.chat(at=NOW)
    assert desk.call(ANA, "GET", "/chats/c-1").body["position"] == 2
    assert desk.call(BO, "GET", "/chats/c-1").body["position"] == 2

    desk.call(BO, "POST", "/chats/c-0/accept")
    assert desk.call(ANA, "GET", "/chats/c-1").body["position"] == 1

    desk.call(BO, "POST", "/chats/c-1/accept")
    assert "position" not in desk.call(ANA, "GET", "/chats/c-1").body


def test_a_chat_that_does_not_wait_costs_no_look_at_the_queue(
    desk: Desk,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []

    def look(_: ChatTable, *, limit: int) -> list[Chat]:
        looks.append(limit)
        return []

    monkeypatch.setattr(ChatTable, "waiting", look)
    desk.chat(chat_id="c-0", by=DAN)
    desk.chat(ACCEPTED)

    assert desk.call(DAN, "GET", "/chats/c-0").status == desk.call(ANA, "GET", "/chats/c-1").status == 200
    assert len(looks) == 1


@pytest.mark.parametrize(
    "chat_id", ["c-404", f"{uuid.UUID(int=4)}", "a%20b", "%C3%A4", "a%2Fb", "a%23b", "x" * 81, "%25"]
)
def test_what_is_no_chat_is_not_found(desk: Desk, chat_id: str) -> None:  # noqa: F811
    for by in (ANA, BO):
        answer = desk.call(by, "GET", f"/chats/{chat_id}")
        assert answer.status == 404
        answer.problem(General.NO_SUCH_ROUTE if chat_id in {"a%2Fb", "a%23b"} else Kind.CHAT_NOT_FOUND)


# POST /chats/{id}/messages, GET /chats/{id}/messages


def test_what_is_said_is_an_event(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    desk.clock.sleep(30)

    answer = desk.call(BO, "POST", "/chats/c-1/messages", {"id": "m/1 ".strip(), "text": "Grüße\n\t👋"})

    assert answer.status == 201
    assert answer.body == {
        "chatId": "c-1",
        "number": 3,
        "type": "chat.message",
        "at": "2030-01-31T12:00:30Z",
        "by": {"role": "agent", "user": "bo"},
        "id": "m/1",
        "text": "Grüße\n\t👋",
        "seconds": 30,
    }
    assert desk.call(ANA, "GET", "/chats/c-1/messages", query="after=2").body == {
        "messages": [answer.body],
        "more": False,
    }


def test_a_message_is_said_once_for_each_id(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    message = {"id": "m-1", "text": SECRET}
    first = desk.call(ANA, "POST", "/chats/c-1/messages", message)
    desk.clock.sleep(1)
    again = desk.call(ANA, "POST", "/chats/c-1/messages", message)
    assert (first.status, again.status) == (201, 200)
    assert again.body == first.body

    for by, text in ((ANA, "another"), (BO, SECRET)):
        desk.call(by, "POST", "/chats/c-1/messages", {"id": "m-1", "text": text}).problem(Kind.ID_TAKEN)
    desk.call(ANA, "POST", "/chats/c-1/end")
    assert desk.call(ANA, "POST", "/chats/c-1/messages", message).body == first.body, "its answer was lost"
    assert desk.now().version == 4


def test_who_says_too_much_is_told_when_to_go_on(desk: Desk, stage: Stage) -> None:  # noqa: F811
    desk.chat(ACCEPTED, *SPENT)
    said_before = {"id": "m-customer", "text": "and"}
    more = {"id": "m-1", "text": "more"}

    refused = desk.call(ANA, "POST", "/chats/c-1/messages", more)

    refused.problem(Kind.TOO_MANY_MESSAGES)
    assert refused.headers["Retry-After"] == "2"
    assert desk.call(ANA, "POST", "/chats/c-1/messages", said_before).status == 200, "it was said, and is not said anew"
    assert stage.metrics() == {}
    desk.clock.sleep(2)
    assert desk.call(ANA, "POST", "/chats/c-1/messages", more).status == 201
    answers = [desk.call(ANA, "GET", f"/chats/c-1{path}") for path in ("", "/messages", "/transcript")]
    answers += [desk.call(BO, "GET", "/chats/waiting"), desk.call(BO, "POST", "/chats/c-1/accept")]
    assert {answer.status for answer in answers} == {200}
    assert not [answer.text for answer in answers if "llowance" in answer.text], "nobody is shown what is left"


@pytest.mark.parametrize("given", [{}, {"id": None}])
def test_a_message_without_an_id_gets_one(desk: Desk, given: dict[str, Any]) -> None:  # noqa: F811
    desk.chat()
    said_twice = [desk.call(ANA, "POST", "/chats/c-1/messages", {"text": "hello", **given}) for _ in range(2)]
    assert [answer.status for answer in said_twice] == [201, 201]
    ids = {uuid.UUID(answer.body["id"]) for answer in said_twice}
    assert len(ids) == 2


def test_the_log_is_read_in_pages(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED, *(said(f"text {number}", message_id=f"m-{number}") for number in range(3, 8)))

    def page(query: str) -> tuple[list[int], bool]:
        body = desk.call(ANA, "GET", "/chats/c-1/messages", query=query).body
        return [event["number"] for event in body["messages"]], body["more"]

    assert page("") == ([1, 2, 3, 4, 5, 6, 7], False)
    assert page("limit=3") == ([1, 2, 3], True)
    assert page("after=3&limit=3") == ([4, 5, 6], True)
    assert page("after=4&limit=3") == ([5, 6, 7], False)
    assert page("after=6&limit=100") == ([7], False)
    assert page("after=7") == ([], False)
    assert page("after=99999999") == ([], False)


def test_a_page_has_a_hundred_events_unless_fewer_are_wanted(desk: Desk) -> None:  # noqa: F811
    desk.chat(*(said("x", message_id=f"m-{number}") for number in range(101)))
    body = desk.call(ANA, "GET", "/chats/c-1/messages").body
    assert ([event["number"] for event in body["messages"]], body["more"]) == (list(range(1, 101)), True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=", "after"),
        ("after=1.5", "after"),
        ("after=100000000", "after"),
        (f"after={SECRET}", "after"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
    ],
)
def test_what_is_no_page_is_refused(desk: Desk, query: str, field: str) -> None:  # noqa: F811
    desk.chat()
    problem = desk.call(ANA, "GET", "/chats/c-1/messages", query=query).problem(General.INVALID_REQUEST)
    assert [error["field"] for error in problem["errors"]] == [field]


# POST /chats/{id}/typing


def test_typing_is_shown_to_the_other_side_and_kept_nowhere(desk: Desk) -> None:  # noqa: F811
    before = desk.chat(ACCEPTED)

    answer = desk.call(ANA, "POST", "/chats/c-1/typing")

    assert (answer.status, answer.body) == (202, {"told": True})
    (shown,) = desk.ringback.taken
    assert shown | {"id": ""} == {
        "id": "",
        "recipient": {"user": "bo", "context": "desk", "contextId": "chat"},
        "type": "chat.typing",
        "payload": {"chatId": "c-1", "by": {"role": "customer", "user": "ana"}, "at": "2030-01-31T12:00:00.000Z"},
        "durable": False,
    }
    assert desk.now() == before
    desk.call(BO, "POST", "/chats/c-1/typing")
    assert desk.ringback.taken[1]["recipient"] == {"user": "ana", "context": "chat", "contextId": "support"}


def test_that_nobody_could_be_shown_it_is_no_error(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    desk.ringback.absent = {"bo"}
    answer = desk.call(ANA, "POST", "/chats/c-1/typing")
    assert (answer.status, answer.body) == (202, {"told": False})
    desk.ringback.broken = True
    assert desk.call(BO, "POST", "/chats/c-1/typing").body == {"told": False}


# POST /chats/{id}/accept, transfer, end, rating


def test_of_two_agents_who_accept_one_gets_the_chat(desk: Desk) -> None:  # noqa: F811
    desk.chat()
    accepted = desk.call(BO, "POST", "/chats/c-1/accept")
    assert (accepted.status, accepted.body["status"], accepted.body["agent"]) == (200, "ACTIVE", "bo")
    desk.call(CY, "POST", "/chats/c-1/accept").problem(Kind.ALREADY_ACCEPTED)
    assert desk.call(BO, "POST", "/chats/c-1/accept").body == accepted.body


def test_an_agent_who_is_not_at_the_desk_can_neither_accept_nor_be_given_a_chat(desk: Desk) -> None:  # noqa: F811
    desk.chat()
    desk.disconnect(CY)
    told = desk.call(CY, "POST", "/chats/c-1/accept").problem(Kind.NOT_AT_THE_DESK)
    assert "context=desk&contextId=chat" in told["detail"]
    desk.call(BO, "POST", "/chats/c-1/accept")
    desk.call(BO, "POST", "/chats/c-1/transfer", {"agent": "cy"}).problem(Kind.AGENT_NOT_PRESENT)

    desk.connect(CY)

    assert desk.call(BO, "POST", "/chats/c-1/transfer", {"agent": "cy"}).body["agent"] == "cy"


@pytest.mark.parametrize("body", [{"queue": True}, {"queue": True, "agent": None}])
def test_a_chat_goes_back_to_its_place_in_the_queue(desk: Desk, body: Any) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    desk.chat(chat_id="c-2", by=DAN, at=later(1))
    chat = desk.call(BO, "POST", "/chats/c-1/transfer", body).body
    assert (chat["status"], "agent" in chat) == ("WAITING", False)
    assert desk.call(ANA, "GET", "/chats/c-1").body["position"] == 1


@pytest.mark.parametrize(("by", "reason"), [(ANA, "customer"), (BO, "agent")])
def test_either_side_ends_a_chat(desk: Desk, by: Person, reason: str) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    answer = desk.call(by, "POST", "/chats/c-1/end")
    assert (answer.status, answer.body["status"], answer.body["endReason"]) == (200, "ENDED", reason)
    assert answer.body["endedAt"] == "2030-01-31T12:00:00Z"


@pytest.mark.parametrize("given", [{"rating": 1}, {"rating": 5.0, "feedback": None}, {"rating": 3, "feedback": SECRET}])
def test_a_rating_is_kept_with_the_chat(desk: Desk, given: dict[str, Any]) -> None:  # noqa: F811
    desk.chat(ACCEPTED, ENDED_BY_CUSTOMER)
    answer = desk.call(ANA, "POST", "/chats/c-1/rating", given)
    assert (answer.status, answer.body["rating"]) == (200, given["rating"])
    assert answer.body.get("feedback") == given.get("feedback")
    assert desk.call(BO, "GET", "/chats/c-1").body == answer.body


# What is sent

LONGEST = "👋" * 4000
TURNS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
BODIES: list[tuple[str, Any, list[str]]] = [
    ("/chats", {"subject": ""}, ["subject"]),
    ("/chats", {"subject": "x" * 201}, ["subject"]),
    ("/chats", {"subject": 1}, ["subject"]),
    ("/chats", {"subject": f"{SECRET}\u0007"}, ["subject"]),
    ("/chats", {"subject": " "}, ["subject"]),
    ("/chats", {"subject": f"\u202e{SECRET}"}, ["subject"]),
    ("/chats", {"subjekt": SECRET}, ["subjekt"]),
    ("/chats", {"customer": SECRET, "status": "ENDED"}, ["customer", "status"]),
    ("/chats/c-1/messages", {}, ["text"]),
    ("/chats/c-1/messages", {"text": None}, ["text"]),
    ("/chats/c-1/messages", {"text": ""}, ["text"]),
    ("/chats/c-1/messages", {"text": f"{LONGEST}!"}, ["text"]),
    ("/chats/c-1/messages", {"text": [SECRET]}, ["text"]),
    ("/chats/c-1/messages", {"text": f"{SECRET}\u0000"}, ["text"]),
    ("/chats/c-1/messages", {"text": f"{SECRET}\u001b[2J"}, ["text"]),
    ("/chats/c-1/messages", {"text": f"{SECRET}\u0085"}, ["text"]),
    ("/chats/c-1/messages", f'{{"text": "{SECRET}\\ud800"}}', ["text"]),
    *(("/chats/c-1/messages", {"text": blank}, ["text"]) for blank in ("   ", "\n\t", "\u3000\u00a0", "\u200b\u200d")),
    *(("/chats/c-1/messages", {"text": f"{SECRET}{chr(turn)}!"}, ["text"]) for turn in TURNS),
    ("/chats/c-1/messages", {"text": "x", "id": ""}, ["id"]),
    ("/chats/c-1/messages", {"text": "x", "id": f"{SECRET}#"}, ["id"]),
    ("/chats/c-1/messages", {"text": "x", "id": "x" * 129}, ["id"]),
    ("/chats/c-1/messages", {"text": "x", "id": 7}, ["id"]),
    ("/chats/c-1/messages", {"text": "x", "by": SECRET, "number": 1}, ["by", "number"]),
    ("/chats/c-1/transfer", {}, ["agent", "queue"]),
    ("/chats/c-1/transfer", {"agent": None, "queue": None}, ["agent", "queue"]),
    ("/chats/c-1/transfer", {"agent": "cy", "queue": True}, ["agent", "queue"]),
    ("/chats/c-1/transfer", {"queue": False}, ["agent", "queue"]),
    ("/chats/c-1/transfer", {"queue": "true"}, ["queue"]),
    ("/chats/c-1/transfer", {"queue": 1}, ["queue"]),
    ("/chats/c-1/transfer", {"agent": f"{SECRET} #"}, ["agent"]),
    ("/chats/c-1/transfer", {"agent": 1, "queue": True}, ["agent"]),
    ("/chats/c-1/transfer", {"to": SECRET, "queue": True}, ["to"]),
    ("/chats/c-1/rating", {}, ["rating"]),
    ("/chats/c-1/rating", {"rating": 0}, ["rating"]),
    ("/chats/c-1/rating", {"rating": 6}, ["rating"]),
    ("/chats/c-1/rating", {"rating": 4.5}, ["rating"]),
    ("/chats/c-1/rating", {"rating": "5"}, ["rating"]),
    ("/chats/c-1/rating", {"rating": True}, ["rating"]),
    ("/chats/c-1/rating", '{"rating": 1e999}', ["rating"]),
    ("/chats/c-1/rating", {"rating": 5, "feedback": ""}, ["feedback"]),
    ("/chats/c-1/rating", {"rating": 5, "feedback": "x" * 2001}, ["feedback"]),
    ("/chats/c-1/rating", {"rating": 5, "feedback": f"{SECRET}\u200f\u007f"}, ["feedback"]),
    ("/chats/c-1/rating", {"rating": 5, "feedback": "\r\n"}, ["feedback"]),
    ("/chats/c-1/rating", {"rating": 5, "feedback": f"{SECRET}\u2067"}, ["feedback"]),
    ("/chats/c-1/rating", {"rating": 0, "feedback": 1, "x": 1}, ["rating", "feedback", "x"]),
]


@pytest.mark.parametrize(("path", "body", "fields"), BODIES, ids=[f"{path} {fields}" for path, _, fields in BODIES])
def test_what_cannot_be_read_is_told_field_by_field(
    desk: Desk,  # noqa: F811
    path: str,
    body: Any,
    fields: list[str],
) -> None:
    before = desk.chat(ACCEPTED)
    by = BO if path.endswith("transfer") else ANA
    problem = desk.call(by, "POST", path, body).problem(General.INVALID_REQUEST)
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(error["detail"] for error in problem["errors"])
    assert desk.now() == before


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("messages", {}, "text: is missing"),
        ("messages", {"text": ""}, "text: must not be empty"),
        ("messages", {"text": 3}, "text: must be a text"),
        ("messages", {"text": "x" * 4001}, "text: must have at most 4000 characters"),
        ("rating", {"rating": 6}, "rating: must be at most 5"),
        ("rating", {"rating": 0}, "rating: must be at least 1"),
        ("rating", {"rating": "5"}, "rating: must be a whole number"),
        ("transfer", {}, 'agent or queue: give one of the two: "agent" with a name, or "queue" as true'),
        ("transfer", {"queue": 1}, "queue: must be true or false"),
    ],
)
def test_what_cannot_be_read_is_told_in_plain_words(
    desk: Desk,  # noqa: F811
    path: str,
    body: Any,
    told: str,
) -> None:
    desk.chat(ACCEPTED)
    by = BO if path == "transfer" else ANA
    problem = desk.call(by, "POST", f"/chats/c-1/{path}", body).problem(General.INVALID_REQUEST)
    assert problem["detail"] == told


@pytest.mark.parametrize("after", ["-1", "x"])
def test_a_parameter_that_cannot_be_read_is_told_in_plain_words(desk: Desk, after: str) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    problem = desk.call(ANA, "GET", "/chats/c-1/messages", query=f"after={after}").problem(General.INVALID_REQUEST)
    assert problem["detail"] == {"-1": "after: must be at least 0", "x": "after: must be a whole number"}[after]


@pytest.mark.parametrize("text", ["  .", "x\n", "\u200fאבג\u200e!", "👩\u200d🚀", "\u2028x", " " * 3999 + "!"])
def test_what_says_something_is_taken_as_it_is(desk: Desk, text: str) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    assert desk.call(ANA, "POST", "/chats/c-1/messages", {"text": text}).body["text"] == text


def test_the_longest_texts_are_taken(desk: Desk) -> None:  # noqa: F811
    desk.chat(ACCEPTED)
    assert desk.call(ANA, "POST", "/chats/c-1/messages", {"id": "~" * 128, "text": LONGEST}).status == 201
    desk.call(ANA, "POST", "/chats/c-1/end")
    rated = desk.call(ANA, "POST", "/chats/c-1/rating", {"rating": 1, "feedback": "👋" * 2000})
    started = desk.call(ANA, "POST", "/chats", {"subject": "👋" * 200})
    assert (rated.status, started.status) == (200, 201)


@pytest.mark.parametrize(
    "path", ["/chats", "/chats/c-1/messages", "/chats/c-1/transfer", "/chats/c-1/rating"], ids=lambda path: path
)
def test_what_is_no_json_object_is_refused(desk: Desk, path: str) -> None:  # noqa: F811
    for body in ("{", "[]", "null", '"x"', '{"text": NaN}', "[" * 100_000, b'{"text": "\xff"}'):
        desk.call(ANA, "POST", path, body).problem(General.INVALID_REQUEST)
    as_text = desk.call(ANA, "POST", path, "text=hello", content_type="text/plain")
    as_text.problem(General.UNSUPPORTED_MEDIA_TYPE)


# GET /chats/{id}/transcript


@pytest.mark.parametrize(
    ("query", "headers", "media_type"),
    [
        ("", {}, "application/json"),
        ("", {"accept": "*/*"}, "application/json"),
        ("", {"accept": "application/*"}, "application/json"),
        ("", {"accept": "text/html, application/json;q=0.9"}, "application/json"),
        ("", {"accept": "Text/Plain; charset=utf-8"}, "text/plain"),
        ("", {"accept": "text/*"}, "text/plain"),
        ("", {"accept": "application/json;q=0.1, text/plain;q=0.2"}, "text/plain"),
        ("", {"accept": "text/plain, */*;q=0.1"}, "text/plain"),
        ("", {"accept": "application/json;q=0, */*"}, "text/plain"),
        ("format=text", {"accept": "application/json"}, "text/plain"),
        ("format=json", {"accept": "text/plain"}, "application/json"),
        ("format=json", {"accept": "text/html"}, "application/json"),
    ],
)
def test_a_transcript_has_the_form_that_is_wanted(
    desk: Desk,  # noqa: F811
    query: str,
    headers: dict[str, str],
    media_type: str,
) -> None:
    desk.chat(ACCEPTED, said("Grüße"), ENDED_BY_CUSTOMER, RATED)

    answer = desk.call(ANA, "GET", "/chats/c-1/transcript", query=query, **headers)

    assert answer.status == 200
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert answer.headers["Vary"] == "Accept"
    if media_type == "application/json":
        assert answer.body["chat"] == desk.call(ANA, "GET", "/chats/c-1").body
        assert answer.body["events"] == desk.call(ANA, "GET", "/chats/c-1/messages").body["messages"]
        assert answer.body["complete"] is True
    else:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "2030-01-31 12:00:00 UTC  ana (customer): Grüße\n" in answer.text


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "text/plain;q=0, application/json;q=x", ";,"])
def test_another_form_there_is_not(desk: Desk, accept: str) -> None:  # noqa: F811
    desk.chat()
    desk.call(ANA, "GET", "/chats/c-1/transcript", accept=accept).problem(General.NOT_ACCEPTABLE)


def test_an_unknown_format_is_refused(desk: Desk) -> None:  # noqa: F811
    desk.chat()
    problem = desk.call(ANA, "GET", "/chats/c-1/transcript", query="format=xml").problem(General.INVALID_REQUEST)
    assert problem["errors"] == [{"field": "format", "detail": "must be 'json' or 'text'"}]


# Everything else


@pytest.mark.parametrize("path", ["/", "/chat", "/chats/", "/chats/c-1/", "/chats/c-1/message", "/chats/c-1/end/now"])
def test_a_path_that_leads_nowhere_is_a_problem(desk: Desk, path: str) -> None:  # noqa: F811
    desk.call(ANA, "GET", path).problem(General.NO_SUCH_ROUTE)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/chats", "GET, POST"),
        ("POST", "/chats/waiting", "GET"),
        ("DELETE", "/chats/c-1", "GET"),
        ("PUT", "/chats/c-1/messages", "GET, POST"),
        ("GET", "/chats/c-1/accept", "POST"),
        ("PATCH", "/chats/c-1/rating", "POST"),
        ("POST", "/chats/c-1/transcript", "GET"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_which_it_does(
    desk: Desk,  # noqa: F811
    method: str,
    path: str,
    allow: str,
) -> None:
    answer = desk.call(ANA, method, path)
    answer.problem(General.METHOD_NOT_ALLOWED)
    assert answer.headers["Allow"] == allow


CALLS = [
    (ANA, "POST", "/chats", {}),
    (ANA, "GET", "/chats", None),
    (BO, "GET", "/chats/waiting", None),
    (ANA, "GET", "/chats/c-1", None),
    (BO, "POST", "/chats/c-1/accept", None),
    (ANA, "GET", "/chats/c-1/messages", None),
    (ANA, "POST", "/chats/c-1/messages", {"text": "x"}),
    (ANA, "POST", "/chats/c-1/typing", None),
    (BO, "POST", "/chats/c-1/transfer", {"queue": True}),
    (ANA, "POST", "/chats/c-1/end", None),
    (ANA, "POST", "/chats/c-1/rating", {"rating": 5}),
    (ANA, "GET", "/chats/c-1/transcript", None),
]


@pytest.mark.parametrize(("by", "method", "path", "body"), CALLS, ids=[f"{call[1]} {call[2]}" for call in CALLS])
def test_a_table_that_does_not_answer_may_later(
    desk: Desk,  # noqa: F811
    stage: Stage,
    by: Person,
    method: str,
    path: str,
    body: Any,
) -> None:
    boto3.client("dynamodb").delete_table(TableName="Chats")

    answer = desk.call(by, method, path, body)

    told = answer.problem(Kind.UNAVAILABLE)
    assert told["detail"] == "try the same again in a moment"
    assert answer.headers["Retry-After"] == "1"
    assert "ResourceNotFoundException" in stage.log()[-1]["reason"]
    assert stage.metrics()["Errors"] == 1


def test_that_too_many_change_a_chat_at_once_is_told_too(
    desk: Desk,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk.chat()

    def conflict(**_: Any) -> None:
        told: Any = {"CancellationReasons": [{"Code": "TransactionConflict"}]}
        raise aws.dynamodb().exceptions.TransactionCanceledException(told, "TransactWriteItems")

    monkeypatch.setattr(aws.dynamodb(), "transact_write_items", conflict)
    monkeypatch.setattr("lambdas.clock.SystemClock.sleep", lambda *_: None)

    desk.call(ANA, "POST", "/chats/c-1/end").problem(Kind.UNAVAILABLE)


def test_what_nobody_thought_of_is_a_problem_too(
    desk: Desk,  # noqa: F811
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError("nobody thought of it")

    monkeypatch.setattr(rules, "may_read", fail)
    desk.chat()
    desk.call(ANA, "GET", "/chats/c-1").problem(General.INTERNAL_ERROR)
    assert stage.metrics() == {"Errors": 1}
    assert "LookupError" in stage.log()[-1]["exception"]


def test_what_is_refused_is_no_error_of_the_functions(desk: Desk, stage: Stage) -> None:  # noqa: F811
    desk.call(ANA, "GET", "/chats/c-404").problem(Kind.CHAT_NOT_FOUND)
    assert stage.metrics() == {}
    assert stage.log() == []


# The problems and the description


def _all(error: type[ChatError]) -> Iterator[type[ChatError]]:
    for one in error.__subclasses__():
        yield one
        yield from _all(one)


def test_every_error_of_the_core_has_its_problem() -> None:
    theirs = {kind.error for kind in Kind}
    assert all(issubclass(error, ChatError) for error in theirs)
    leaves = {error for error in _all(ChatError) if not list(_all(error))}
    assert leaves <= theirs, "give it a kind"
    assert theirs - leaves == {errors.Forbidden, errors.Unavailable}
    assert len({kind.uri for kind in [*Kind, *General]}) == len(Kind) + len(General)


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        (Kind.NOT_AT_THE_DESK, "urn:ringback:problem:chat:not-at-the-desk"),
        (Kind.ID_TAKEN, "urn:ringback:problem:chat:id-taken"),
        (Kind.UNAVAILABLE, "urn:ringback:problem:chat:unavailable"),
        (General.INVALID_REQUEST, "urn:ringback:problem:invalid-request"),
    ],
)
def test_a_problem_is_named_after_its_error(kind: Kind | General, uri: str) -> None:
    assert kind.uri == uri


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_the_status_says_what_kind_of_error_it_is(kind: Kind) -> None:
    status = {errors.Forbidden: 403, errors.ChatNotFound: 404, errors.TooManyMessages: 429, errors.Unavailable: 503}
    assert kind.status == next((status[base] for base in status if base in kind.error.__mro__), 409)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


def test_the_description_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"jwt": []}]


def test_every_problem_is_described_with_an_example(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    told = set()
    for operation in operations:
        for status, response in operation["responses"].items():
            for example in response["content"].get("application/problem+json", {}).get("examples", {}).values():
                assert str(example["value"]["status"]) == status
                told.add(example["value"]["type"])
    of_no_operation = {General.NO_SUCH_ROUTE.uri, General.METHOD_NOT_ALLOWED.uri}
    assert told == {kind.uri for kind in [*Kind, *General]} - of_no_operation
    assert all(set(operation["responses"]) >= {"401", "403", "429", "500", "503"} for operation in operations)


def test_the_table_of_who_may_do_what_is_described(document: dict[str, Any]) -> None:
    """Every answer that the table has stands in the description of its operation."""
    for (action, _, _), cell in EXPECTED.items():
        method, path, _, good = ACTIONS[action]
        responses = document["paths"][f"/chats/{{id}}{path}"][method.lower()]["responses"]
        if cell in PROBLEMS:
            status, problem = PROBLEMS[cell]
            assert problem in responses[str(status)]["content"]["application/problem+json"]["examples"], (action, cell)
        else:
            assert str(good) in responses


def test_nothing_in_the_description_is_left_over(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name
    assert "422" not in text


def customer(user: str) -> Person:
    return Person(role=Role.CUSTOMER, user=user)
