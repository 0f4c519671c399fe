"""Every handler with changed real events, on moto's tables where nothing ever fails.

What strangers can send is answered as documented, or refused by an error of ours; and none of it is "unavailable",
which would be tried again for ever. What only the platform writes is damaged, too: then a handler may fail, in any way
that writes no payload and no token into its log.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import boto3
import pytest
from jwt.algorithms import ECAlgorithm
from jwt.utils import base64url_encode

from lambdas.adapters import poster
from lambdas.adapters.tables import CallbackTable, ConnectionTable
from lambdas.calls import accept, post_once
from lambdas.chat.core.errors import ChatError, Unavailable
from lambdas.chat.routes import chat_api
from lambdas.chat.tasks import await_change, settle_overdue
from lambdas.chat.triggers import notice_presence, publish_events
from lambdas.core.errors import InvalidMessage, RingbackError, ServiceUnavailable
from lambdas.routes import acknowledge, authorizer, connect, disconnect, http_api
from lambdas.routes.authorizer import Unauthorized
from lambdas.tasks import (
    hand_over_to_deliveries,
    plan_fan_out,
    post_and_await_acknowledgement,
    post_to_audience,
    post_to_connections,
    resolve_connections,
    wait_for_reconnect,
)
from lambdas.triggers import ended, ingest, presence, wake
from tests.builders import (
    DAY_SECONDS,
    DOMAIN,
    callback,
    connect_event,
    connection,
    disconnect_event,
    envelope,
    message_event,
    presence_event,
    queue_record,
    recipient,
    removal_record,
    stream_record,
    task,
)
from tests.chats import ANA, BO, DAN
from tests.contract import test_ended, test_fan_out, test_tasks
from tests.contract.chat_desk import ACCEPTED, ENDED_BY_CUSTOMER, Desk, as_text, claims_of, desk, said, token_of
from tests.contract.conftest import rows
from tests.contract.http_gateway import http_event
from tests.contract.test_authorizer import CLAIMS, JWK, KEY, handshake
from tests.contract.test_chat_triggers import Room, room
from tests.contract.test_http_api import FAN_OUT, Backend, backend
from tests.contract.test_tasks import wired_tasks
from tests.contract.ways_in import wired
from tests.fakes import FakePoster, FakeSockets, FakeTokens
from tests.fuzz.conftest import Fuzz, Watched
from tests.fuzz.mutation import SECRET, Place, batch_of, mutated

__all__ = ["backend", "desk", "room", "wired_tasks"]  # fixtures

Event = dict[str, Any]
Check = Callable[[Event, Any], None]
DAMAGED = 0.15
ALWAYS_THE_SAME = Random(1)  # noqa: S311
_ES256 = ECAlgorithm(ECAlgorithm.SHA256)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PAYLOAD = {"text": SECRET, SECRET: [1, 2.5, None, {"deep": [True]}]}
MESSAGES: list[Event] = [
    envelope(payload=PAYLOAD),
    envelope(id="m-2", payload=PAYLOAD, ack="client", ackTimeoutSeconds=10, track=True),
    envelope(id="m-3", payload=PAYLOAD, ordered=True, expiresAt="2030-01-31T13:00:00Z", type="chat.said"),
    envelope(id="m-4", payload=SECRET, durable=False, ttlSeconds=60, correlationId="c-1", traceparent=TRACEPARENT),
    envelope(id="m-5", payload=None, sequence=7, isFinal=True, retry={"maxAttempts": 3, "backoffCapSeconds": 60}),
]
RUNNABLE = [each for each in MESSAGES if each.get("durable", True)]


def play(
    fuzz: Fuzz,
    stage: Watched,
    handler: Callable[..., Any],
    real: Sequence[Event],
    change: Callable[[Event, Random], Event],
    *,
    errors: tuple[type[Exception], ...] = (),
    check: Check = lambda event, answer: None,
    damage: bool = True,
) -> None:
    """Call a handler with real events, with those that ``change`` makes of them, and with damaged ones.

    Args:
        fuzz: how often.
        stage: where.
        handler: which.
        real: events as they are.
        change: makes of one what a stranger could have caused.
        errors: those that it may raise then, as its answer.
        check: looks at another answer; both get and answer JSON.
        damage: whether to change what only the platform writes, too.
    """

    raised: Counter[str] = Counter()

    def changed(given: Event, random: Random) -> Event:
        if damage and random.random() < DAMAGED:
            return {"damaged": True, "event": mutated(given["event"], random)}
        return {"damaged": False, "event": change(given["event"], random)}

    def use(given: Event) -> None:
        event, damaged = given["event"], given["damaged"]
        if damaged and not isinstance(event, dict):
            return
        try:
            answer = stage.call(handler, event)
        except AssertionError:
            raise
        except Exception as error:
            is_answer = isinstance(error, errors) and not isinstance(error, ServiceUnavailable | Unavailable)
            if damaged:
                raised[type(error).__name__] += 1
                return
            if is_answer and SECRET not in str(error):
                return
            raise
        if not damaged:
            check(event, json.loads(json.dumps(answer)))

    fuzz.play([{"damaged": False, "event": event} for event in real], changed, use)
    if raised:
        print(f"raised at damaged events: {dict(raised.most_common())}")


def below(*places: Place) -> Callable[[Event, Random], Event]:
    """Change what is at these places."""
    return lambda event, random: mutated(event, random, places)


# What backends call


RESULTS = {"delivered", "started", "duplicate", "missed", "conflict", "invalid"}


def test_accept_handler(
    stage: Watched, fuzz: Fuzz, connections_table: str, sequences_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table).connect()

    def check(event: Event, answer: Any) -> None:
        results = answer["results"]
        assert len(results) == len(event["messages"])
        for result in results:
            assert result["status"] in RESULTS
            assert SECRET not in json.dumps(result)

    real: list[Event] = [{"messages": MESSAGES}, {"messages": []}, {"messages": [MESSAGES[2], MESSAGES[2]]}]
    play(fuzz, stage, accept.handler, real, below(()), errors=(InvalidMessage,), check=check, damage=False)


def test_post_once_handler(stage: Watched, fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.set(MANAGEMENT_ENDPOINT=f"https://{DOMAIN}/prod", ALLOWED_ENDPOINTS="https://other.example/prod")
    monkeypatch.setattr(post_once, "ManagementApi", FakeSockets)
    real: list[Event] = [
        {"id": "m-1", "recipient": {"connectionId": "Sm9tZQ="}, "payload": PAYLOAD, "type": "t", "sequence": 3},
        {"recipient": {"connectionId": "tab", "endpoint": "https://other.example/prod"}, "payload": SECRET},
    ]

    def check(_: Event, answer: Any) -> None:
        assert answer["status"] == "delivered"

    play(fuzz, stage, post_once.handler, real, below(()), errors=(InvalidMessage,), check=check, damage=False)


# What clients call


@pytest.fixture
def sockets(stage: Watched, connections_table: str, monkeypatch: pytest.MonkeyPatch) -> FakeSockets:
    """What the routes of the WebSocket API need."""
    stage.set(
        CONNECTIONS_TABLE_NAME=connections_table,
        CONNECTION_TTL_MINUTES=120,
        MAX_CONNECTIONS_PER_USER=3,
        CONNECTION_LIMIT_POLICY="evict_oldest",
        MANAGEMENT_ENDPOINT=f"https://{DOMAIN}/prod",
    )
    sockets = FakeSockets()
    monkeypatch.setattr(connect, "ManagementApi", lambda: sockets)
    return sockets


def test_authorizer_handler(stage: Watched, sockets: FakeSockets, fuzz: Fuzz) -> None:
    stage.set(
        TOKEN_ALGORITHMS="ES256",
        TOKEN_ISSUER="https://issuer.example",
        TOKEN_AUDIENCE="ringback",
        TOKEN_JWKS=json.dumps({"keys": [JWK]}),
        TOKEN_COOKIE_NAME="session",
        ALLOWED_ORIGINS="https://app.example",
        TOKEN_CONTEXTS_CLAIM="rooms",
        TOKEN_ATTRIBUTE_CLAIMS="plan,name,roles",
        TOKEN_REQUIRED_SCOPE="chat",
    )
    authorizer.wired.cache_clear()
    claims = {**CLAIMS, "rooms": ["chat/42", "desk/*"], "plan": "gold", "name": "Ana", "roles": [1], "scope": "chat x"}
    ways = [
        {"Authorization": "Bearer TOKEN"},
        {"Cookie": "a=b; session=TOKEN", "Origin": "https://app.example"},
        {"Sec_WebSocket_Protocol": "bearer, TOKEN", "Origin": "https://app.example"},
        {"Authorization": f"Bearer {SECRET}.{SECRET}.{SECRET}"},
    ]
    header = {"alg": "ES256", "kid": "one", "typ": "JWT"}
    real = [{"handshake": handshake(**way), "claims": claims, "header": header} for way in ways]
    fields = ("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters")
    places: list[Place] = [("claims",), ("claims",), ("header",), *(("handshake", field) for field in fields)]

    def change(event: Event, random: Random) -> Event:
        changed = mutated(event, random, [random.choice(places)])
        sent = changed["handshake"]
        for field in fields:
            sent[field] = as_lists(sent.get(field)) if field.startswith("multi") else as_texts(sent.get(field))
        return changed  # type: ignore[no-any-return]

    def call(event: Event, context: Any) -> Any:
        token = signed(event.get("header", {}), event.get("claims"))
        return authorizer.handler(json.loads(json.dumps(event["handshake"]).replace("TOKEN", token)), context)

    def check(event: Event, answer: Any) -> None:
        (statement,) = answer["policyDocument"]["Statement"]
        assert statement["Resource"] == event["handshake"]["methodArn"]
        assert all(isinstance(value, str) for value in answer["context"].values())
        assert SECRET not in json.dumps(answer)
        if statement["Effect"] == "Allow":  # and then `$connect` can store it
            handed_on = connect_event()
            handed_on["requestContext"]["authorizer"] = {"principalId": answer["principalId"], **answer["context"]}
            assert stage.call(connect.handler, handed_on)["statusCode"] == 200
        else:
            assert statement["Effect"] == "Deny"

    play(fuzz, stage, call, real, change, errors=(Unauthorized,), check=check)
    authorizer.wired.cache_clear()


def signed(header: object, claims: object) -> str:
    """A token whose signature is good, whatever it says."""
    parts = [base64url_encode(json.dumps(part).encode()) for part in (header, claims)]
    text = b".".join(parts)
    return b".".join([text, base64url_encode(_ES256.sign(text, KEY))]).decode()


def test_connect_handler(stage: Watched, sockets: FakeSockets, fuzz: Fuzz) -> None:
    real = [connect_event(), connect_event("c-2", Sec_WebSocket_Protocol="bearer, TOKEN")]
    places: list[Place] = [("headers",), ("queryStringParameters",), ("multiValueHeaders",)]

    def change(event: Event, random: Random) -> Event:
        changed = mutated(event, random, places)
        changed["headers"] = as_texts(changed.get("headers"))
        return changed  # type: ignore[no-any-return]

    def check(_: Event, answer: Any) -> None:
        assert answer["statusCode"] == 200

    play(fuzz, stage, connect.handler, real, change, check=check)


def test_disconnect_handler(stage: Watched, sockets: FakeSockets, fuzz: Fuzz) -> None:
    places: list[Place] = [
        ("headers",),
        ("requestContext", "disconnectReason"),
        ("requestContext", "disconnectStatusCode"),
    ]
    play(fuzz, stage, disconnect.handler, [disconnect_event()], below(*places))


def test_acknowledge_handler(
    stage: Watched, sockets: FakeSockets, callbacks_table: str, fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.set(CALLBACKS_TABLE_NAME=callbacks_table)
    monkeypatch.setattr(acknowledge, "WaitingRuns", FakeTokens)
    ConnectionTable("Connections").put(connection())
    CallbackTable(callbacks_table).park_for_acknowledgement(callback("m-1", task_token=f"{SECRET}-token"))
    frames = [{"action": "ack", "id": "m-1"}, {"action": "ack", "ids": ["m-1", "m-2"], "more": SECRET}]
    real = [message_event(json.dumps(frame)) for frame in frames]

    def change(event: Event, random: Random) -> Event:
        changed = mutated(event, random, [("body",)])
        if not isinstance(changed.get("body"), str):
            changed["body"] = json.dumps(changed.get("body"))
        return changed  # type: ignore[no-any-return]

    def check(_: Event, answer: Any) -> None:
        assert answer["statusCode"] in {200, 400}
        assert SECRET not in answer["body"]

    play(fuzz, stage, acknowledge.handler, real, change, check=check)


# What is called over HTTP


def as_texts(value: object) -> dict[str, str]:
    """Headers or parameters as API Gateway has them: text by name, each one character long at least."""
    fields = value if isinstance(value, dict) else {}
    return {plain(name): plain(item) for name, item in fields.items() if plain(name)}


def as_lists(value: object) -> dict[str, list[str]]:
    """The same, with several values of one name."""
    fields = value if isinstance(value, dict) else {}
    return {
        plain(name): [plain(each) for each in (item if isinstance(item, list) else [item])]
        for name, item in fields.items()
        if plain(name)
    }


def plain(value: object, *, most: int = 10_000) -> str:
    """A text that came in UTF-8, and not too long for API Gateway."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()[:most]


