"""Frames from somebody who is connected: each is answered as documented, and changes nothing."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from local.demo.stage import envelope
from tests.attacks.conftest import DOCUMENT, Case
from tests.attacks.target import PING, PONG, Attacker, Target

LAYER = "stack"
_FRAMES = DOCUMENT["components"]["schemas"]
(_ERROR,) = _FRAMES["ErrorFrame"]["examples"]
UNKNOWN = _ERROR["error"]


def kinds(answers: list[dict[str, Any]]) -> list[str]:
    """What the answers are: a pong, or the error's name. They have nothing else in them."""
    for answer in answers:
        known = (_FRAMES[name]["properties"]["kind"]["const"] for name in ("PongFrame", "ErrorFrame"))
        assert answer["kind"] in known
        assert answer == PONG or answer.keys() == _ERROR.keys()
    return [answer.get("error", answer["kind"]) for answer in answers]


def _action(value: object) -> str:
    return json.dumps({"action": value, "id": "m-1"})


_NO_ACTIONS = {
    "in capitals": "ACK",
    "capitalized": "Ping",
    "with a blank": "ping ",
    "with a blank before": " ack",
    "with a NUL": "ack\0",
    "with a line end": "ping\n",
    "of zero width": "ack\N{ZERO WIDTH SPACE}",
    "turned right to left": "\N{RIGHT-TO-LEFT OVERRIDE}kca",
    "a Cyrillic look-alike": "\N{CYRILLIC SMALL LETTER A}ck",
    "a fullwidth look-alike": "\N{FULLWIDTH LATIN SMALL LETTER A}ck",
    "half a surrogate pair": "\ud800",
    "empty": "",
    "a star": "*",
    "a pattern": "a.k",
    "a path": "../ack",
    "with a parameter": "ack?x",
    "$default": "$default",
    "an expression": "$request.body.id",
    "a JSONata expression": "{% $states.input %}",
    "a template": "${stageVariables.x}",
    "a prototype's name": "__proto__",
    "a constructor's name": "constructor",
    "a method's name": "toString",
    "a dunder": "__class__",
    "SQL": "ack' OR '1'='1",
    "a function's name": "acknowledge",
    "another product's": "sendMessage",
    "very long": "a" * 20_000,
    "a number": 0,
    "true": True,
    "null": None,
    "a list": ["ack"],
    "an object": {"action": "ack"},
}
_NO_FRAMES = {
    "empty": "",
    "a blank": " ",
    "a word": "ping",
    "a text": '"ping"',
    "a number": "1",
    "null": "null",
    "a list": '[{"action": "ping"}]',
    "an empty object": "{}",
    "another name": '{"Action": "ping"}',
    "deeper": '{"body": {"action": "ping"}}',
    "single quotes": "{'action': 'ping'}",
    "a comment": '{"action": "ping" /* */}',
    "a comma at the end": '{"action": "ping",}',
    "not closed": '{"action": "ping"',
    "two": '{"action": "ping"}{"action": "ping"}',
    "a byte order mark": '\ufeff{"action": "ping"}',
    "a NUL behind it": '{"action": "ping"}\0',
    "markup": "<action>ping</action>",
    "a form": "action=ping",
    "a batch of ours": json.dumps({"kind": "batch", "messages": []}),
    "a message of ours": json.dumps({"kind": "message", "id": "m-1", "payload": 1}),
    "a close of ours": json.dumps({"kind": "close", "reason": "evicted", "reconnect": False}),
    "32 kilobytes": json.dumps({"x": "y" * 32_000}),
}
REFUSED = {
    **{f"action: {name}": _action(value) for name, value in _NO_ACTIONS.items()},
    **{f"frame: {name}": text for name, text in _NO_FRAMES.items()},
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", REFUSED.values(), ids=REFUSED)
def test_frame_without_an_action_of_ours(case: Case, mallory: Attacker, frame: str) -> None:
    case.answer(kinds(mallory.answers([frame])), [UNKNOWN])


# Not answered, like every `ack`; those of API Gateway's own routes neither.
SILENT = {
    "no id": '{"action": "ack"}',
    "an id of null": '{"action": "ack", "id": null}',
    "an id of true": '{"action": "ack", "id": true}',
    "an id that is a number": '{"action": "ack", "id": 1}',
    "an id that is an object": '{"action": "ack", "id": {"S": "m-1"}}',
    "an id that is a list": '{"action": "ack", "id": ["m-1"]}',
    "an empty id": '{"action": "ack", "id": ""}',
    "an id with a NUL": '{"action": "ack", "id": "m\\u0000"}',
    "an id with a line end": '{"action": "ack", "id": "m\\n{\\"level\\": \\"ERROR\\"}"}',
    "an id that turns right to left": '{"action": "ack", "id": "\\u202em"}',
    "an id of half a surrogate pair": '{"action": "ack", "id": "\\ud800"}',
    "an id that is too long": json.dumps({"action": "ack", "id": "m" * 129}),
    "an id of 20 kilobytes": json.dumps({"action": "ack", "id": "m" * 20_000}),
    "ids that are none": '{"action": "ack", "ids": []}',
    "ids of null": '{"action": "ack", "ids": null}',
    "ids in a text": '{"action": "ack", "ids": "m-1"}',
    "ids in an object": '{"action": "ack", "ids": {"0": "m-1", "length": 1}}',
    "ids in lists": '{"action": "ack", "ids": [["m-1"]]}',
    "one id that is none": '{"action": "ack", "ids": ["m-1", 2]}',
    "101 ids": json.dumps({"action": "ack", "ids": ["m-1"] * 101}),
    "5,000 ids": json.dumps({"action": "ack", "ids": ["m"] * 5000}),
    "100 ids that nobody knows": json.dumps({"action": "ack", "ids": [f"m-{number}" for number in range(100)]}),
    "NaN": '{"action": "ack", "id": NaN}',
    "a number without end": '{"action": "ack", "id": 1e999}',
    "an injected condition": '{"action": "ack", "id": "m-1 OR attribute_exists(task_token)"}',
    "a key": '{"action": "ack", "id": "message#m-1"}',
    "a task token": '{"action": "ack", "id": "m-1", "taskToken": "AQCEAAAAKgAAAAMAAAAA", "output": "{}"}',
    "800 lists in each other": '{"action": "ack", "id": ' + "[" * 800 + "]" * 800 + "}",
    "$connect": '{"action": "$connect"}',
    "$connect, as somebody else": '{"action": "$connect", "requestContext": {"authorizer": {"user": "ana"}}}',
    "$disconnect": '{"action": "$disconnect"}',
    "$disconnect, of somebody else": '{"action": "$disconnect", "connectionId": "Sm9tZQ=", "user": "ana"}',
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", SILENT.values(), ids=SILENT)
def test_frame_that_is_not_answered(case: Case, mallory: Attacker, frame: str) -> None:
    case.answer(kinds(mallory.answers([frame])), [])


PINGS = {
    "with more in it": '{"action": "ping", "id": "m-1", "user": "ana", "__proto__": {"x": 1}}',
    "with blanks": ' \n{ "action" : "ping" }\t',
    "escaped": '{"\\u0061ction": "\\u0070ing"}',
    "with a template in it": '{"action": "ping", "x": "$input.body #set($a = 1) ${x}"}',
    "large": json.dumps({"action": "ping", "x": "y" * 31_000}),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("frame", PINGS.values(), ids=PINGS)
def test_ping(case: Case, mallory: Attacker, frame: str) -> None:
    """It says nothing but that the connection lives."""
    case.answer(kinds(mallory.answers([frame], pongs=1)), ["pong"])


FLOODS: dict[str, tuple[Sequence[str], list[str]]] = {
    "of pings": ([PING] * 300, ["pong"] * 300),
    "of what is no action": (['{"action": "x"}'] * 300, [UNKNOWN] * 300),
    "of acknowledgements": (['{"action": "ack", "id": "m-1"}'] * 100, []),
    "of acknowledgements that are none": (['{"action": "ack"}'] * 100, []),
    "of full acknowledgements": ([json.dumps({"action": "ack", "ids": [f"m-{n}" for n in range(100)]})] * 5, []),
    "of empty frames": ([""] * 300, [UNKNOWN] * 300),
    "of large frames": ([json.dumps({"x": "y" * 31_000})] * 100, [UNKNOWN] * 100),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("frames", "documented"), FLOODS.values(), ids=FLOODS)
def test_flood(case: Case, target: Target, mallory: Attacker, frames: Sequence[str], documented: list[str]) -> None:
    """Each frame is answered, and others are served as before. In AWS the stage's throttle comes first."""
    answered = kinds(mallory.answers(frames, pongs=documented.count("pong")))
    with Attacker.of(target, "somebody-else") as bystander:
        case.answer([answered, kinds(bystander.answers([PING], pongs=1))], [documented, ["pong"]])


def test_frames_again(case: Case, target: Target) -> None:
    """What somebody else's client has sent, recorded and sent again from here: the run it was for hears nothing."""
    stage = target.stage
    victim = stage.client("replayed")
    message = envelope("replayed", "for one", ack="client", ackTimeoutSeconds=3600)
    with stage.connected(victim):
        stage.await_rows(victim, "replayed", 1)
        arn = stage.runs.start(message)
        victim.await_message(message["id"])
        recorded = json.dumps({"action": "ack", "id": message["id"]})
        with Attacker.of(target, "replayer") as attacker:
            first = attacker.answers([recorded] * 5)
            waits = stage.runs.client.describe_execution(executionArn=arn)["status"]
            victim.send(json.loads(recorded))
            run = stage.runs.await_end(arn)
            again = attacker.answers([recorded] * 5)
        for _ in range(5):  # its own replays change nothing either
            victim.send(json.loads(recorded))
        victim.send(json.loads(PING))
        victim.await_frames(lambda: any(frame.body == PONG for frame in victim.frames), "the pong")
    stage.await_rows(victim, "replayed", 0)
    after = stage.runs.client.describe_execution(executionArn=arn)
    ended = json.loads(after["output"])["status"]
    case.answer([first, waits, run.status, again, ended], [[], "RUNNING", "SUCCEEDED", [], "acknowledged"])
