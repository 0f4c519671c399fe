"""The chat's API: somebody else's chat, and what only the other role may."""

import json
import uuid
from typing import Any

import pytest

from local import tokens
from tests.attacks.conftest import Case
from tests.attacks.forging import Forge
from tests.attacks.target import Answer, Target

LAYER = "stack"
IN_A_CHAT = {
    "read": ("GET", "", None),
    "read what was said": ("GET", "/messages", None),
    "take the transcript": ("GET", "/transcript", None),
    "take it as text": ("GET", "/transcript?format=text", None),
    "say something": ("POST", "/messages", {"text": "hello"}),
    "say something as the customer": ("POST", "/messages", {"text": "hello", "id": "m-1"}),
    "type": ("POST", "/typing", None),
    "end": ("POST", "/end", None),
    "rate": ("POST", "/rating", {"rating": 1}),
    "hand on": ("POST", "/transfer", {"queue": True}),
    "hand on to oneself": ("POST", "/transfer", {"agent": "mallory"}),
    "accept": ("POST", "/accept", None),
}


def call(target: Target, token: str | None, method: str, path: str, body: Any = None) -> Answer:
    url = target.stage.installation.chat_api_url
    return target.call(url, method, path, token=token, body=None if body is None else json.dumps(body).encode())


@pytest.fixture(scope="module")
def chat_id(target: Target) -> str:
    """A customer's chat, which waits in the queue; and what the customer is told of it waits for them."""
    stage = target.stage
    token = stage.keys.chat_token(f"customer-{uuid.uuid4()}")
    started: str = json.loads(call(target, token, "POST", "/chats", {"subject": "secret"}).body)["id"]

    def parked() -> bool | None:
        installation = stage.installation
        chat_s_run = installation.clients.dynamodb.get_item(
            TableName=installation.chats_table_name,
            Key={"collection": {"S": f"chat#{started}"}, "item": {"S": "wait"}},
        )
        told = installation.clients.dynamodb.scan(TableName=installation.callbacks_table_name)["Items"]
        return ("Item" in chat_s_run and any(started in row["waits_for"]["S"] for row in told)) or None

    stage.until(parked, "the chat's run, and the one that tells the customer")
    return started


_NOT_THEIRS = "404 chat:chat-not-found"
_AGENTS_ONLY = "403 chat:agents-only"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("method", "tail", "body"), IN_A_CHAT.values(), ids=IN_A_CHAT)
def test_another_customer_s_chat(case: Case, target: Target, chat_id: str, method: str, tail: str, body: Any) -> None:
    answer = call(target, target.stage.keys.chat_token("mallory"), method, f"/chats/{chat_id}{tail}", body)
    assert b"secret" not in answer.body
    case.answer(answer.problem, _AGENTS_ONLY if tail in {"/accept", "/transfer"} else _NOT_THEIRS)


_NOT_YOURS, _NOBODYS = "403 chat:not-your-chat", "409 chat:not-accepted"
# An agent knows of the queue, and says nothing in a chat that is not theirs.
OF_AN_AGENT = {
    "read what was said": _NOT_YOURS,
    "take the transcript": _NOT_YOURS,
    "take it as text": _NOT_YOURS,
    "say something": _NOBODYS,
    "say something as the customer": _NOBODYS,
    "type": _NOBODYS,
    "end": _NOBODYS,
    "rate": "403 chat:customers-only",
    "hand on": _NOBODYS,
    "hand on to oneself": _NOBODYS,
    "accept": "409 chat:not-at-the-desk",
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("what", "documented"), OF_AN_AGENT.items(), ids=OF_AN_AGENT)
def test_agent_without_the_chat(case: Case, target: Target, chat_id: str, what: str, documented: str) -> None:
    method, tail, body = IN_A_CHAT[what]
    answer = call(target, target.stage.keys.chat_token("mallory", "agent"), method, f"/chats/{chat_id}{tail}", body)
    assert b"secret" not in answer.body
    case.answer(answer.problem, documented)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "role",
    [
        "Agent",
        "AGENT",
        " agent",
        "agent ",
        "agents",
        "customer agent",
        "[agent]",
        '["agent"]',
        "\N{CYRILLIC SMALL LETTER A}gent",
        "agent\0",
        ["customer"],
        ["an agent"],
        [["agent"]],
        [{"agent": 1}],
        {"agent": True},
        True,
        1,
        None,
    ],
    ids=lambda role: json.dumps(role),
)
def test_role(case: Case, target: Target, role: Any) -> None:
    """None of these makes an agent: the queue is not shown."""
    token = target.stage.keys.chat_token("mallory", role)
    case.answer(call(target, token, "GET", "/chats/waiting").problem, _AGENTS_ONLY)


TOKENS = {
    "none": lambda _: None,
    "a client's": lambda forge: forge.token(role="agent"),
    "a client's, for the audience": lambda forge: forge.token(role="agent", aud=tokens.CHAT_AUDIENCE),
    "a backend's": lambda forge: forge.keys.backend_token(role="agent"),
    "of another issuer": lambda forge: forge.keys.chat_token("mallory", "agent", iss=tokens.ISSUER),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS)
def test_token(case: Case, target: Target, forge: Forge, chat_id: str, make: Any) -> None:
    token = make(forge)
    answers = {
        call(target, token, method, path).status
        for method, path in (("GET", "/chats/waiting"), ("POST", "/chats"), ("GET", f"/chats/{chat_id}"))
    }
    case.answer(answers, {401})


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "sub",
    ["", "mallory#", "mallory ", "m\0", "\N{CYRILLIC SMALL LETTER A}na", "a\N{ZERO WIDTH SPACE}", "x" * 256, 5, None],
)
def test_subject(case: Case, target: Target, sub: Any) -> None:
    """Nobody that a chat could be with."""
    token = target.stage.keys.chat_token("mallory", sub=sub)
    case.answer(call(target, token, "POST", "/chats", {}).problem, "403 chat:forbidden")


PATHS = {
    "a dot segment": "/chats/x/../waiting",
    "an encoded slash": "/chats/x%2Fmessages",
    "a NUL": "/chats/x%00",
    "a key's separator": "/chats/x%23y",
    "a key": "/chats/chat%23x",
    "a look-alike": "/chats/%D0%B0",
    "too long": "/chats/" + "x" * 81,
    "a prototype's name": "/chats/__proto__",
    "a guess": "/chats/00000000-0000-4000-8000-000000000000",
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_path(case: Case, target: Target, path: str) -> None:
    answer = call(target, target.stage.keys.chat_token("mallory"), "GET", path)
    case.answer(answer.status, 404)
