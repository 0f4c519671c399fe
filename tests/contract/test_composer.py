"""What the console's page composes is what the models take, and the commands it shows say the same."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringback import envelope, fan_out
from ringback.cli import arguments, sending
from ringback.envelope import DirectEnvelope, Envelope
from ringback.errors import InvalidMessage
from ringback.publisher import make_envelope

Json = dict[str, Any]

ALL_FIELDS: Json = {
    "user": "o'hara",
    "context": "shop",
    "contextId": "orders",
    "id": "-order-1",
    "type": "order.shipped",
    "payload": '{"text": "it\'s $HOME, \\"quoted\\""}',
    "ack": "client",
    "ackTimeoutSeconds": "5",
    "ordered": True,
    "track": True,
    "ttlSeconds": "60",
    "maxAttempts": "3",
    "backoffBaseSeconds": "2",
    "backoffCapSeconds": "30",
    "correlationId": "c 1",
}
AS_ENVELOPE: Json = {
    "id": "-order-1",
    "recipient": {"user": "o'hara", "context": "shop", "contextId": "orders"},
    "type": "order.shipped",
    "payload": {"text": 'it\'s $HOME, "quoted"'},
    "ack": "client",
    "ackTimeoutSeconds": 5,
    "ordered": True,
    "track": True,
    "ttlSeconds": 60,
    "retry": {"maxAttempts": 3, "backoffBaseSeconds": 2, "backoffCapSeconds": 30},
    "correlationId": "c 1",
}
OWN_NUMBER: Json = {"id": "m", "sequence": "7", "isFinal": True, "payload": '"-text"'}
NOW_OR_NEVER: Json = {**ALL_FIELDS, "nowOrNever": True}
ENVELOPE_WAYS = ["accept", "http", "topic", "bus", "run"]


class Page:
    """The page's own code, run by Node."""

    def __init__(self, node: "subprocess.Popen[str]") -> None:
        self._node = node

    def ask(self, **given: Any) -> Json:
        """What it makes of drafts, texts and errors."""
        assert self._node.stdin
        assert self._node.stdout
        print(json.dumps(given), file=self._node.stdin, flush=True)
        answer: Json = json.loads(self._node.stdout.readline())
        return answer

    def composed(self, draft: Json) -> Json:
        """The messages, problems and commands of one draft."""
        (one,) = self.ask(drafts=[draft])["composed"]
        result: Json = one
        return result


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    node, script = Path(sys.executable).with_name("node"), Path(__file__).with_name("composed.mjs")
    command: list[str | Path] = [node, "--no-warnings", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:  # noqa: S603 - our own
        yield Page(started)


def typed(command: str) -> list[Json]:
    """What the command would send, in its JSON form."""
    line, _, document = command.partition(" <<'END'\n")
    words = shlex.split(line.replace("\\\n", ""))
    assert words[:3] == [".venv/bin/ringback", "send", "--local"]
    if document:
        assert words[3:] == ["--file", "-"]
        return [json.loads(text) for text in document.removesuffix("\nEND").splitlines()]
    given: Json = sending._envelope(arguments.parse(words[1:]))
    return [given]


@pytest.mark.parametrize("way", ENVELOPE_WAYS)
def test_all_that_an_envelope_has_can_be_composed(page: Page, way: str) -> None:
    draft = page.composed({**ALL_FIELDS, "way": way})

    # Every run is tracked: StartExecution has no use for the field.
    expected = {name: value for name, value in AS_ENVELOPE.items() if (way, name) != ("run", "track")}
    assert draft["problems"] == {}
    assert draft["messages"] == [expected]
    envelope.parse(draft["messages"][0])


def test_an_own_number_goes_where_ringback_does_not_number(page: Page) -> None:
    draft = page.composed(OWN_NUMBER)

    made = envelope.parse(draft["messages"][0])
    assert (made.sequence, made.is_final) == (7, True)
    assert "sequence" not in page.composed({**OWN_NUMBER, "ordered": True})["messages"][0]


@pytest.mark.parametrize("way", ENVELOPE_WAYS)
def test_what_is_posted_now_or_never_has_nothing_that_waits(page: Page, way: str) -> None:
    draft = page.composed({**NOW_OR_NEVER, "way": way})

    assert draft["problems"] == {}
    made = envelope.parse(draft["messages"][0])
    if way == "run":  # a run waits, so it is not offered there
        assert (made.durable, made.ack) == (True, "client")
    else:
        assert (made.durable, made.wants_a_run, made.retry) == (False, False, None)
        assert (made.id, made.ttl_seconds, made.correlation_id) == ("-order-1", 60, "c 1")


@pytest.mark.parametrize(
    "draft", [ALL_FIELDS, OWN_NUMBER, NOW_OR_NEVER, {"payload": '"-text"'}, {"burst": "3", "id": "b"}]
)
def test_the_command_and_the_request_say_the_same(page: Page, draft: Json) -> None:
    made = page.composed(draft)

    messages = [envelope.parse(message) for message in made["messages"]]
    assert [envelope.parse(message) for message in typed(made["command"])] == messages
    words = shlex.split(made["curl"].replace("\\\n", ""))
    body = json.loads(words[words.index("-d") + 1])
    assert [envelope.parse(message) for message in body.get("messages", [body])] == messages


def test_a_burst_is_numbered_in_ids_and_payloads(page: Page) -> None:
    made = [
        page.composed({"burst": "2", "id": "b", "payload": payload})["messages"]
        for payload in ('{"a": 1}', '"hi"', "5")
    ]

    assert [[message["id"] for message in burst] for burst in made] == [["b-1", "b-2"]] * 3
    assert [[message["payload"] for message in burst] for burst in made] == [
        [{"a": 1, "number": 1}, {"a": 1, "number": 2}],
        ["hi 1", "hi 2"],
        [5, 5],
    ]


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("users", {"users": ["ana", "bob"], "context": "shop", "contextId": "orders"}),
        ("conversation", {"conversation": {"context": "shop", "contextId": "orders"}}),
    ],
)
def test_a_fan_out(page: Page, audience: str, expected: Json) -> None:
    chosen = {"audience": audience, "exclude": "bo,\n cy", "where": "plan=gold, plan=a=b", "durable": True}
    draft = page.composed({**ALL_FIELDS, **chosen, "way": "fanOut"})

    (made,) = draft["messages"]
    assert draft["problems"] == {}
    assert made["audience"] == expected
    assert made["exclude"] == ["bo", "cy"]
    assert made["where"] == {"plan": ["gold", "a=b"]}
    assert made["message"]["retry"] == AS_ENVELOPE["retry"]
    fan_out.parse(made)


