"""Who gets through to MiniStack: programs of this machine, and of pages only the clients of a WebSocket API."""

import asyncio
from typing import Any

import pytest

from local import settings
from local.guard import guarded

Headers = dict[str, str]
WEB_SOCKET_API = "/_aws/execute-api/0a1b2c3d/v1"
HERE = "127.0.0.1:4600"


def ask(kind: str, path: str = "/", *headers: tuple[str, str]) -> int | None:
    """The status with which it is refused; None if it gets through."""
    reached: list[Any] = []
    sent: list[Any] = []
    received = iter([{"type": "websocket.connect"}])

    async def app(*scope_and_more: Any) -> None:
        reached.append(scope_and_more)

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "path": path, "headers": raw}
    asyncio.run(guarded(app)(scope, receive, send))
    if reached:
        assert (reached, sent) == ([(scope, receive, send)], [])
        return None
    response = "http.response" if kind == "http" else "websocket.http.response"
    assert [message["type"] for message in sent] == [f"{response}.start", f"{response}.body"]
    assert not any(name == b"access-control-allow-origin" for name, _ in sent[0]["headers"])
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        HERE,
        "localhost:4600",
        "LocalHost",
        "bucket.localhost:4600",
        "a.bucket.s3.localhost",
        "[::1]",
        "[::1]:4600",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_program_that_asks_for_this_machine_gets_through(kind: str, host: str) -> None:
    assert ask(kind, "/", ("host", host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4600",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evillocalhost",
        ".localhost",
        "localhost:",
        "localhost:4600\n",
        "evil.example#.localhost",
        "user@localhost",
        "127.0.0.2",
        "127x0x0x1",
        "0.0.0.0:4600",
        "[::]",
        "",
    ],
)
@pytest.mark.parametrize(("kind", "path"), [("http", "/"), ("websocket", WEB_SOCKET_API)])
def test_no_other_name_leads_here(kind: str, path: str, host: str) -> None:
    assert ask(kind, path, ("host", host)) == 421


def test_one_name_is_asked_for() -> None:
    assert ask("http", "/") == 421
    assert ask("http", "/", ("host", HERE), ("Host", "evil.example")) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", f"http://{HERE}", "http://127.0.0.1:4601"])
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("http", "/"),
        ("http", "/2015-03-31/functions"),
        ("http", WEB_SOCKET_API),
        ("websocket", settings.RUNS_PATH),
        ("websocket", "/restapis/0a1b2c3d/v1/_user_request_/"),
        ("websocket", f"/elsewhere{WEB_SOCKET_API}"),
    ],
)
def test_no_page_gets_an_answer(kind: str, path: str, origin: str) -> None:
    assert ask(kind, path, ("Host", HERE), ("Origin", origin)) == 403


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", None), ("none", None)]
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_no_page_is_sent_here_without_an_origin(kind: str, site: str, status: int | None) -> None:
    """As by a link, an image or a form that gets."""
    assert ask(kind, "/?Action=ListTopics", ("host", HERE), ("sec-fetch-site", site)) == status


def test_a_page_is_a_client_of_a_web_socket_api() -> None:
    page = (("host", HERE), ("origin", "http://127.0.0.1:4601"), ("sec-fetch-site", "same-site"))

    assert ask("websocket", WEB_SOCKET_API, *page) is None


def test_what_is_no_request_is_not_its_business() -> None:
    assert ask("lifespan") is None
