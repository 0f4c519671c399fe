"""Tokens of backends, at an HTTP API that reads their keys where it would on AWS."""

from collections.abc import Iterator

import pytest

from local import cloud, issuer
from local.tokens import Keys
from tests.integration.local.laboratory import HttpApi, Laboratory

ECHOES = """
    import json

    def handler(event, context):
        return {"statusCode": 200, "body": json.dumps(event)}
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with cloud.running(tmp_path_factory.mktemp("issuer")) as running:
        yield Laboratory(running.endpoint)


@pytest.fixture(scope="module")
def keys(laboratory: Laboratory) -> Keys:
    keys = Keys.make(backend_issuer=issuer.url(laboratory.endpoint))
    issuer.publish(laboratory.endpoint, keys)
    return keys


@pytest.fixture
def api(laboratory: Laboratory, keys: Keys) -> HttpApi:
    settings = keys.http_api_settings()
    api = laboratory.http_api(laboratory.function(ECHOES))
    authorizer = laboratory.gateway.create_authorizer(
        ApiId=api.id,
        Name="tokens",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": settings["issuer"], "Audience": [settings["audience"]]},
    )
    asked = {
        "AuthorizationType": "JWT",
        "AuthorizerId": authorizer["AuthorizerId"],
        "AuthorizationScopes": [settings["scope"]],
    }
    api.route("GET /messages/{id+}", **asked)
    api.route("$default", **asked)
    return api


def test_token_of_a_backend_opens_the_api(api: HttpApi, keys: Keys) -> None:
    status, event = api.ask("GET", "/messages/a%2Fb", f"Bearer {keys.backend_token(name='shop')}")

    assert status == 200
    assert event["pathParameters"] == {"id": "a/b"}
    claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
    assert (claims["sub"], claims["scope"]) == ("shop", "ringback:messages")


def test_path_without_a_route_needs_a_token_too(api: HttpApi, keys: Keys) -> None:
    assert api.status("GET", "/nowhere") == 401
    assert api.status("GET", "/nowhere", f"Bearer {keys.backend_token()}") == 200


def test_other_tokens_do_not(api: HttpApi, keys: Keys) -> None:
    stranger = Keys.make(backend_issuer=keys.backend_issuer)
    tokens = {
        "none": None,
        "no token": "Bearer a.b.c",
        "of a user": f"Bearer {keys.token('ana')}",
        "of a user, with the scope": f"Bearer {keys.token('ana', scope='ringback:messages')}",
        "of a stranger": f"Bearer {stranger.backend_token()}",
        "for another audience": f"Bearer {keys.backend_token(aud='ringback')}",
        "of another issuer": f"Bearer {keys.backend_token(iss='https://ringback.local')}",
        "expired": f"Bearer {keys.backend_token(ttl_seconds=-1)}",
    }

    answers = {name: api.ask("GET", "/messages/a", token) for name, token in tokens.items()}

    assert answers == dict.fromkeys(tokens, (401, {"message": "Unauthorized"}))


def test_token_without_the_scope_is_forbidden(api: HttpApi, keys: Keys) -> None:
    token = keys.backend_token(scope="openid")

    assert api.ask("GET", "/messages/a", f"Bearer {token}") == (403, {"message": "Forbidden"})
