"""Who may do what to a chat when, all of it, as the HTTP API answers it.

The table is read from the top of a column: a chat in that state; and from the left of a row: that is done to it, by
that person. Dan is another customer, Bo is its agent, and Cy another one.
"""

import itertools
import uuid
from datetime import timedelta
from typing import Any

import pytest

from lambdas.chat.core.model import Chat, Person, Role
from tests.builders import NOW
from tests.chats import BO, CY, DAN, LIMITS
from tests.contract.chat_desk import (
    ACCEPTED,
    AWAY,
    ENDED_BY_AGENT,
    ENDED_BY_CUSTOMER,
    HANDED,
    LONG,
    RATED,
    REQUEUED,
    SPENT,
    TIME_PASSED,
    Decide,
    Desk,
    customer_of,
    desk,  # noqa: F401 - a fixture
)

PEOPLE = {"customer": None, "stranger": DAN, "agent": BO, "colleague": CY}  # each chat has a customer of its own

STATES: dict[str, tuple[Decide, ...]] = {
    "waiting": (),
    "requeued": (ACCEPTED, REQUEUED),
    "active": (ACCEPTED,),
    "spent": (ACCEPTED, *SPENT),
    "away": (ACCEPTED, AWAY),
    "left": (ACCEPTED, ENDED_BY_CUSTOMER),  # by its customer
    "handed": (ACCEPTED, HANDED),  # to the colleague
    "done": (ACCEPTED, ENDED_BY_AGENT),
    "idle": (ACCEPTED, TIME_PASSED),
    "expired": (TIME_PASSED,),  # nobody accepted it in time
    "forgotten": (ACCEPTED, REQUEUED, TIME_PASSED),  # nobody accepted it again
    "given-up": (ENDED_BY_CUSTOMER,),  # by the customer, before anybody accepted it
    "rated": (ACCEPTED, ENDED_BY_CUSTOMER, RATED),
    "closed": (ACCEPTED, ENDED_BY_CUSTOMER),  # so long ago that it cannot be rated any more
}

# How long ago each began; the others have just done so.
BEGAN = {"idle": LONG, "expired": LONG, "forgotten": LONG, "closed": timedelta(seconds=LIMITS.rating_seconds)}

ACTIONS: dict[str, tuple[str, str, Any, int]] = {
    "read": ("GET", "", None, 200),
    "read-messages": ("GET", "/messages", None, 200),
    "transcript": ("GET", "/transcript", None, 200),
    "accept": ("POST", "/accept", None, 200),
    "send": ("POST", "/messages", {"id": "m-1", "text": "hello"}, 201),
    "type": ("POST", "/typing", None, 202),
    "hand-over": ("POST", "/transfer", {"agent": "cy"}, 200),
    "hand-astray": ("POST", "/transfer", {"agent": "nobody"}, 200),
    "hand-back": ("POST", "/transfer", {"queue": True}, 200),
    "end": ("POST", "/end", None, 200),
    "rate": ("POST", "/rating", {"rating": 5}, 200),
}

# What stands in the table, beside `ok` (it is done) and `same` (it is no error, and changes nothing).
PROBLEMS = {
    "AGENTS": (403, "agents-only"),
    "CUSTOMERS": (403, "customers-only"),
    "OTHERS": (403, "not-your-chat"),
    "none": (404, "chat-not-found"),
    "taken": (409, "already-accepted"),
    "hasty": (429, "too-many-messages"),
    "early": (409, "not-accepted"),
    "over": (409, "chat-has-ended"),
    "open": (409, "not-ended"),
    "never": (409, "nothing-to-rate"),
    "twice": (409, "already-rated"),
    "late": (409, "rating-closed"),
    "absent": (409, "not-at-the-desk"),
    "astray": (409, "agent-not-present"),
}