def http(event: Event, random: Random) -> Event:
    """What a stranger can make of an event of payload 2.0."""
    fields = ("rawPath", "headers", "queryStringParameters", "body", "body", "isBase64Encoded")
    changed = mutated(event, random, [(field,) for field in fields])
    changed["headers"] = as_texts(changed.get("headers"))
    if "queryStringParameters" in changed:
        changed["queryStringParameters"] = as_texts(changed["queryStringParameters"])
    for field in ("body", "rawPath"):
        if field in changed:
            changed[field] = plain(changed[field])
    changed["rawPath"] = "/" + changed.get("rawPath", "").lstrip("/")
    changed["isBase64Encoded"] = bool(changed.get("isBase64Encoded"))
    if random.random() < 0.05:
        changed["requestContext"]["http"]["method"] = random.choice(["PUT", "HEAD", "OPTIONS", "get", "PATCH"])
    return changed  # type: ignore[no-any-return]


def no_server_error(_: Event, answer: Any) -> None:
    """The answer is one, and a problem tells nothing that was sent."""
    assert answer["statusCode"] < 500, answer["body"]
    assert all(isinstance(value, str) for value in answer["headers"].values())
    if answer["statusCode"] >= 400:
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert SECRET not in answer["body"]


def test_http_api_handler(stage: Watched, backend: Backend, fuzz: Fuzz) -> None:
    ConnectionTable("Connections").put(connection(to=recipient("bo")))
    backend.send(id="known", track=True)
    real = [
        *(http_event("POST", "/messages", json.dumps(each)) for each in MESSAGES),
        http_event("POST", "/messages", json.dumps({"messages": MESSAGES})),
        http_event("POST", "/messages/fan-out", json.dumps({**FAN_OUT, "message": {"payload": PAYLOAD}})),
        http_event("GET", "/messages/known"),
        http_event("DELETE", "/messages/known"),
        http_event("GET", "/users/bo/connections", query="a=b"),
    ]
    play(fuzz, stage, http_api.handler, real, http, check=no_server_error, damage=False)


