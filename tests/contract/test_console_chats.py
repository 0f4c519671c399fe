"""How the console hands the page's calls on to the chat API, which is played by the test."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest

from local import console, stack
from local.tokens import Keys
from tests.contract.test_console import Caller
from tests.unit.test_local_installation import OUTPUTS

CHAT = "0b8c0f6e-3f2a-4a57-9d0b-6a1f0d6f3a11"


@dataclass
class Api:
    """Answers everything the same way, and keeps what it was asked."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def will_answer(self, status: int, body: bytes, **headers: str) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}
        self.asked.clear()

    @property
    def claims(self) -> dict[str, object]:
        """What the token says with which it was asked last."""
        scheme, _, token = self.asked[-1][2]["authorization"].partition(" ")
        assert scheme == "Bearer"
        return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture(scope="module")
def serving() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): text for name, text in self.headers.items()}
            api.asked.append((self.command, self.path, headers, body))
            self.send_response(api.status)
            for name, text in api.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(api.body)))
            self.end_headers()
            self.wfile.write(api.body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def answering(chat_api_url: str) -> Iterator[Caller]:
    outputs = {**OUTPUTS, "ChatsTableName": "Chats", "ChatSessionStateMachineArn": "Chat", "ChatApiUrl": chat_api_url}

    @dataclass(frozen=True)
    class Deployed:
        installation = stack.read_outputs(outputs, endpoint="http://127.0.0.1:9", directory=Path())
        keys = Keys.make()

    with console.running(Deployed()) as running:
        yield Caller(running.url)


@pytest.fixture(scope="module")
def caller(serving: Api) -> Iterator[Caller]:
    yield from answering(serving.url)


@pytest.fixture
def api(serving: Api) -> Api:
    serving.will_answer(200, b"{}")
    return serving


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chats"),
        ("GET", "/chats"),
        ("GET", "/chats/waiting"),
        ("GET", f"/chats/{CHAT}"),
        ("POST", f"/chats/{CHAT}/accept"),
        ("GET", f"/chats/{CHAT}/messages?after=3&limit=7"),
        ("POST", f"/chats/{CHAT}/messages"),
        ("POST", f"/chats/{CHAT}/typing"),
        ("POST", f"/chats/{CHAT}/transfer"),
        ("POST", f"/chats/{CHAT}/end"),
        ("POST", f"/chats/{CHAT}/rating"),
        ("GET", f"/chats/{CHAT}/transcript?format=text"),
    ],
)
def test_every_route_is_called_as_one_of_its_people(caller: Caller, api: Api, method: str, path: str) -> None:
    answer = caller.ask(method, f"/api/chat/agent/bo{path}", {"text": "hello"} if method == "POST" else None)

    assert answer.status == 200
    ((asked, where, _, body),) = api.asked
    assert (asked, where.rstrip("?")) == (method, path)
    assert body == (b'{"text": "hello"}' if method == "POST" else b"")
    assert (api.claims["sub"], api.claims["role"]) == ("bo", "agent")


def test_a_customer_is_none_of_the_agents(caller: Caller, api: Api) -> None:
    caller.ask("POST", "/api/chat/customer/ana%20b/chats", {})

    assert (api.claims["sub"], api.claims["role"]) == ("ana b", "customer")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "agent/bo/messages"),
        ("POST", f"agent/bo/chats/{CHAT}/anything"),
        ("POST", "agent/bo/chats/../messages/end"),
        ("POST", "agent/bo/chats/..%2Fmessages/end"),
        ("POST", "admin/bo/chats"),
        ("DELETE", f"agent/bo/chats/{CHAT}"),
        ("POST", "agent/bo/chats/waiting"),
    ],
)
def test_nothing_else_is_handed_on(caller: Caller, api: Api, method: str, path: str) -> None:
    assert caller.ask(method, f"/api/chat/{path}", {}).status in {404, 405}
    assert api.asked == []


def test_only_what_a_route_knows_is_asked(caller: Caller, api: Api) -> None:
    caller.ask("GET", f"/api/chat/agent/bo/chats/{CHAT}/messages?after=1&token=secret&after=2")

    assert api.asked[0][1] == f"/chats/{CHAT}/messages?after=1"


def test_a_problem_comes_back_as_it_is(caller: Caller, api: Api) -> None:
    problem = b'{"type": "urn:ringback:problem:chat:already-accepted", "status": 409}'
    api.will_answer(409, problem, Content_Type="application/problem+json", Retry_After="1", Set_Cookie="a=b")

    answer = caller.ask("POST", f"/api/chat/agent/bo/chats/{CHAT}/accept", {})

    assert (answer.status, answer.body) == (409, problem)
    assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/problem+json", "1")
    assert "set-cookie" not in answer.headers


def test_a_transcript_is_no_page_of_the_console(caller: Caller, api: Api) -> None:
    api.will_answer(200, "ana: héllo".encode(), Content_Type="text/plain; charset=utf-8")

    answer = caller.ask("GET", f"/api/chat/customer/ana/chats/{CHAT}/transcript?format=text")

    assert answer.body.decode() == "ana: héllo"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_another_page_talks_to_nobody(caller: Caller, api: Api) -> None:
    answer = caller.ask("POST", "/api/chat/customer/ana/chats", {}, Origin="http://evil.example")

    assert (answer.status, api.asked) == (403, [])


def test_an_api_that_is_not_there_is_said_to_be_so() -> None:
    with socket.socket() as nobody:  # bound, and not listening: whoever connects is refused
        nobody.bind(("127.0.0.1", 0))
        with contextlib.contextmanager(answering)(f"http://127.0.0.1:{nobody.getsockname()[1]}") as caller:
            answer = caller.ask("GET", "/api/chat/agent/bo/chats/waiting")

    assert (answer.status, answer.json["error"]) == (503, "the chat API does not answer; try again in a moment")


@pytest.mark.parametrize("contexts", ["desk/chat", [1], {}])
def test_what_a_token_opens_is_a_list(caller: Caller, contexts: object) -> None:
    answer = caller.ask("POST", "/api/tokens", {"user": "bo", "contexts": contexts})

    assert (answer.status, "contexts" in answer.json["error"]) == (400, True)


def test_a_token_opens_no_more_than_was_asked_for(caller: Caller) -> None:
    token = caller.ask("POST", "/api/tokens", {"user": "bo", "contexts": ["desk/chat"]}).json["token"]

    assert jwt.decode(token, options={"verify_signature": False})["contexts"] == ["desk/chat"]