TABLE = """\
                         waiting   requeued  active    spent     away      handed    left      done      idle      expired   forgotten given-up  rated     closed

read           customer  same      same      same      same      same      same      same      same      same      same      same      same      same      same
read           stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
read           agent     same      same      same      same      same      OTHERS    same      same      same      OTHERS    OTHERS    OTHERS    same      same
read           colleague same      same      OTHERS    OTHERS    OTHERS    same      OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

read-messages  customer  same      same      same      same      same      same      same      same      same      same      same      same      same      same
read-messages  stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
read-messages  agent     OTHERS    OTHERS    same      same      same      OTHERS    same      same      same      OTHERS    OTHERS    OTHERS    same      same
read-messages  colleague OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    same      OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

transcript     customer  same      same      same      same      same      same      same      same      same      same      same      same      same      same
transcript     stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
transcript     agent     OTHERS    OTHERS    same      same      same      OTHERS    same      same      same      OTHERS    OTHERS    OTHERS    same      same
transcript     colleague OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    same      OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

accept         customer  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
accept         stranger  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
accept         agent     ok        ok        same      same      absent    taken     over      over      over      over      over      over      over      over
accept         colleague ok        ok        taken     taken     taken     same      over      over      over      over      over      over      over      over

send           customer  ok        ok        ok        hasty     ok        ok        over      over      over      over      over      over      over      over
send           stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
send           agent     early     early     ok        hasty     ok        OTHERS    over      over      over      OTHERS    OTHERS    OTHERS    over      over
send           colleague early     early     OTHERS    OTHERS    OTHERS    ok        OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

type           customer  early     early     same      same      same      same      over      over      over      over      over      over      over      over
type           stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
type           agent     early     early     same      same      same      OTHERS    over      over      over      OTHERS    OTHERS    OTHERS    over      over
type           colleague early     early     OTHERS    OTHERS    OTHERS    same      OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

hand-over      customer  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-over      stranger  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-over      agent     early     early     ok        ok        ok        OTHERS    over      over      over      OTHERS    OTHERS    OTHERS    over      over
hand-over      colleague early     early     OTHERS    OTHERS    OTHERS    same      OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

hand-astray    customer  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-astray    stranger  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-astray    agent     early     early     astray    astray    astray    OTHERS    over      over      over      OTHERS    OTHERS    OTHERS    over      over
hand-astray    colleague early     early     OTHERS    OTHERS    OTHERS    astray    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

hand-back      customer  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-back      stranger  AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS    AGENTS
hand-back      agent     early     early     ok        ok        ok        OTHERS    over      over      over      OTHERS    OTHERS    OTHERS    over      over
hand-back      colleague early     early     OTHERS    OTHERS    OTHERS    ok        OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

end            customer  ok        ok        ok        ok        ok        ok        same      over      over      over      over      same      same      same
end            stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
end            agent     early     early     ok        ok        ok        OTHERS    over      same      over      OTHERS    OTHERS    OTHERS    over      over
end            colleague early     early     OTHERS    OTHERS    OTHERS    ok        OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS    OTHERS

rate           customer  open      open      open      open      open      open      ok        ok        ok        never     ok        never     twice     late
rate           stranger  none      none      none      none      none      none      none      none      none      none      none      none      none      none
rate           agent     CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS
rate           colleague CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS CUSTOMERS
"""  # noqa: E501 - a table


def _read(table: str) -> dict[tuple[str, str, str], str]:
    heading, *lines = (line.split() for line in table.splitlines() if line)
    return {
        (action, person, state): cell
        for action, person, *cells in lines
        for state, cell in zip(heading, cells, strict=True)
    }


EXPECTED = _read(TABLE)


def test_the_table_is_complete() -> None:
    assert len(TABLE.split()) == len(STATES) + len(ACTIONS) * len(PEOPLE) * (2 + len(STATES)), "no row is there twice"
    assert EXPECTED.keys() == set(itertools.product(ACTIONS, PEOPLE, STATES))
    assert set(EXPECTED.values()) == {"ok", "same", *PROBLEMS}


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_the_table_says(desk: Desk, action: str, person: str) -> None:  # noqa: F811
    row = {state: EXPECTED[action, person, state] for state in STATES}

    found = {state: outcome(action, PEOPLE[person], state, desk) for state in STATES}

    assert found == row


@pytest.mark.parametrize("action", ACTIONS)
def test_a_name_says_nothing_without_its_role(desk: Desk, action: str) -> None:  # noqa: F811
    """A customer who is called as the agent is a stranger, and an agent who is called as the customer a colleague."""
    for state in ("waiting", "active", "left"):
        desk.connect(namesake := Person(role=Role.AGENT, user=f"of-{state}"))
        for by, person in ((Person(role=Role.CUSTOMER, user=BO.user), "stranger"), (namesake, "colleague")):
            assert outcome(action, by, state, desk) == EXPECTED[action, person, state], (by, state)


def outcome(action: str, person: Person | None, state: str, desk: Desk) -> str:  # noqa: F811
    """What becomes of it, as the table has it; None is the chat's customer."""
    before = chat_in(state, desk)
    desk.ringback.taken.clear()
    by = person or customer_of(before)
    method, path, body, good = ACTIONS[action]

    answer = desk.call(by, method, f"/chats/{before.id}{path}", body)

    after = desk.now(before.id)
    desk.connect(BO)
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert after == before, "what is refused changes nothing"
        assert desk.ringback.taken == []
        told = answer.status, answer.body["type"].removeprefix("urn:ringback:problem:chat:")
        return next((name for name, problem in PROBLEMS.items() if problem == told), str(told))
    assert answer.status == good
    assert after.version - before.version == (after != before)
    assert len(desk.ringback.taken) == (action == "type")
    return "same" if after == before else "ok"


def chat_in(state: str, desk: Desk) -> Chat:  # noqa: F811
    """A chat in this state."""
    if state == "away":
        desk.disconnect(BO)
    began = NOW - BEGAN.get(state, timedelta(0))
    return desk.chat(
        *STATES[state], chat_id=f"c-{uuid.uuid4()}", by=Person(role=Role.CUSTOMER, user=f"of-{state}"), at=began
    )