def test_chat_api_handler(stage: Watched, desk: Desk, fuzz: Fuzz) -> None:
    desk.chat(ACCEPTED, said(SECRET), chat_id="c-1")
    desk.chat(ACCEPTED, ENDED_BY_CUSTOMER, chat_id="c-2", by=DAN)

    def request(by: Any, method: str, path: str, body: Event | None = None, query: str = "") -> Event:
        token = f"Bearer {token_of(claims_of(by))}"
        text = None if body is None else json.dumps(body)
        return http_event(method, path, text, as_text(claims_of(by)), query=query, authorization=token)

    real = [
        request(ANA, "POST", "/chats", {"subject": SECRET}),
        request(ANA, "POST", "/chats/c-1/messages", {"id": "m-1", "text": SECRET}),
        request(BO, "POST", "/chats/c-1/messages", {"text": f"{SECRET} ünï"}),
        request(BO, "POST", "/chats/c-1/transfer", {"agent": "cy"}),
        request(BO, "POST", "/chats/c-1/transfer", {"queue": True}),
        request(DAN, "POST", "/chats/c-2/rating", {"rating": 4, "feedback": SECRET}),
        request(ANA, "POST", "/chats/c-1/typing", {}),
        request(ANA, "POST", "/chats/c-1/end"),
        request(BO, "POST", "/chats/c-1/accept"),
        request(BO, "GET", "/chats/waiting"),
        request(ANA, "GET", "/chats/c-1"),
        request(ANA, "GET", "/chats/c-1/messages", query="after=0&limit=10"),
        request(BO, "GET", "/chats/c-1/transcript", query="format=text"),
    ]
    play(fuzz, stage, chat_api.handler, real, http, check=no_server_error, damage=False)


