"""API Gateway's WebSockets: handshakes, routes, events, and the management of connections."""

import json
import re
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from lambdas.adapters.poster import AsyncPoster
from lambdas.adapters.signing import Credentials
from lambdas.core.ports import Post, PostResult
from tests.fidelity.clouds import Cloud, code_of
from tests.fidelity.gateway import Gateway, of_connection
from tests.fidelity.marks import differs, not_in
from tests.waiting import until

pytestmark = not_in("moto", "it has no WebSocket APIs")
GONE = {"GoneException", "410"}
BAD = {"BadRequestException", "400"}
TOO_LARGE = {"PayloadTooLargeException", "413"}
KILOBYTE = 1024


def test_authorizer_is_given_the_handshake(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect(context="chat") as (_, connection_id):
        pass

    event = gateway.event("CONNECT", of_connection(connection_id), authorizer=True)

    assert event["type"] == "REQUEST"
    assert re.fullmatch(rf"arn:aws:execute-api:[^:]+:[^:]*:{gateway.api.id}/test/\$connect", event["methodArn"])
    assert event["queryStringParameters"]["context"] == "chat"
    assert event["multiValueQueryStringParameters"]["context"] == ["chat"]
    headers = {name.lower(): value for name, value in event["headers"].items()}
    assert headers["upgrade"].lower() == "websocket"
    several = {name.lower(): value for name, value in event["multiValueHeaders"].items()}
    assert several["host"] == [headers["host"]]


def test_what_the_authorizer_says_is_repeated_on_every_event(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.send("{}")
        gateway.answer(client)

    for kind in ("CONNECT", "MESSAGE", "DISCONNECT"):
        event = gateway.event(kind, of_connection(connection_id))
        told = event["requestContext"]["authorizer"]
        assert (told["principalId"], told["context"], told["contextId"]) == ("ana", "chat", "42")


def test_authorizer_is_asked_at_the_handshake_alone(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.send("{}")
        gateway.answer(client)
    gateway.event("DISCONNECT", of_connection(connection_id))

    asked = [told for told in gateway._told if "methodArn" in told["event"]]
    assert {told["event"]["requestContext"]["eventType"] for told in asked} == {"CONNECT"}


@pytest.mark.parametrize(
    ("what", "status"),
    [("raise Unauthorized", 401), ("deny", 403), ("429", 429), ("503", 503), ("break", 502)],
)
def test_refused_handshake_has_this_status(cloud: Cloud, what: str, status: int) -> None:
    assert Gateway.of(cloud).api.refusal(do=what) == status


def test_broken_authorizer_is_500(cloud: Cloud) -> None:
    assert Gateway.of(cloud).api.refusal(do="break the authorizer") == 500


def test_chosen_subprotocol_is_answered(cloud: Cloud) -> None:
    with Gateway.of(cloud).connect("bearer", "a.b.c") as (client, _):
        assert client.subprotocol == "bearer"


def test_event_of_a_handshake_tells_of_the_connection(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (_, connection_id):
        pass

    told = gateway.event("CONNECT", of_connection(connection_id))["requestContext"]

    assert (told["routeKey"], told["stage"]) == ("$connect", "test")
    assert told["apiId"] == gateway.api.id
    assert abs(told["connectedAt"] / 1000 - time.time()) < 60
    assert told["requestTimeEpoch"] >= told["connectedAt"]
    assert {"requestId", "extendedRequestId", "requestTime", "domainName"} <= set(told)
    assert told["identity"]["sourceIp"]


def test_event_of_a_message_has_its_body_and_no_headers(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.send('{"action": "ask", "ü": 1}')
        assert gateway.answer(client) == f"ask {connection_id}"

    event = gateway.event("MESSAGE", of_connection(connection_id))

    assert event["body"] == '{"action": "ask", "ü": 1}'
    assert event["isBase64Encoded"] is False
    assert "headers" not in event
    assert event["requestContext"]["messageId"]
    assert event["requestContext"]["routeKey"] == "ask"


def test_event_of_an_end_has_a_status_and_a_reason(cloud: Cloud) -> None:
    told = event_of_an_end(cloud)

    assert told["routeKey"] == "$disconnect"
    assert isinstance(told["disconnectStatusCode"], int)
    assert isinstance(told["disconnectReason"], str)


@differs("local", "statuses-of-ends")
def test_status_of_an_end_is_the_clients(cloud: Cloud) -> None:
    assert event_of_an_end(cloud)["disconnectStatusCode"] == 1000


def event_of_an_end(cloud: Cloud) -> dict[str, Any]:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.close(1000, "bye")
    told: dict[str, Any] = gateway.event("DISCONNECT", of_connection(connection_id))["requestContext"]
    return told


@pytest.mark.parametrize(
    ("frame", "route"), [('{"action": "ask"}', "ask"), ('{"action": "?"}', "$default"), ("no JSON", "$default")]
)
def test_frame_is_routed_by_its_action(cloud: Cloud, frame: str, route: str) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.send(frame)

        assert gateway.answer(client) == f"{route} {connection_id}"


def test_answer_needs_a_route_response(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        client.send('{"action": "tell"}')
        gateway.event("MESSAGE", of_connection(connection_id))
        client.send('{"action": "ask"}')

        assert gateway.answer(client).startswith("ask ")


@differs("local", "ids-of-connections")
def test_id_of_a_connection_is_16_characters_that_paths_must_encode(cloud: Cloud) -> None:
    with Gateway.of(cloud).connect() as (_, connection_id):
        pass

    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", connection_id)


def test_post_reaches_the_client_as_it_is(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, connection_id):
        assert gateway.api.post(connection_id, '{"text": "ü"}'.encode()) == ""
        assert gateway.answer(client) == '{"text": "ü"}'


def test_posts_of_our_own_signing_are_taken(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    found = cloud._session.get_credentials()
    assert found is not None
    now = found.get_frozen_credentials()
    credentials = Credentials(str(now.access_key), str(now.secret_key), now.token)
    poster = AsyncPoster(lambda: credentials, region=cloud.region)
    with poster, gateway.connect() as (client, connection_id):
        here = Post(gateway.api.endpoint, connection_id, b"signed")
        gone = Post(gateway.api.endpoint, "L0SM9cOFvHcCIhw=", b"signed")

        assert poster.post([here, gone]) == [PostResult.POSTED, PostResult.GONE]
        assert gateway.answer(client) == "signed"


def test_post_to_a_closed_connection_is_gone(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (_, connection_id):
        pass
    gateway.event("DISCONNECT", of_connection(connection_id))

    assert gateway.api.post(connection_id) in GONE


@differs("local", "malformed-ids")
def test_post_to_what_is_no_id_is_a_bad_request(cloud: Cloud) -> None:
    assert Gateway.of(cloud).api.post("no id at all") in BAD


@pytest.mark.parametrize(("length", "codes"), [(128 * KILOBYTE, {""}), (128 * KILOBYTE + 1, TOO_LARGE)])
def test_post_may_have_128_kilobytes(cloud: Cloud, length: int, codes: set[str]) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (_, connection_id):
        assert gateway.api.post(connection_id, b"x" * length) in codes


def test_post_before_the_handshake_is_answered_is_gone(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect(do="post", at=gateway.api.endpoint) as (_, connection_id):
        pass

    assert gateway.what_came("CONNECT", of_connection(connection_id))["posted"] == 410


@differs("local", "look-up-of-connections", raises=KeyError)
def test_connection_can_be_looked_up(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (_, connection_id):
        found = gateway.api.management.get_connection(ConnectionId=connection_id)

    assert found["ConnectedAt"] <= found["LastActiveAt"]
    assert found["Identity"]["SourceIp"]


def test_connection_can_be_closed_once(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    close = gateway.api.management.delete_connection
    with gateway.connect() as (client, connection_id):
        assert close(ConnectionId=connection_id)["ResponseMetadata"]["HTTPStatusCode"] == 204
        with pytest.raises(ConnectionClosed):
            gateway.answer(client)

    # It may be there for a moment yet.
    until(lambda: code_of(close, ConnectionId=connection_id) in GONE, "410 for what was closed")


@differs("local", "sizes-of-frames", raises=pytest.fail.Exception)
def test_frame_of_a_client_may_have_32_kilobytes(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, _):
        client.send("x" * 32 * KILOBYTE)
        assert gateway.answer(client).startswith("$default")
        client.send("x" * (32 * KILOBYTE + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@differs("local", "binary-frames", raises=pytest.fail.Exception)
def test_binary_frame_closes_the_connection(cloud: Cloud) -> None:
    gateway = Gateway.of(cloud)
    with gateway.connect() as (client, _):
        client.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


@differs("local", "answer-without-a-route", raises=TimeoutError)
def test_route_that_is_not_there_is_forbidden(cloud: Cloud) -> None:
    def make() -> Any:
        own = Gateway.of(cloud)
        function = cloud.function(_ACCEPTS)
        api = cloud.websocket_api({"$connect": function}, authorizer=_authorizer_of(own), answers=())
        return api.await_deployment()

    with cloud.once("an API without routes", make).connect() as client:
        client.send('{"action": "any"}')
        answer = json.loads(client.recv(timeout=5))

    assert answer["message"] == "Forbidden"


_ACCEPTS = """
    def handler(event, context):
        return {"statusCode": 200}
"""


def _authorizer_of(gateway: Gateway) -> str:
    return str(next(arn for (source, _), arn in gateway.cloud._functions.items() if "raise Unauthorized" in source))
