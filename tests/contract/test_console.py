"""What the console's server answers over HTTP, to its own page and to everybody else; nothing of AWS is there."""

import asyncio
import base64
import hashlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest
from aiohttp import web
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from local import console, settings, stack
from local.console import files, server
from local.console.board import Page
from local.errors import PortBusy
from local.tokens import Keys
from tests.unit.test_local_installation import OUTPUTS


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    def __init__(self, url: str) -> None:
        self.url = url
        self.authority = urlsplit(url).netloc
        self.port = int(self.authority.partition(":")[2])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Make one request; a header's name is written with underscores."""
        given = {"Host": self.authority, "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(
                method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), given
            )
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with socket.socket() as nobody:  # bound, and not listening: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        outputs = {name: value.replace("http://127.0.0.1:4711", endpoint) for name, value in OUTPUTS.items()}

        @dataclass(frozen=True)
        class Deployed:
            installation = stack.read_outputs(outputs, endpoint=endpoint, directory=Path())
            keys = Keys.make()

        with console.running(Deployed()) as running:
            yield Caller(running.url)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}"])
def test_the_page_is_there_under_this_machine_s_names(caller: Caller, host: str) -> None:
    answer = caller.ask("GET", "/", Host=host.format(port=caller.port))

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}", ""]
)
@pytest.mark.parametrize("path", ["/", "/api/installation", "/api/feed", "/nothing"])
def test_no_other_name_leads_here(caller: Caller, host: str, path: str) -> None:
    answer = caller.ask("GET", path, Host=host.format(port=caller.port))

    assert answer.status == 421
    assert f"127.0.0.1:{caller.port}" in answer.json["error"]


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://localhost:{port}"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/tokens"), ("GET", "/api/installation"), ("GET", "/")])
def test_no_other_page_gets_an_answer(caller: Caller, origin: str, method: str, path: str) -> None:
    answer = caller.ask(method, path, {"user": "ana"}, Origin=origin.format(port=caller.port))

    assert answer.status == 403
    assert "token" not in answer.json


def test_no_other_page_follows_the_feed(caller: Caller) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{caller.authority}/api/feed", origin=Origin("http://evil.example"), proxy=None, legacy=False),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_its_own_page_may(caller: Caller) -> None:
    answer = caller.ask("POST", "/api/tokens", {"user": "ana"}, Origin=caller.url)

    assert answer.status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/tokens"), ("POST", "/api/messages"), ("DELETE", "/api/messages/m-1")]
)
def test_no_form_does_anything(caller: Caller, content_type: str, method: str, path: str) -> None:
    answer = caller.ask(method, path, {"user": "ana"}, Content_Type=content_type)

    assert answer.status == 415


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/api/installation", "/nothing"])
def test_every_answer_says_what_a_page_of_it_may(caller: Caller, path: str) -> None:
    headers = caller.ask("GET", path).headers

    policy = headers["content-security-policy"].split("; ")
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self' ws://127.0.0.1:* ws://localhost:*" in policy
    assert not any("unsafe" in directive for directive in policy)
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_one_inline_script_is_the_import_map_as_it_stands(caller: Caller) -> None:
    answer = caller.ask("GET", "/")

    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", answer.body.decode(), re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    assert [f"'sha256-{one}'" for one in hashes] == re.findall(
        r"'sha256-[^']+'", answer.headers["content-security-policy"]
    )
    for url in json.loads(inline[0])["imports"].values():
        script = caller.ask("GET", url)
        assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8"), url


def test_only_the_libraries_that_are_named_are_served(caller: Caller) -> None:
    for path in json.loads(files.MODULES.read_text()).values():
        assert caller.ask("GET", f"/modules/{path}").status == 200
    for path in ("preact/package.json", "../package.json", "preact/dist/../package.json", "aws-cdk/package.json", ""):
        assert caller.ask("GET", f"/modules/{path}").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "../../../clients/js/ringback.js",
        "..%2f..%2f..%2fclients%2fjs%2fringback.js",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2fclients/js/ringback.js",
        f"{files.CLIENT}",
        quote(str(files.CLIENT), safe=""),
        "../modules.json",
        "",
        "views",
        "nothing.js",
        "%00.js",
    ],
)
def test_nothing_but_the_page_is_served(caller: Caller, path: str) -> None:
    answer = caller.ask("GET", f"/page/{path}")

    assert answer.status == 404
    assert answer.json["error"]


