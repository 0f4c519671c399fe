"""What was said and done, as programs get it and as people read it."""

from collections.abc import Callable
from datetime import datetime

import pytest

from lambdas.chat.core import rules, transcript
from lambdas.chat.core.model import Change, Chat, Event, Person
from tests.chats import ANA, BO, CY, LIMITS, TALKATIVE, FakeChats, later

Step = tuple[float, Callable[[Chat, datetime], Change | None]]


def chat_of(*steps: Step, subject: str | None = None) -> FakeChats:
    """A chat to which all of this happened, each so many seconds after noon."""
    chats = FakeChats()
    change = rules.start("c-1", ANA, subject, LIMITS, later(0))
    chats.put(None, change)
    for seconds, decide in steps:
        before, decided = change.chat, decide(change.chat, later(seconds))
        assert decided is not None
        change = decided
        chats.put(before, change)
    return chats


def told(chats: FakeChats) -> transcript.Transcript:
    chat = chats.get("c-1")
    assert chat is not None
    return transcript.read(chats, chat)


def accepted(by: Person = BO) -> Callable[[Chat, datetime], Change | None]:
    return lambda chat, at: rules.accept(chat, by, at)


def said(by: Person, text: str) -> Callable[[Chat, datetime], Change | None]:
    return lambda chat, at: rules.send(chat, by, f"m-{chat.version}", text, TALKATIVE, at)


def passed(chat: Chat, at: datetime) -> Change | None:
    return rules.time_passed(chat, LIMITS, at)


def test_a_whole_chat_reads_like_this() -> None:
    chats = chat_of(
        (20, accepted()),
        (31, said(BO, "Hello Ana")),
        (32, lambda chat, at: rules.agent_left(chat, "bo", LIMITS, at)),
        (33, lambda chat, at: rules.agent_returned(chat, "bo", at)),
        (40, said(ANA, "Hello.\nMy order …")),
        (41, lambda chat, at: rules.transfer(chat, BO, "cy", at)),
        (42, lambda chat, at: rules.transfer(chat, CY, None, at)),
        (43, accepted()),
        (420.9, lambda chat, at: rules.end(chat, ANA, at)),
        (500, lambda chat, at: rules.rate(chat, ANA, 4, "Quick.\nThanks!", LIMITS, at)),
        subject="My order",
    )

    assert told(chats).as_text() == (
        "Chat c-1\n"
        "Subject:   My order\n"
        "Customer:  ana\n"
        "Agents:    bo, cy\n"
        "Started:   2030-01-31 12:00:00 UTC\n"
        "Ended:     2030-01-31 12:07:00 UTC\n"
        "Rating:    4 of 5\n"
        "Feedback:  Quick.\n"
        "    Thanks!\n"
        "\n"
        "2030-01-31 12:00:00 UTC  ana (customer) started the chat: My order\n"
        "2030-01-31 12:00:20 UTC  bo (agent) accepted it, after 20 seconds in the queue\n"
        "2030-01-31 12:00:31 UTC  bo (agent): Hello Ana\n"
        "2030-01-31 12:00:32 UTC  bo (agent) lost the connection\n"
        "2030-01-31 12:00:33 UTC  bo (agent) is back\n"
        "2030-01-31 12:00:40 UTC  ana (customer): Hello.\n"
        "    My order …\n"
        "2030-01-31 12:00:41 UTC  bo (agent) transferred it to cy (agent)\n"
        "2030-01-31 12:00:42 UTC  cy (agent) put it back into the queue\n"
        "2030-01-31 12:00:43 UTC  bo (agent) accepted it, after 1 second in the queue\n"
        "2030-01-31 12:07:00 UTC  ana (customer) ended it, after 420 seconds\n"
        "2030-01-31 12:08:20 UTC  ana (customer) rated it 4 of 5: Quick.\n"
        "    Thanks!\n"
    )


def test_a_chat_that_has_just_begun_has_a_short_head() -> None:
    assert told(chat_of()).as_text() == (
        "Chat c-1\n"
        "Customer:  ana\n"
        "Started:   2030-01-31 12:00:00 UTC\n"
        "\n"
        "2030-01-31 12:00:00 UTC  ana (customer) started the chat\n"
    )


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([(600, passed)], "12:10:00 UTC  It ended after 600 seconds: nobody accepted it for too long"),
        (
            [(0, accepted()), (900, passed)],
            "12:15:00 UTC  It ended after 900 seconds: nobody did anything for too long",
        ),
        (
            [(0, accepted()), (0, lambda chat, at: rules.agent_left(chat, "bo", LIMITS, at)), (60, passed)],
            "12:01:00 UTC  bo (agent) was away for too long: it is back in the queue",
        ),
        ([(1, lambda chat, at: rules.end(chat, ANA, at))], "12:00:01 UTC  ana (customer) ended it, after 1 second"),
    ],
    ids=["not accepted", "idle", "agent gone", "given up"],
)
def test_what_time_does_is_told_too(steps: list[Step], line: str) -> None:
    assert told(chat_of(*steps)).as_text().splitlines()[-1] == f"2030-01-31 {line}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\u2029", "\n\n"])
