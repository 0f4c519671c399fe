"""API Gateway's HTTP APIs: who gets through, what the function is given, and what becomes of its answer."""

import json
from typing import Any

import pytest

from tests.fidelity.clouds import Cloud, HttpApi
from tests.fidelity.marks import not_in

pytestmark = not_in("moto", "nobody can send its HTTP APIs a request")
TEAPOT = 418
_ANSWERS = f"""
    import json

    def handler(event, context):
        return {{"statusCode": {TEAPOT}, "headers": {{"X-Two": "2"}}, "body": json.dumps(event)}}
"""


def api_of(cloud: Cloud) -> HttpApi:
    made: HttpApi = cloud.once("HTTP API", lambda: cloud.http_api(cloud.function(_ANSWERS)).await_deployment())
    return made


def event_of(cloud: Cloud, method: str, path: str, body: bytes | None = None) -> Any:
    return json.loads(api_of(cloud).request(method, path, body, signed=True, headers={"X-One": "1"}).content)


def test_request_without_a_signature_is_forbidden_where_roles_are_asked_for(cloud: Cloud) -> None:
    answer = api_of(cloud).request("GET", "/by-role/x")

    assert (answer.status_code, json.loads(answer.content)) == (403, {"message": "Forbidden"})


def test_token_is_no_signature(cloud: Cloud) -> None:
    assert api_of(cloud).request("GET", "/by-role/x", headers={"Authorization": "Bearer a.b.c"}).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer a.b.c"}])
def test_request_without_a_good_token_is_unauthorized(cloud: Cloud, headers: dict[str, str]) -> None:
    answer = api_of(cloud).request("GET", "/by-token/x", headers=headers)

    assert (answer.status_code, json.loads(answer.content)) == (401, {"message": "Unauthorized"})


def test_answer_of_the_function_is_the_answer(cloud: Cloud) -> None:
    answer = api_of(cloud).request("GET", "/by-role/x", signed=True)

    assert (answer.status_code, answer.headers["X-Two"]) == (TEAPOT, "2")


def test_event_has_the_path_decoded_and_one_text_for_each_name(cloud: Cloud) -> None:
    event = event_of(cloud, "GET", "/by-role/a%20b?x=1&x=2")

    assert (event["version"], event["rawPath"]) == ("2.0", "/by-role/a b")
    assert event["queryStringParameters"] == {"x": "1,2"}
    assert event["headers"]["x-one"] == "1"
    assert event["requestContext"]["http"]["method"] == "GET"


def test_body_of_json_is_text(cloud: Cloud) -> None:
    event = event_of(cloud, "POST", "/by-role/x", '{"text": "ü"}'.encode())

    assert (event["body"], event["isBase64Encoded"]) == ('{"text": "ü"}', False)
