"""What the parsers are held to, whatever bytes they get. Each target has real input to begin with."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from lambdas.adapters import tables
from lambdas.adapters.rows import connection_from_item, connection_named_by, moment
from lambdas.adapters.token_keys import of as keys_of
from lambdas.chat.core.errors import ChatError
from lambdas.chat.routes import bodies, requests
from lambdas.core import fan_out as core_fan_out
from lambdas.core import intake
from lambdas.core.authorization import (
    Unauthenticated,
    attributes_of,
    authorize,
    check_claims,
    conversation_granted,
    find_token,
    is_identifier,
    scope_granted,
)
from lambdas.core.delivery import Attempt
from lambdas.core.errors import InvalidMessage, RingbackError, ServiceUnavailable
from lambdas.core.frames import message_frame
from lambdas.core.intake import Queued
from lambdas.core.model import Connection, Message
from lambdas.problems import Problem, json_object
from lambdas.routes.requests import acknowledged_ids
from lambdas.settings import Authorizer
from ringback import plain, plain_fan_out, protocol
from ringback.plain import Recipient
from ringback.surely import NotSure
from tests.builders import NOW, task
from tests.contract.test_authorizer import CLAIMS, JWK, TOKEN
from tests.contract.test_fan_out import CONVERSATION
from tests.contract.test_fan_out import task as fan_out_task
from tests.fakes import FakeSequences
from tests.fuzz.test_handlers import LISTED, MESSAGES, PEOPLE, TRACEPARENT
from tests.unit.test_plain import by_model, direct_by_model, fan_out_by_model, read, same

DAY_SECONDS = 86_400


class Target(NamedTuple):
    """A parser: real input for it, and what has to hold for any; it raises for a finding."""

    real: list[bytes]
    look: Callable[[bytes], object]


class NoInput(Exception):
    """No JSON, or no text: no input for this parser."""


def _json(data: bytes) -> Any:
    """JSON as Lambda hands it over; raises NoInput for anything else."""
    try:
        return json.loads(_text(data), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NoInput from None


def _object(data: bytes) -> dict[str, Any]:
    value = _json(data)
    if not isinstance(value, dict):
        raise NoInput
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NoInput from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _must(condition: object, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


def _same(mine: Any, models: Any) -> None:
    assert same(mine, models), f"{mine!r} is not {models!r}"


def _envelope(data: bytes) -> None:
    value = _json(data)
    _same(read(plain.read, value), by_model(value))


def _direct_envelope(data: bytes) -> None:
    value = _json(data)
    _same(read(plain.read_direct, value), direct_by_model(value))


def _fan_out(data: bytes) -> None:
    value = _json(data)
    _same(read(plain_fan_out.read, value), fan_out_by_model(value))


_ACK = TypeAdapter(protocol.AckFrame)


def _acknowledgement(data: bytes) -> None:
    text = _text(data)
    try:
        mine: object = acknowledged_ids({"body": text})
    except InvalidMessage:
        mine = None
    try:
        value = _json(data)
    except NoInput:
        assert mine is None or "NaN" in text or "Infinity" in text
        return
    if not isinstance(value, dict) or None in (value.get("id", 1), value.get("ids", 1)):
        return  # none is ever null, says the protocol; the model takes it
    try:
        model: object = _ACK.validate_python({**value, "action": "ack"}).acknowledged
    except ValidationError:
        model = None
    if mine is not None and "ids" in value:
        value.pop("id", None)  # with `ids`, an `id` beside it does not count
        model = _ACK.validate_python({**value, "action": "ack"}).acknowledged
    _same(mine, model)


_FRAME: TypeAdapter[Any] = TypeAdapter(protocol.FrameToClient)


def _frame(data: bytes) -> None:
    """What is accepted makes a frame that the protocol knows, with the same payload."""
    try:
        message = Message.accept(_json(data), fallback_id="run-1", accepted_at=NOW, default_ttl_seconds=DAY_SECONDS)
        frame = message_frame(message, attempt=1, sent_at=NOW)
    except InvalidMessage:
        return
    sent = json.loads(frame)
    assert json.dumps(sent["payload"]) == json.dumps(message.envelope.payload)
    read_again = _FRAME.validate_python({**sent, "payload": None})  # pydantic reads less deep than the functions
    assert (read_again.id, read_again.type) == (message.id, message.envelope.type)


_SETTINGS = Authorizer(
    token_algorithms=("ES256",),
    token_issuer=str(CLAIMS["iss"]),
    token_audience=str(CLAIMS["aud"]),
    token_jwks=json.dumps({"keys": [JWK]}),
    token_cookie_name="session",
    token_contexts_claim="rooms",
    token_attribute_claims=("plan", "name"),
    allowed_origins=("https://app.example",),
)
_KEYS = keys_of(_SETTINGS)


def _headers(data: bytes) -> None:
    """Headers, one a line: a token is found or refused, and what was found is verified or refused."""
    headers: dict[str, list[str]] = {}
    for line in data.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    try:
        token = find_token(headers, "session")
        assert token.text.isascii()
        _KEYS.verified(token.text)
    except Unauthenticated as refusal:
        _must(TOKEN not in str(refusal), "the refusal tells the token")
    event = {"multiValueHeaders": headers, "requestContext": {"identity": {"sourceIp": "203.0.113.7"}}}
    try:
        authorize(event, _SETTINGS, _KEYS, NOW)
    except ServiceUnavailable:
        raise
    except RingbackError:
        return


def _claims(data: bytes) -> None:
    """What a good token says is refused, or can be used."""
    try:
        claims = check_claims(data, _SETTINGS, NOW)
    except Unauthenticated:
        return
    assert is_identifier(claims["sub"], 255)
    assert datetime.fromtimestamp(int(claims["exp"]), UTC) >= NOW
    scope_granted(claims, "chat")
    conversation_granted(claims, "rooms", "chat", "42")
    attributes, _ = attributes_of(claims, ("plan", "name", "roles"))
    for text in attributes.values():
        text.encode()  # so that a table takes it


def _queued(data: bytes) -> None:
    """A body and its attributes are refused, or make the same run every time: one that a run can read."""
    value = _object(data)
    body, given = value.get("body"), value.get("attributes")
    if not isinstance(body, str) or not isinstance(given, dict):
        return
    attributes = {name: text for name, text in given.items() if isinstance(text, str)}
    queued = Queued(body, attributes, "q-1", NOW)
    try:
        accepted = intake.read_queued(queued)
    except InvalidMessage:
        return
    assert intake.read_queued(queued).envelope_json == accepted.envelope_json
    again = Message.accept(
        json.loads(accepted.envelope_json), fallback_id="other", accepted_at=NOW, default_ttl_seconds=1
    )
    assert again.id == accepted.message.id
    assert again.recipient == accepted.message.recipient
    assert abs(again.expires_at - accepted.message.expires_at).total_seconds() < 0.001 or not _says_end(accepted)


def _says_end(accepted: intake.Accepted) -> bool:
    return "expiresAt" in json.loads(accepted.envelope_json)


def _task(data: bytes) -> None:
    try:
        Attempt.from_task(task(_json(data)), default_ttl_seconds=DAY_SECONDS, sequences=FakeSequences())
    except InvalidMessage as refusal:
        _must(len(str(refusal)) < 2_000, "a run's cause has no room for it")


def _fan_out_task(data: bytes) -> None:
    event = {**fan_out_task({}), "fanOut": _json(data)}
    try:
        core_fan_out.FanOut.from_task(event, default_ttl_seconds=DAY_SECONDS).frames(NOW)
    except RingbackError as refusal:
        _must(len(str(refusal)) < 2_000, "a run's cause has no room for it")


def _row(data: bytes) -> None:
    """A connection is what it was when it comes back from its row, and from its key."""
    value = _object(data)
    names = [value.get(name) for name in ("user", "context", "contextId")]
    given, at = value.get("attributes"), value.get("at")
    if not all(isinstance(name, str) and is_identifier(name, 255) for name in names) or not isinstance(given, dict):
        return
    if not isinstance(at, int) or not 0 <= at < 4_000_000_000_000:
        return
    connection = Connection(
        recipient=Recipient(*map(str, names)),
        connection_id="Sm9tZQ=",
        endpoint="https://example",
        connected_at=moment(at / 1000),
        expires_at=moment(at // 1000),
        token_expires_at=moment(at // 1000) if at % 2 else None,
        attributes={name: text for name, text in given.items() if isinstance(text, str)},
        in_conversation=bool(at % 3),
    )
    item = tables._connection_item(connection)
    stored = connection_from_item(json.loads(json.dumps(item)))
    assert abs(stored.connected_at - connection.connected_at).total_seconds() < 0.001
    assert stored._replace(connected_at=connection.connected_at) == connection
    assert connection_named_by(item) == (connection.recipient, connection.connection_id)


_KINDS: list[Any] = [requests.NewChat, requests.NewMessage, requests.Transfer, requests.NewRating]


def _chat_body(data: bytes) -> None:
    """What the chat reads by itself its models read the same."""
    value = _json(data)
    for kind in _KINDS:
        try:
            mine = kind.surely(value)
        except NotSure:
            try:
                bodies.read(kind.__name__, value)
            except Problem as problem:
                problem.answer()
        else:
            _same(mine, kind(**bodies.read(kind.__name__, value)))


def _chat_caller(data: bytes) -> None:
    """Any header is a person or a refusal."""
    event = {
        "headers": {"Authorization": data.decode("latin-1")},
        "requestContext": {"authorizer": {"jwt": {"claims": {"sub": "ana"}}}},
    }
    try:
        person = requests.caller(event, role_claim="role", agent_role="agent")
    except ChatError:
        return
    assert person.user == "ana"


def _http_body(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for event in ({"body": text}, {"body": text, "isBase64Encoded": True}):
        try:
            value, _ = json_object(event)
        except Problem as problem:
            problem.answer()
        else:
            assert isinstance(value, dict)


def _dumped(*values: Any) -> list[bytes]:
    return [json.dumps(value, ensure_ascii=False).encode() for value in values]


_QUEUED: dict[str, Any] = {
    "body": '{"text": "hi"}',
    "attributes": {"user": "ana", "context": "chat", "contextId": "42"},
}
_DIRECT = {"id": "m-1", "recipient": {"connectionId": "Sm9tZQ="}, "payload": {}, "traceparent": TRACEPARENT}
_FAN_OUTS = [
    {"id": "f-1", "message": {"payload": 1, "ttlSeconds": 60}, "audience": PEOPLE, "exclude": ["cy"]},
    {"message": {"payload": "x", "retry": {"maxAttempts": 3}}, "audience": LISTED, "where": {"plan": ["gold", 1]}},
    {"message": {"payload": None}, "audience": CONVERSATION, "durable": False},
]
_CLAIMS = {
    **CLAIMS,
    "rooms": ["chat/42"],
    "plan": "gold",
    "name": "ü",
    "roles": [1],
    "scope": "chat x",
    "nbf": 1,
    "iat": 1,
}

TARGETS: dict[str, Target] = {
    "envelope": Target(_dumped(*MESSAGES), _envelope),
    "direct-envelope": Target(_dumped(_DIRECT), _direct_envelope),
    "fan-out": Target(_dumped(*_FAN_OUTS), _fan_out),
    "acknowledgement": Target(_dumped({"action": "ack", "id": "m"}, {"ids": ["m-1", "m-2"]}), _acknowledgement),
    "frame": Target(_dumped(*MESSAGES), _frame),
    "headers": Target(
        [
            f"Authorization: Bearer {TOKEN}".encode(),
            f"Cookie: a=b; session={TOKEN}\nOrigin: https://app.example".encode(),
            f"Sec-WebSocket-Protocol: bearer, {TOKEN}".encode(),
        ],
        _headers,
    ),
    "claims": Target(_dumped(_CLAIMS), _claims),
    "queued": Target(
        _dumped(_QUEUED, *({"body": json.dumps(message), "attributes": {"ttlSeconds": "9"}} for message in MESSAGES)),
        _queued,
    ),
    "task": Target(_dumped(*MESSAGES), _task),
    "fan-out-task": Target(_dumped(*_FAN_OUTS), _fan_out_task),
    "row": Target(
        _dumped(
            {"user": "ana", "context": "chat", "contextId": "42", "attributes": {"plan": "ü"}, "at": 1896091200123}
        ),
        _row,
    ),
    "chat-body": Target(
        _dumped({"subject": "x"}, {"id": "m-1", "text": "hi"}, {"agent": "bo"}, {"queue": True}, {"rating": 5}),
        _chat_body,
    ),
    "chat-caller": Target([f"Bearer {TOKEN}".encode()], _chat_caller),
    "http-body": Target(_dumped({"messages": MESSAGES}), _http_body),
}


def look(name: str, data: bytes) -> None:
    """Hold one parser to what it has to do with this input."""
    with suppress(NoInput):
        TARGETS[name].look(data)
