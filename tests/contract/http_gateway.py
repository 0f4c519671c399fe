"""API Gateway's HTTP API in front of a function: real requests in, events of payload 2.0 out. A WSGI application."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from tests.builders import LAMBDA_CONTEXT

TOKEN = "a-good-token"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_BACKEND = {"sub": "backend"}
_AS_TEXT = ("application/json", "application/xml", "application/javascript")


def http_event(
    method: str,
    path: str,
    body: bytes | str | None = None,
    claims: Mapping[str, str] = _BACKEND,
    /,
    *,
    query: str = "",
    **headers: str,
) -> dict[str, Any]:
    """An event of payload 2.0; a header's name is written with underscores.

    Args:
        method: of the request.
        path: as the caller encoded it; the event has it decoded, but for `%25`.
        body: as it is sent; a text is JSON.
        claims: of the caller's token.
        query: as it is sent.
        headers: of the request.
    """
    sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    if isinstance(body, str):
        sent.setdefault("content-type", "application/json")
        body = body.encode()
    media_type = sent.get("content-type", "").partition(";")[0].strip().lower()
    is_text = media_type.startswith("text/") or media_type in _AS_TEXT
    decoded = _decoded(path)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": decoded,
        "rawQueryString": query,
        "headers": {"host": "abcdefabcd.execute-api.eu-central-1.amazonaws.com", **sent},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefabcd",
            "authorizer": {"jwt": {"claims": dict(claims), "scopes": ["ringback:messages"]}},
            "domainName": "abcdefabcd.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abcdefabcd",
            "http": {
                "method": method,
                "path": decoded,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "backend/1.0",
            },
            "requestId": "Sm9tZUlkPQ=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "31/Jan/2030:12:00:00 +0000",
            "timeEpoch": 1896091200000,
        },
        "isBase64Encoded": bool(body) and not is_text,
    }
    if body:
        event["body"] = body.decode("utf-8", "replace") if is_text else base64.b64encode(body).decode()
    if query:
        event["queryStringParameters"] = dict(part.partition("=")[::2] for part in query.split("&"))
    return event


def application_of(
    handler: Callable[[dict[str, Any], Any], dict[str, Any]],
    claims: Mapping[str, str] = _BACKEND,
    *,
    token: str = TOKEN,
) -> Application:
    """The function behind API Gateway, which knows one token and what that claims."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return _answer(handler, claims, token, environ, start_response)

    return application


def _answer(
    handler: Callable[[dict[str, Any], Any], dict[str, Any]],
    claims: Mapping[str, str],
    token: str,
    environ: dict[str, Any],
    start_response: Callable[..., Any],
) -> Iterable[bytes]:
    """Answer one request: 401 without the token, else what the function says."""
    headers = {name[5:].lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["content_type"] = environ["CONTENT_TYPE"]
    if headers.get("authorization") != f"Bearer {token}":
        start_response("401 Unauthorized", [("Content-Type", "application/json")])
        return [b'{"message":"Unauthorized"}']
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = quote(environ["PATH_INFO"].encode("latin-1"), safe="/")
    event = http_event(environ["REQUEST_METHOD"], path, body, claims, query=environ.get("QUERY_STRING", ""), **headers)
    answer = handler(event, LAMBDA_CONTEXT)
    sent = [(name, str(value)) for name, value in answer["headers"].items()]
    start_response(f"{answer['statusCode']} As It Is", sent)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer["body"].encode()]


def _decoded(path: str) -> str:
    """As API Gateway decodes a path: every escape but that of the percent sign."""
    runs = re.compile(r"((?:%(?!25)[0-9A-Fa-f]{2})+)")
    return runs.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "replace"), path)