# What Step Functions calls


@pytest.fixture
def tasks(
    stage: Watched,
    wired_tasks: Callable[[Callable[[], FakeSockets]], None],
    connections_table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Watched:
    """What the delivery's states need; Ana is connected."""
    wired_tasks(FakeSockets)
    monkeypatch.setattr(wait_for_reconnect, "WaitingRuns", FakeTokens)
    ConnectionTable(connections_table).put(connection("tab"))
    return stage


NAMES = ("execution-name", "Zustellung-ü", "x" * 80, "日本-1", "a" * 36)


def as_started(event: Event, random: Random) -> Event:
    """A run's name and its input are whatever somebody gives StartExecution."""
    changed: Event = mutated(event, random, [("message",)])
    if random.random() < 0.3:
        changed["execution"]["name"] = random.choice(NAMES)
    changed.setdefault("message", None)
    return changed


OPEN = [connection(name).to_state() for name in ("tab", "phone")]
WAITS = {"taskToken": f"{SECRET}-token", "entry": {"enteredAt": "2030-01-31T12:00:00.000Z", "retry": 0}}


def test_resolve_connections_handler(tasks: Watched, fuzz: Fuzz) -> None:
    real = [task(message) for message in RUNNABLE]
    play(fuzz, tasks, resolve_connections.handler, real, as_started, errors=(RingbackError,))


def test_post_to_connections_handler(tasks: Watched, fuzz: Fuzz) -> None:
    real = [task(message, connections=OPEN) for message in RUNNABLE]
    play(fuzz, tasks, post_to_connections.handler, real, as_started, errors=(RingbackError,))


def test_post_and_await_acknowledgement_handler(tasks: Watched, fuzz: Fuzz) -> None:
    real = [task(message, connections=OPEN, **WAITS) for message in RUNNABLE]
    play(fuzz, tasks, post_and_await_acknowledgement.handler, real, as_started, errors=(RingbackError,))


def test_wait_for_reconnect_handler(tasks: Watched, fuzz: Fuzz) -> None:
    how = test_tasks.tried("tab")
    real = [task(message, **how, **WAITS) for message in RUNNABLE]
    play(fuzz, tasks, wait_for_reconnect.handler, real, as_started, errors=(RingbackError,))


@pytest.fixture
def fan_outs(stage: Watched, indexed_table: str, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What the fan-out's states need; some people are connected."""
    machine = boto3.client("stepfunctions").create_state_machine(
        name="Delivery",
        definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
        roleArn="arn:aws:iam::123456789012:role/role",
    )
    stage.set(
        CONNECTIONS_TABLE_NAME=indexed_table,
        DEFAULT_TTL_SECONDS=DAY_SECONDS,
        DELIVERY_STATE_MACHINE_ARN=machine["stateMachineArn"],
        TOKENS_NAME_CONVERSATIONS="true",
    )
    monkeypatch.setattr(poster, "shared", lambda: FakePoster(FakeSockets()))
    monkeypatch.setattr(post_to_audience, "ManagementApi", FakeSockets)
    for user in ("ana", "bo"):
        made = connection(f"of-{user}", recipient(user))
        ConnectionTable(indexed_table).put(made._replace(in_conversation=True, attributes={"plan": "gold"}))
    return stage


PEOPLE = {"users": ["ana", "bo", "cy"], **test_fan_out.PLACE}
LISTED = {"list": {"key": "people.jsonl"}, **test_fan_out.PLACE}
PART = {"users": ["ana", {"user": "bo"}, "cy"]}


def fan_out(event: Event, random: Random) -> Event:
    """A fan-out's input is whatever somebody gives StartExecution; a stored list has whatever was written there."""
    changed: Event = mutated(event, random, [("fanOut",), ("part", "users")])
    changed.setdefault("fanOut", None)
    if "users" in event.get("part", {}):
        # The map's items: a list of anything.
        users = changed["part"].get("users")
        changed["part"]["users"] = users if isinstance(users, list) else [users]
    return changed


def parts(event: Event, random: Random) -> Event:
    """The same, after the plan was made: the input has been read by then."""
    return fan_out(event, random) if random.random() < 0.5 else event


def test_plan_fan_out_handler(fan_outs: Watched, fuzz: Fuzz) -> None:
    where = {"plan": "gold", "age": [1, 2.5, True]}
    real = [
        test_fan_out.task(PEOPLE, exclude=["cy"], durable=True),
        test_fan_out.task(LISTED, where=where),
        test_fan_out.task(test_fan_out.CONVERSATION, where=where, durable=False),
    ]
    play(fuzz, fan_outs, plan_fan_out.handler, real, fan_out, errors=(RingbackError,))


def test_post_to_audience_handler(fan_outs: Watched, fuzz: Fuzz) -> None:
    real = [
        test_fan_out.task(LISTED, PART),
        test_fan_out.task(PEOPLE, PART, where={"plan": "gold"}),
        test_fan_out.task(test_fan_out.CONVERSATION, test_fan_out.WHOLE),
    ]
    play(fuzz, fan_outs, post_to_audience.handler, real, fan_out, errors=(RingbackError,))


def test_hand_over_to_deliveries_handler(fan_outs: Watched, fuzz: Fuzz) -> None:
    owed = {**PART, "owed": True}
    real = [
        test_fan_out.task(LISTED, owed),
        test_fan_out.task(PEOPLE, PART),
        test_fan_out.task(test_fan_out.CONVERSATION, test_fan_out.WHOLE),
    ]
    play(fuzz, fan_outs, hand_over_to_deliveries.handler, real, fan_out, errors=(RingbackError,))


# What queues, streams and the bus call


def queue_text(text: str) -> str:
    """A text as SQS takes it: it refuses what XML cannot carry, and what is empty."""
    fitting = (c for c in text if c in "\t\n\r" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")
    return "".join(fitting) or "x"


def test_ingest_handler(
    stage: Watched, connections_table: str, sequences_table: str, fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table).connect()
    for variable, name in {"INGEST_DEAD_LETTER_QUEUE_URL": "Dead", "INGEST_QUEUE_URL": "Messages"}.items():
        stage.set(**{variable: boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]})
    ana = {"user": "ana", "context": "chat", "contextId": "42"}
    records = [
        *(queue_record(json.dumps(each), f"q-{n}") for n, each in enumerate(MESSAGES)),
        queue_record(json.dumps(PAYLOAD), "q-a", **ana, ttlSeconds="90", ordered="true"),
        queue_record(SECRET, "q-b", **ana, contentType="text/plain", ack="client", type="said"),
    ]

    def change(event: Event, random: Random) -> Event:
        changed: Event = {"Records": batch_of(event["Records"], random)}
        places: list[Place] = [("Records", None, "body"), ("Records", None, "messageAttributes", None, "stringValue")]
        changed = mutated(changed, random, places)
        for record, number in zip(changed["Records"], range(100), strict=False):
            body = record.get("body")
            record["body"] = queue_text(body if isinstance(body, str) else json.dumps(body))
            for attribute in record["messageAttributes"].values():
                if "stringValue" in attribute:
                    attribute["stringValue"] = queue_text(plain(attribute["stringValue"]))
            record["messageId"] = f"{record['messageId']}-{number}"
        return changed

    def check(event: Event, answer: Any) -> None:
        assert answer == {"batchItemFailures": []}, "it would come again, and be the same again"

    play(fuzz, stage, ingest.handler, [{"Records": records}], change, check=check)


def test_ended_handler(
    stage: Watched, connections_table: str, sequences_table: str, fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired(stage, monkeypatch, connections_table=connections_table, sequences_table=sequences_table)
    queue = boto3.client("sqs").create_queue(QueueName="Dead")["QueueUrl"]
    stage.set(DEFAULT_TTL_SECONDS=3600, DEAD_LETTER_QUEUE_URL=queue)
    given = [json.dumps(message) for message in MESSAGES]
    real = [
        test_ended.event(status, input=text, error=error, cause=cause)
        for text in given
        for status, error, cause in (
            ("FAILED", "MessageExpired", "Dead-lettered after 3 attempts"),
            ("FAILED", "States.Runtime", SECRET),
            ("ABORTED", "Cancelled", None),
            ("TIMED_OUT", None, None),
        )
    ]

    def change(event: Event, random: Random) -> Event:
        changed: Event = mutated(event, random, [("detail", "input"), ("detail", "error"), ("detail", "cause")])
        detail = changed["detail"]
        detail["input"] = plain(as_json(detail.get("input")), most=256 * 1024)  # Step Functions takes JSON only
        for field in ("error", "cause"):
            detail[field] = None if detail.get(field) is None else plain(detail[field])
        if random.random() < 0.3:
            detail["name"] = random.choice(NAMES)
        return changed

    def check(event: Event, _: Any) -> None:
        detail = event["detail"]
        kept = taken_from(queue)
        keeps = detail["status"] != "ABORTED" and not (detail["cause"] or "").startswith("Dead-lettered after ")
        assert len(kept) == int(keeps)
        for body in kept:
            assert body == queue_text(body), "SQS would not take it"
            assert repr(json.loads(body)["message"]) == repr(json.loads(detail["input"]))

    def call(event: Event, context: Any) -> None:
        taken_from(queue)
        ended.handler(event, context)

    play(fuzz, stage, call, real, change, check=check)


def taken_from(queue: str) -> list[str]:
    """What is on a queue, which is empty then."""
    sqs = boto3.client("sqs")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in messages]


def as_json(value: object) -> str:
    """A text that is JSON."""
    if isinstance(value, str):
        try:
            json.loads(value, parse_constant=lambda _: 1 / 0)
        except (ValueError, ZeroDivisionError, RecursionError):
            return json.dumps(value)
        return value
    return json.dumps(value)


def stored(random: Random, number: int) -> dict[str, Any]:
    """A row as `$connect` stores it, of anybody whom a token can name."""
    printable = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")

    def name(most: int) -> str:
        return "".join(random.choice(printable) for _ in range(random.choice([1, 2, most])))

    made = connection(
        f"c-{number}=",
        recipient(name(255), name(64), name(128)) if random.random() < 0.5 else recipient(),
        age_seconds=random.choice([0, 60, 7200]),
        life_seconds=random.choice([-1, 1, 7200]),
        token_life_seconds=random.choice([None, -5, 900]),
    )
    texts = [text for text in ("", "gold", "ünï", "\u2028", "👩\u200d👧", "x" * 300) if random.random() < 0.3]
    with_more = made._replace(
        attributes={str(place): text for place, text in enumerate(texts)}, in_conversation=random.random() < 0.5
    )
    ConnectionTable("Connections").put(with_more)
    (row,) = (row for row in rows("Connections") if row["connection_id"]["S"] == made.connection_id)
    boto3.client("dynamodb").delete_item(
        TableName="Connections", Key={key: row[key] for key in ("caller_id", "context")}
    )
    return row


def of_stream(event: Event, random: Random) -> Event:
    """A batch of other rows, some of which come twice or in another order."""
    records = [stream_record(stored(random, number), str(number)) for number in range(random.randint(1, 3))]
    for record in records:
        # What a later version writes beside what is known.
        changed = mutated({}, random)
        image = record["dynamodb"]["NewImage"]
        record["dynamodb"]["NewImage"] = {**(changed if isinstance(changed, dict) else {}), **image}
    if event.get("removals"):
        records += [removal_record(record, f"9{place}") for place, record in enumerate(records)]
    return {"Records": batch_of(records, random)}


def nothing_again(_: Event, answer: Any) -> None:
    """All of it is done."""
    assert answer == {"batchItemFailures": []}


def test_wake_handler(
    stage: Watched, connections_table: str, callbacks_table: str, fuzz: Fuzz, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.set(CALLBACKS_TABLE_NAME=callbacks_table)
    monkeypatch.setattr(wake, "WaitingRuns", lambda **_: FakeTokens())
    CallbackTable(callbacks_table).park_for_reconnect(callback("m-1", task_token=f"{SECRET}-token"))
    real = [{"Records": [stream_record(stored(ALWAYS_THE_SAME, 1), "1")]}]
    play(fuzz, stage, wake.handler, real, of_stream, check=nothing_again)


def test_presence_handler(stage: Watched, connections_table: str, fuzz: Fuzz) -> None:
    boto3.client("events").create_event_bus(Name="Messages")
    stage.set(MESSAGE_BUS_NAME="Messages")
    record = stream_record(stored(ALWAYS_THE_SAME, 1), "1")
    real = [{"Records": [record, removal_record(record, "2")]}]

    def change(event: Event, random: Random) -> Event:
        return of_stream({**event, "removals": True}, random)

    play(fuzz, stage, presence.handler, real, change, check=nothing_again)


# The chat's


def test_publish_events_handler(stage: Watched, room: Room, fuzz: Fuzz) -> None:
    room.start()
    room.accept()
    room.say()
    room.end()
    room.rate(4)
    real = [{"Records": room.records()}]
    places: list[Place] = [("Records", None, "dynamodb", "NewImage")]

    def change(event: Event, random: Random) -> Event:
        batch = {"Records": batch_of(event["Records"], random)}
        # What cannot be read will not be readable later: it is left out.
        changed: Event = mutated(batch, random, places) if random.random() < 0.7 else batch
        for record in changed["Records"]:
            record["dynamodb"].setdefault("NewImage", {})
        return changed

    play(fuzz, stage, publish_events.handler, real, change, check=nothing_again)


def test_notice_presence_handler(stage: Watched, room: Room, fuzz: Fuzz) -> None:
    room.start()
    room.accept()
    to = [ANA.recipient, BO.recipient, recipient()]
    real = [presence_event(what, each) for each in to for what in ("opened", "closed")]

    def change(event: Event, random: Random) -> Event:
        changed: Event = mutated(event, random, [("detail",)])
        detail = changed["detail"] if isinstance(changed.get("detail"), dict) else {}
        # What is told of a connection has its three texts, and whatever a later version tells beside them.
        for field, most in (("user", 255), ("context", 64), ("contextId", 128)):
            detail[field] = plain(detail.get(field, event["detail"][field]), most=most)
        return {**changed, "detail": detail}

    play(fuzz, stage, notice_presence.handler, real, change)


def chat_tasks(chat_ids: Sequence[str]) -> list[Event]:
    """What the chat's states hand their functions."""
    phases = ("Waiting", "Active", "Agent Away", "Rating")
    return [{"chatId": chat_id, "phase": phase, **WAITS} for chat_id in chat_ids for phase in phases]


_ENTERED = ("2030-01-31T12:00:00.000Z", "2030-01-31T12:00:00Z", "1970-01-01T00:00:00.001Z", "2030-01-31T13:00:00.123Z")


def any_name(event: Event, random: Random) -> Event:
    """A run's name is whatever somebody gives StartExecution."""
    entry = {"enteredAt": random.choice(_ENTERED), "retry": random.choice([0, 1, 99])}
    return {**event, "chatId": random.choice([*NAMES, "of-ana", "of-dan"]), "entry": entry}


def test_await_change_handler(stage: Watched, room: Room, fuzz: Fuzz) -> None:
    room.start()
    room.accept()
    real = chat_tasks(["of-ana"])
    play(fuzz, stage, await_change.handler, real, any_name, errors=(ChatError,))


def test_settle_overdue_handler(stage: Watched, room: Room, fuzz: Fuzz) -> None:
    room.start()
    room.accept()
    play(fuzz, stage, settle_overdue.handler, chat_tasks(["of-ana"]), any_name, errors=(ChatError,))