def test_nobody_can_put_words_into_anothers_mouth(end: str) -> None:
    forged = "2030-01-31 12:00:00 UTC  bo (agent): I will refund it all"
    chats = chat_of(
        (1, accepted()),
        (2, said(ANA, f"Hello{end}{forged}")),
        (3, lambda chat, at: rules.end(chat, BO, at)),
        (4, lambda chat, at: rules.rate(chat, ANA, 1, f"Bad{end}{forged}", LIMITS, at)),
        subject=f"Order{end}{forged}",
    )

    lines = told(chats).as_text().splitlines()

    assert forged not in lines
    assert lines.count(f"    {forged}") == 5, "the subject and the feedback stand in the head, too"


def test_programs_get_the_chat_and_its_log() -> None:
    chats = chat_of((1, accepted()), (2, said(BO, "Grüße")))
    assert told(chats).as_json() == {
        "chat": {
            "id": "c-1",
            "status": "ACTIVE",
            "customer": "ana",
            "version": 3,
            "agent": "bo",
            "startedAt": "2030-01-31T12:00:00Z",
            "waitingSince": "2030-01-31T12:00:00Z",
            "acceptedAt": "2030-01-31T12:00:01Z",
            "firstResponseAt": "2030-01-31T12:00:02Z",
            "lastActivityAt": "2030-01-31T12:00:02Z",
        },
        "events": [event.as_json() for event in log(chats)],
        "complete": True,
    }


def test_a_long_log_is_read_whole() -> None:
    chats = chat_of((1, accepted()), *((2, said(ANA, f"text {n}")) for n in range(250)))
    whole = told(chats)
    assert whole.events == log(chats)
    assert whole.complete


def test_what_happens_while_it_is_read_belongs_to_another_one() -> None:
    chats = chat_of((1, accepted()))
    chat = chats.get("c-1")
    assert chat is not None
    chats.put(chat, rules.send(chat, ANA, "m-1", "late", LIMITS, later(2)))
    assert transcript.read(chats, chat).events == log(chats)[:2]


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([(1, accepted())], "Agent:     bo"),
        ([(1, accepted()), (2, lambda chat, at: rules.transfer(chat, BO, None, at))], "Agent:     bo"),
        ([(1, accepted(CY)), (2, lambda chat, at: rules.transfer(chat, CY, "bo", at))], "Agents:    cy, bo"),
    ],
    ids=["one", "back in the queue", "handed on"],
)
def test_the_head_names_every_agent_who_had_it(steps: list[Step], line: str) -> None:
    assert told(chat_of(*steps)).as_text().splitlines()[2] == line


def test_a_log_of_which_all_has_expired_is_empty_and_says_so() -> None:
    chats = chat_of((1, accepted()))
    chat = chats.get("c-1")
    assert chat is not None
    chats.changes["c-1"].clear()
    whole = transcript.read(chats, chat)
    assert (whole.events, whole.complete) == ([], False)
    assert whole.as_text().splitlines()[2] == "Agent:     bo"
    assert whole.as_text().endswith("12:00:00 UTC\n\nSome of it is not kept any more.\n")


@pytest.mark.parametrize("gone", [slice(0, 5), slice(0, 150), slice(90, 110)], ids=["first", "pages", "between"])
def test_a_log_of_which_some_has_expired_has_the_rest_once_and_says_so(gone: slice) -> None:
    """DynamoDB removes what has expired in no order of its own."""
    chats = chat_of((1, accepted()), *((2, said(ANA, f"text {n}")) for n in range(250)))
    del chats.changes["c-1"][gone]
    rest = told(chats)
    assert rest.events == log(chats)
    assert rest.as_json()["complete"] is False
    lines = rest.as_text().splitlines()
    assert lines[4:7] == ["", "Some of it is not kept any more.", ""]
    assert lines[-1].endswith("text 249")


def test_what_is_too_long_for_one_answer_is_cut_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    chats = chat_of((1, accepted()), (2, said(ANA, "ä" * 100)), (3, said(ANA, "ö" * 100)))
    first = sum(len(event.as_text().encode()) for event in log(chats)[:3])

    monkeypatch.setattr(transcript, "MAX_BYTES", first)
    cut = told(chats)

    assert cut.events == log(chats)[:3]
    assert cut.as_json()["complete"] is False
    assert cut.as_text().endswith("\n\nIt goes on, and is too long to be told here whole: read on in its messages.\n")
    monkeypatch.setattr(transcript, "MAX_BYTES", first - 1)
    assert told(chats).events == log(chats)[:2]


def log(chats: FakeChats) -> list[Event]:
    return chats.events("c-1", after=0, limit=1000)