def test_a_token_opens_what_the_page_asked_for(caller: Caller) -> None:
    answer = caller.ask("POST", "/api/tokens", {"user": "ana", "ttlSeconds": 60, "plan": "gold"})

    claims = jwt.decode(answer.json["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["plan"], claims["exp"] - claims["iat"]) == ("ana", "gold", 60)
    plain = caller.ask("POST", "/api/tokens", {"user": "ana"}).json["token"]
    assert "plan" not in jwt.decode(plain, options={"verify_signature": False})


VALID = {"recipient": {"user": "ana", "context": "chat", "contextId": "42"}, "payload": 1}


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("tokens", {}, "user"),
        ("tokens", {"user": 1}, "user"),
        ("tokens", {"user": "ana", "ttlSeconds": 0}, "ttlSeconds"),
        ("tokens", {"user": "ana", "ttlSeconds": True}, "ttlSeconds"),
        ("tokens", {"user": "ana", "plan": []}, "plan"),
        ("tokens", [], "object"),
        ("tokens", b"{", "JSON"),
        ("tokens", b"[" * 100_000, "JSON"),
        ("tokens", b"\xff", "JSON"),
        ("messages", {"way": "pigeon", "message": VALID}, "accept, topic, bus, http, run, fanOut, postOnce"),
        ("messages", {"way": [], "message": VALID}, "accept, topic"),
        ("messages", {"way": "accept", "message": "hello"}, "message"),
        ("messages", {"way": "accept", "message": {"payload": 1}}, "recipient: is missing"),
        ("messages", {"way": "topic", "message": {**VALID, "paylod": 1}}, "paylod"),
        ("messages", {"way": "run", "message": {**VALID, "ttlSeconds": 0}}, "ttlSeconds"),
        ("messages", {"way": "fanOut", "message": {"message": {"payload": 1}}}, "audience"),
        ("dead-letters/redrive", {"queue": "other", "ids": ["l-1"]}, "delivery, ingest"),
        ("dead-letters/redrive", {"queue": "delivery"}, "ids"),
        ("dead-letters/redrive", {"queue": "delivery", "ids": ["l-1"], "ttlSeconds": 0}, "ttl_seconds"),
        ("dead-letters/redrive", {"queue": "delivery", "ids": ["l-1"], "ttlSeconds": "x"}, "ttlSeconds"),
        ("dead-letters/purge", {"queue": "delivery", "ids": []}, "ids"),
        ("dead-letters/purge", {"queue": "delivery", "ids": [1]}, "ids"),
        ("connections/close", {}, "connectionId"),
        ("links", [], "object"),
    ],
)
def test_what_makes_no_sense_is_told_what_to_do(caller: Caller, path: str, body: Any, said: str) -> None:
    answer = caller.ask("POST", f"/api/{path}", body)

    assert answer.status == 400
    assert said in answer.json["error"]


def test_a_link_lives_until_it_is_deleted(caller: Caller) -> None:
    link = caller.ask("POST", "/api/links", {}).json
    assert link["url"].startswith("ws://127.0.0.1:")
    path = f"/api/links/{link['id']}"

    for fault in ("cut", "halfOpen", "throttled", "down", "none"):
        assert caller.ask("POST", path, {"fault": fault}).json == {"id": link["id"], "fault": fault}
    assert "halfOpen" in caller.ask("POST", path, {"fault": "gremlins"}).json["error"]
    assert caller.ask("DELETE", path).status == 200
    assert caller.ask("DELETE", path).status == 404
    assert caller.ask("POST", path, {"fault": "cut"}).status == 404