def test_a_retry_is_left_out_of_a_fan_out_that_is_not_durable(page: Page) -> None:
    (made,) = page.composed({**ALL_FIELDS, "way": "fanOut"})["messages"]

    assert "retry" not in made["message"]
    fan_out.parse(made)


def test_a_post_to_one_connection_has_only_what_that_can_have(page: Page) -> None:
    draft = page.composed({**ALL_FIELDS, "sequence": "3", "way": "postOnce", "connectionId": "abc="})

    made = DirectEnvelope.model_validate(draft["messages"][0], by_alias=True, by_name=False)
    assert (made.recipient.connection_id, made.sequence, made.id) == ("abc=", 3, "-order-1")
    assert draft["command"] is draft["curl"] is None


LIMITS = {
    "user": ("x" * 255, "x" * 256),
    "context": ("x" * 64, "x" * 65),
    "contextId": ("x" * 128, "x y"),
    "id": ("x" * 128, "x#"),
    "type": ("x" * 128, "x" * 129),
    "correlationId": ("x" * 128, "x" * 129),
    "ackTimeoutSeconds": ("3600", "3601"),
    "ttlSeconds": ("604800", "604801"),
    "maxAttempts": ("270", "271"),
    "backoffBaseSeconds": ("30", "31"),
    "backoffCapSeconds": ("86400", "86401"),
}


@pytest.mark.parametrize("field", LIMITS)
def test_the_form_has_the_limits_that_the_envelope_has(page: Page, field: str) -> None:
    within, beyond = LIMITS[field]
    good, bad = page.ask(drafts=[{**ALL_FIELDS, field: within}, {**ALL_FIELDS, field: beyond}])["composed"]

    assert good["problems"] == {}
    envelope.parse(good["messages"][0])
    assert set(bad["problems"]) == {"backoffCapSeconds" if field == "backoffBaseSeconds" else field}
    with pytest.raises(InvalidMessage):
        make_envelope(bad["messages"][0])


def test_every_field_of_the_envelope_is_in_the_form(page: Page) -> None:
    # The end of its life is given as its length; a trace is a backend's.
    left_out = {"expiresAt", "traceparent"}
    made: Json = {}
    for draft in ({**ALL_FIELDS, "isFinal": True}, OWN_NUMBER, NOW_OR_NEVER):
        made |= page.composed(draft)["messages"][0]

    assert set(made) == {str(field.alias) for field in Envelope.model_fields.values()} - left_out


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "missing"),
        ("{", 1, 2, "closing }"),
        ('{"a": x}', 1, 7, "double quotes"),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a": 1,}', 1, 9, "comma too many"),
        ('{"a":\n  "b" "c"}', 2, 7, "a comma or }"),
        ('{"a" 1}', 1, 6, "colon"),
        ("[1,\n\n 2", 3, 3, "closing ]"),
        ('"abc', 1, 1, "closing"),
        ('"a\\q"', 1, 3, "escape"),
        ("1 2", 1, 3, "after the end"),
        ("01", 1, 1, "no JSON value"),
    ],
)
def test_where_a_payload_is_no_json(page: Page, text: str, line: int, column: int, says: str) -> None:
    (problem,) = page.ask(texts=[text])["found"]

    assert (problem["line"], problem["column"]) == (line, column)
    assert says in problem["text"]


def test_what_the_server_refuses_is_said_at_the_field(page: Page) -> None:
    with pytest.raises(InvalidMessage) as refused:
        make_envelope({"recipient": {"user": "", "context": "chat"}, "ttlSeconds": 0, "payload": 1, "sequenz": 1})
    (placed,) = page.ask(errors=[[str(refused.value), {}]])["placed"]

    assert set(placed["problems"]) == {"user", "contextId", "ttlSeconds"}
    assert placed["rest"] == "sequenz: there is no such field"


def test_what_belongs_to_a_field_that_is_not_shown_is_said_all_the_same(page: Page) -> None:
    (placed,) = page.ask(errors=[["ackTimeoutSeconds: too long; no field at all", {"ack": "none"}]])["placed"]

    assert placed == {"problems": {}, "rest": "ackTimeoutSeconds: too long; no field at all"}


def test_all_ways_in_are_offered(page: Page) -> None:
    assert page.ask()["ways"] == ["accept", "http", "topic", "bus", "run", "fanOut", "postOnce"]
