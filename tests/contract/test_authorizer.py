"""The authorizer as API Gateway calls it: its event in, its policy (or its exception) out."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from lambdas.core.errors import ServiceUnavailable
from lambdas.routes import authorizer
from lambdas.settings import SettingsError
from tests.builders import NOW
from tests.contract.conftest import SECRET, Stage

KEY, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
JWK = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "one"}
EXPIRES_AT = int(NOW.timestamp()) + 600
CLAIMS = {"iss": "https://issuer.example", "aud": "ringback", "sub": "ana", "exp": EXPIRES_AT, "email": SECRET}
TOKEN = jwt.encode(CLAIMS, KEY, "ES256", {"kid": "one"})
METHOD_ARN = "arn:aws:execute-api:eu-central-1:123456789012:abcdefabcd/prod/$connect"

# As API Gateway sends it for `wss://…/prod?context=chat&contextId=42`, every field of it.
HANDSHAKE: dict[str, Any] = {
    "type": "REQUEST",
    "methodArn": METHOD_ARN,
    "headers": {
        "Host": "abcdefabcd.execute-api.eu-central-1.amazonaws.com",
        "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
        "Sec-WebSocket-Key": "SnFBQ2tLd0hJSlVxT2Z0dg==",
        "Sec-WebSocket-Version": "13",
        "X-Amzn-Trace-Id": "Root=1-65b2c3d4-0123456789abcdef01234567",
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    },
    "multiValueHeaders": {},
    "queryStringParameters": {"context": "chat", "contextId": "42"},
    "multiValueQueryStringParameters": {"context": ["chat"], "contextId": ["42"]},
    "stageVariables": {},
    "requestContext": {
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "extendedRequestId": "Sm9tZUlkPQ=",
        "requestTime": "31/Jan/2030:12:00:00 +0000",
        "messageDirection": "IN",
        "stage": "prod",
        "connectedAt": 1896091200000,
        "requestTimeEpoch": 1896091200001,
        "identity": {"userAgent": "Mozilla/5.0", "sourceIp": "203.0.113.7"},
        "requestId": "Sm9tZUlkPQ=",
        "domainName": "abcdefabcd.execute-api.eu-central-1.amazonaws.com",
        "connectionId": "Sm9tZUNvbm5lY3Q=",
        "apiId": "abcdefabcd",
    },
}


def handshake(**headers: str) -> dict[str, Any]:
    event = copy.deepcopy(HANDSHAKE)
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
    return event


@pytest.fixture
def door(stage: Stage) -> Iterator[Stage]:
    """A stage with every variable that its authorizer needs; it writes no token anywhere."""
    stage.set(
        TOKEN_ALGORITHMS="ES256",
        TOKEN_ISSUER="https://issuer.example",
        TOKEN_AUDIENCE="ringback",
        TOKEN_JWKS=json.dumps({"keys": [JWK]}),
        TOKEN_COOKIE_NAME="session",
        ALLOWED_ORIGINS="https://app.example",
    )
    authorizer.wired.cache_clear()
    yield stage
    authorizer.wired.cache_clear()
    assert TOKEN.rpartition(".")[2] not in stage.written()


def test_allow(door: Stage) -> None:
    assert door.call(authorizer.handler, handshake(Authorization=f"Bearer {TOKEN}")) == {
        "principalId": "ana",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": METHOD_ARN}],
        },
        "context": {
            "user": "ana",
            "context": "chat",
            "contextId": "42",
            "tokenExpiresAt": str(EXPIRES_AT),
            "attributes": "{}",
            "inConversation": "false",
        },
    }


def test_claims_that_the_stage_names_come_along_and_those_that_cannot_are_named_in_the_log(door: Stage) -> None:
    door.set(TOKEN_CONTEXTS_CLAIM="rooms", TOKEN_ATTRIBUTE_CLAIMS="plan, roles")
    claims = CLAIMS | {"rooms": ["chat/42"], "plan": "gold", "roles": [SECRET]}

    token = jwt.encode(claims, KEY, "ES256", {"kid": "one"})
    answer = door.call(authorizer.handler, handshake(Authorization=f"Bearer {token}"))

    assert (answer["context"]["attributes"], answer["context"]["inConversation"]) == ('{"plan":"gold"}', "true")
    (line,) = door.log()
    assert (line["level"], line["claims"], line["user"]) == ("WARNING", ["roles"], "ana")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Cookie": f"session={TOKEN}", "Origin": "https://app.example"}, id="cookie"),
        pytest.param({"Sec_WebSocket_Protocol": f"bearer, {TOKEN}", "Origin": "https://app.example"}, id="subprotocol"),
    ],
)
def test_browsers_are_let_in(door: Stage, headers: dict[str, str]) -> None:
    answer = door.call(authorizer.handler, handshake(**headers))
    assert answer["principalId"] == "ana"
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


def test_deny_is_for_a_good_token_in_the_wrong_place(door: Stage) -> None:
    event = handshake(Cookie=f"session={TOKEN}", Origin="https://evil.example")
    assert door.call(authorizer.handler, event) == {
        "principalId": "ana",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": METHOD_ARN}],
        },
        "context": {"reason": "not allowed: origin"},
    }
    (line,) = door.log()
    assert (line["message"], line["user"]) == ("denied: not allowed: origin", "ana")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer not.a.token"}, id="malformed"),
        pytest.param(
            {"Authorization": f"Bearer {jwt.encode(CLAIMS, STRANGER, 'ES256', {'kid': 'one'})}"}, id="a stranger's"
        ),
        pytest.param(
            {"Authorization": f"Bearer {jwt.encode(CLAIMS | {'exp': EXPIRES_AT - 600}, KEY, 'ES256')}"}, id="expired"
        ),
        pytest.param({"Authorization": f"Bearer {jwt.encode(CLAIMS, '', 'none')}"}, id="unsigned"),
    ],
)
def test_without_a_good_token_the_error_has_the_text_that_api_gateway_knows(
    door: Stage, headers: dict[str, str]
) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        door.call(authorizer.handler, handshake(**headers))
    assert caught.value.__suppress_context__  # the runtime would print the cause
    (line,) = door.log()
    assert line["message"].startswith("unauthorized: ")
    assert door.metrics() == {}


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"TOKEN_ISSUER": ""}, SettingsError),
        ({"TOKEN_ALGORITHMS": "HS256"}, SettingsError),
        ({"TOKEN_JWKS": "", "TOKEN_JWKS_URL": "http://127.0.0.1:9/keys"}, ServiceUnavailable),
    ],
    ids=["a variable is missing", "they do not fit together", "nobody answers"],
)
def test_what_is_our_fault_is_no_refusal(door: Stage, variables: dict[str, str], error: type[Exception]) -> None:
    door.set(**variables)
    with pytest.raises(error):
        door.call(authorizer.handler, handshake(Authorization=f"Bearer {TOKEN}"))
    assert door.metrics() == {"Errors": 1}


@pytest.mark.parametrize("module", ["boto3", "botocore.session", "pydantic"])
def test_a_cold_start_does_without(module: str) -> None:
    """Each takes longer to import than all of this function's own code; a stage that has a secret needs botocore."""
    program = f"import sys, lambdas.routes.authorizer; sys.exit({module!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