def test_links_of_pages_that_went_make_room(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.console.links.MAX_LINKS", 2)
    made = [caller.ask("POST", "/api/links", {}).json for _ in range(3)]

    found = [caller.ask("POST", f"/api/links/{link['id']}", {"fault": "none"}).status for link in made]

    assert found == [404, 200, 200]


def test_there_is_nothing_else(caller: Caller) -> None:
    assert caller.ask("GET", "/api/nothing").status == 404
    assert caller.ask("PUT", "/api/tokens", {}).status == 405


def test_a_body_has_its_limit(caller: Caller) -> None:
    answer = caller.ask("POST", "/api/messages", b'"' + b"x" * server.MAX_BODY_BYTES + b'"')

    assert answer.status == 413


def test_a_port_that_is_taken_says_which_to_change(caller: Caller) -> None:
    with pytest.raises(PortBusy, match=f"CONSOLE_PORT={caller.port + 1}"), console.reserved(caller.port):
        pass


def test_a_page_that_looks_does_not_hold_the_console_up_at_its_end(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Deployed:
        installation = stack.read_outputs(OUTPUTS, endpoint="http://127.0.0.1:9", directory=tmp_path)
        keys = Keys.make()

    closing_too = ExitStack()
    with console.running(Deployed()) as running:
        page = connect(running.url.replace("http", "ws", 1) + "/api/feed", proxy=None, legacy=False)
        socket = closing_too.enter_context(page)
    with pytest.raises(ConnectionClosedOK) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    closing_too.close()


def test_a_page_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "_SEND_SECONDS", 0.2)

    @dataclass(frozen=True)
    class Deployed:
        installation = stack.read_outputs(OUTPUTS, endpoint="http://127.0.0.1:9", directory=tmp_path)
        keys = Keys.make()

    async def look(listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        application = server.make_application(Deployed(), port=port)
        there = application[server._CONSOLE]
        runner = web.AppRunner(application)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        for part in ("runs", "connections", "delivery", "ingest"):
            there._board.has_read(part)
        # Far more than what two sockets keep for who does not read.
        there._board.set_connections([{"connectionId": "c" * 1_000} for _ in range(20_000)])
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((settings.HOST, port))
            deaf.sendall(
                f"GET /api/feed HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            async with asyncio.timeout(10):
                while not there.sockets:  # noqa: ASYNC110 - nobody tells when a page comes or goes
                    await asyncio.sleep(0.01)
                while there.sockets:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert there._board._pages == set()
        await runner.cleanup()

    with console.reserved(None) as listener:
        asyncio.run(look(listener))


def test_a_page_that_cannot_be_told_connects_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it would stay open, and say that it is connecting, for ever."""

    def fail(_: Page) -> str:
        raise UnicodeError("no text")

    monkeypatch.setattr(Page, "snapshot", fail)
    monkeypatch.setattr(server, "_FIRST_READING_SECONDS", 0.05)

    with (
        connect(f"ws://{caller.authority}/api/feed", proxy=None, legacy=False) as page,
        pytest.raises(ConnectionClosedError),
    ):
        page.recv(timeout=10)
    assert "could not be told" in caplog.text


def test_half_of_a_surrogate_pair_goes_into_an_answer() -> None:
    body = server._json({"input": "\ud800"}).body

    assert isinstance(body, bytes)
    assert json.loads(body) == {"input": "\ud800"}


def test_a_letter_is_of_one_of_the_queues(caller: Caller) -> None:
    answer = caller.ask("GET", "/api/dead-letters/other/l-1")

    assert (answer.status, answer.json["error"]) == (400, "queue: give one of delivery, ingest")


def test_the_defaults_are_those_of_the_local_stage() -> None:
    defaults = server.defaults(Keys.make().stage_settings())

    assert (defaults["ttlSeconds"], defaults["ackTimeoutSeconds"]) == (86_400, 30)
    assert defaults["retry"] == {"maxAttempts": 270, "backoffBaseSeconds": 2, "backoffCapSeconds": 60}
