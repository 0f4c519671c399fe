"""The console on the deployed stack: what its page can ask for, what it can do, and what it is told meanwhile."""

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from local import console
from local.demo.stage import Stage, envelope
from ringback.status import read_status

T = TypeVar("T")


class Page:
    """What the console's page does, without a browser: it follows the feed, and asks."""

    def __init__(self, url: str, socket: ClientConnection) -> None:
        self._url = url
        self._socket = socket
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self.runs: dict[str, dict[str, Any]] = {}
        self.connections: list[dict[str, Any]] = []
        self.dead_letters: list[dict[str, Any]] = []
        self.frames: list[float] = []
        self._take(json.loads(self._socket.recv(timeout=30)))
        self._reader.start()

    @classmethod
    @contextmanager
    def open(cls, url: str) -> "Iterator[Page]":
        """A page that looks at this console."""
        feed = url.replace("http", "ws", 1) + "/api/feed"
        with connect(feed, proxy=None, max_size=None, legacy=False) as socket:
            page = cls(url, socket)
            yield page
        page._reader.join()

    def until(self, look: Callable[[], T], *, seconds: float = 60) -> T:
        """What there is to see, once there is something."""
        with self._changed:
            assert self._changed.wait_for(look, seconds), "it was not seen in time"
            return look()

    def run(self, message_id: str) -> dict[str, Any] | None:
        return next((run for run in reversed(self.runs.values()) if run["id"] == message_id), None)

    def until_run(self, message_id: str, status: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            run = self.run(message_id)
            return run if run and run["status"] == status else None

        run = self.until(look)
        assert run is not None
        return run

    def letter(self, message_id: str) -> dict[str, Any] | None:
        return next((letter for letter in self.dead_letters if letter["id"] == message_id), None)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=60)
        try:
            headers = {} if method == "GET" else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def do(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def send(self, way: str, message: Any) -> Any:
        answer = self.do("POST", "/api/messages", {"way": way, "message": message})
        assert answer["way"] == way
        return answer["answer"]

    def _read(self) -> None:
        try:
            for text in self._socket:
                self._take(json.loads(text))
        except ConnectionClosed:
            pass

    def _take(self, frame: Any) -> None:
        with self._changed:
            self.frames.append(time.monotonic())
            for run in frame.get("runs", []):
                self.runs.pop(run["arn"], None)
                self.runs[run["arn"]] = run
            self.connections = frame.get("connections", self.connections)
            self.dead_letters = frame.get("deadLetters", self.dead_letters)
            self._changed.notify_all()


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[Page]:
    with console.running(stage) as there, Page.open(there.url) as page:
        yield page


@pytest.mark.parametrize(
    ("way", "status"),
    [("accept", "started"), ("topic", "published"), ("bus", "published"), ("http", "started"), ("run", "started")],
)
def test_every_way_in_leads_to_a_run_that_is_seen_waiting(
    page: Page, stage: Stage, user: str, way: str, status: str
) -> None:
    message = envelope(user, {"text": f"by {way}"}, track=True)

    answer = page.send(way, message)
    run = page.until_run(message["id"], "waiting")

    assert (answer["id"], answer["status"]) == (message["id"], status)
    assert (run["user"], run["context"], run["contextId"], run["waitingFor"]) == (user, "chat", "42", "reconnect")
    if status == "started":
        assert answer["executionArn"] == run["arn"]
    page.do("DELETE", f"/api/messages/{quote(message['id'], safe='')}")


def test_a_text_on_the_topic_arrives_as_it_was_written(page: Page, stage: Stage, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        page.send("topic", {"recipient": {"user": user, "context": "chat", "contextId": "42"}, "payload": "42"})
        client.await_frames(lambda: bool(client.all_messages()), "the text")
    (message,) = client.all_messages()

    assert message.body["payload"] == "42"


def test_a_fan_out_and_a_direct_post(page: Page, stage: Stage, user: str) -> None:
    client = stage.client(user)
    with stage.connected(client):
        (connection,) = page.until(lambda: [one for one in page.connections if one["user"] == user])
        direct = page.send("postOnce", {"recipient": {"connectionId": connection["connectionId"]}, "payload": "direct"})
        given = {
            "message": {"type": "news", "payload": "to all"},
            "audience": {"users": [user], "context": "chat", "contextId": "42"},
        }
        fan_out = page.send("fanOut", given)
        client.await_frames(lambda: len(client.all_messages()) == 2, "both")
        run = page.until_run(fan_out["id"], "succeeded")

    assert direct["status"] == "delivered"
    assert {message.body["payload"] for message in client.all_messages()} == {"direct", "to all"}
    assert (run["machine"], run["arn"], run["type"]) == ("fanOut", fan_out["executionArn"], "news")


@pytest.mark.parametrize("way", ["accept", "topic", "bus", "http", "run", "fanOut", "postOnce"])
def test_what_is_no_message_is_told_what_is_wrong(page: Page, way: str) -> None:
    status, answer = page.ask("POST", "/api/messages", {"way": way, "message": {"payload": 1, "nonsense": True}})

    assert status in {400, 422}
    assert "nonsense" in answer["error"]


def test_a_waiting_message_is_shown_as_the_package_reads_it(page: Page, stage: Stage, user: str) -> None:
    installation = stage.installation.sdk
    retry = {"backoffBaseSeconds": 600, "backoffCapSeconds": 600}
    message = envelope(user, "later", track=True, retry=retry)
    page.send("accept", message)

    shown = page.until(lambda: run if (run := page.run(message["id"])) and "nextAttemptAt" in run else None)
    assert shown is not None
    client, machine = installation.clients.stepfunctions, installation.delivery_state_machine_arn
    read = read_status(client, machine, message["id"]).to_json()

    same = {"attempts", "waitingFor", "waitingSince", "nextAttemptAt"}
    assert {name: shown[name] for name in same} == {name: read[name] for name in same}
    assert shown["status"] == read["state"]
    detail = page.do("GET", f"/api/runs/{quote(shown['arn'], safe='')}")
    assert detail["run"] == shown
    assert detail["input"] == message
    assert [event["id"] for event in detail["events"]] == list(range(1, shown["events"] + 1))
    assert detail["events"][0]["timestamp"] == shown["startedAt"]
    assert detail["events"][0]["executionStartedEventDetails"]["input"] == json.dumps(
        message, ensure_ascii=False, separators=(",", ":")
    )


def test_ordered_messages_are_shown_with_their_numbers(page: Page, user: str) -> None:
    messages = [envelope(user, number, ordered=True) for number in range(2)]
    for message in messages:
        page.send("accept", message)
        page.until_run(message["id"], "waiting")

    def numbers() -> list[Any]:
        return [(page.run(message["id"]) or {}).get("sequence") for message in messages]

    page.until(lambda: numbers() == [1, 2])
    run = page.run(messages[1]["id"])
    assert run is not None
    assert page.do("GET", f"/api/runs/{quote(run['arn'], safe='')}")["run"]["sequence"] == 2


def test_a_cancelled_message_is_seen_cancelled(page: Page, user: str) -> None:
    message = envelope(user, "never", track=True)
    page.send("accept", message)
    page.until_run(message["id"], "waiting")

    status = page.do("DELETE", f"/api/messages/{quote(message['id'], safe='')}")

    assert status["state"] == "cancelled"
    assert page.until_run(message["id"], "cancelled")["reason"] == "Cancelled"
    assert page.ask("DELETE", "/api/messages/nobody-has-this")[0] == 404


def test_a_dead_letter_comes_is_redriven_and_is_purged(page: Page, user: str) -> None:
    message = envelope(user, "in vain", track=True, retry={"maxAttempts": 1})
    page.send("accept", message)

    def letter() -> dict[str, Any]:
        found = page.until(lambda: page.letter(message["id"]))
        assert found is not None
        return found

    first = letter()
    dead = page.until_run(message["id"], "dead_lettered")
    assert (first["queue"], first["reason"], first["attempts"]) == ("delivery", "AttemptsExhausted", 1)
    assert (first["user"], first["executionArn"], first["message"]) == (user, dead["arn"], message)

    named = {"queue": "delivery", "ids": [first["letterId"]]}
    (result,) = page.do("POST", "/api/dead-letters/redrive", named)["results"]
    assert (result["letterId"], result["outcome"]) == (first["letterId"], "redriven")
    page.until(lambda: (again := page.letter(message["id"])) and again["letterId"] != first["letterId"])
    second = letter()
    assert second["executionArn"] == result["executionArn"]

    assert page.do("POST", "/api/dead-letters/purge", {"queue": "delivery", "ids": [second["letterId"]]}) == {
        "purged": 1
    }
    page.until(lambda: page.letter(message["id"]) is None)
    (gone,) = page.do("POST", "/api/dead-letters/redrive", named)["results"]
    assert gone["outcome"] == "notFound"
    assert page.ask("POST", "/api/dead-letters/purge", named)[0] == 404


def test_what_is_no_message_on_the_topic_is_seen_and_purged(page: Page, stage: Stage) -> None:
    body = f"no envelope {uuid.uuid4()}"
    stage.installation.clients.sns.publish(TopicArn=stage.installation.message_topic_arn, Message=body)

    (letter,) = page.until(lambda: [one for one in page.dead_letters if one["message"] == body])

    assert (letter["queue"], letter["reason"]) == ("ingest", "InvalidMessage")
    assert page.do("GET", f"/api/dead-letters/ingest/{letter['letterId']}") == {"message": body}
    assert page.do("POST", "/api/dead-letters/purge", {"queue": "ingest", "ids": [letter["letterId"]]})["purged"] == 1


def test_a_connection_is_seen_and_closed(page: Page, stage: Stage, user: str) -> None:
    token = page.do("POST", "/api/tokens", {"user": user, "plan": "gold"})["token"]
    client = stage.client(user, token=token)
    with stage.connected(client):
        (seen,) = page.until(lambda: [one for one in page.connections if one["user"] == user])
        assert (seen["context"], seen["contextId"], seen["attributes"]) == ("chat", "42", {"plan": "gold"})

        assert page.do("POST", "/api/connections/close", seen) == {"closed": True}

        page.until(lambda: not any(one["user"] == user for one in page.connections))
    assert page.ask("POST", "/api/connections/close", seen)[0] == 404


def test_a_link_carries_a_client_until_it_is_cut(page: Page, stage: Stage, user: str) -> None:
    link = page.do("POST", "/api/links", {})
    url = f"{link['url']}?context=chat&contextId=42"
    headers = {"Authorization": f"Bearer {stage.keys.token(user)}"}
    with connect(url, additional_headers=headers, proxy=None, legacy=False) as socket:
        page.until(lambda: any(one["user"] == user for one in page.connections))
        page.do("POST", f"/api/links/{link['id']}", {"fault": "cut"})
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    page.do("POST", f"/api/links/{link['id']}", {"fault": "down"})
    with pytest.raises((OSError, WebSocketException)), connect(url, proxy=None, legacy=False):
        pass
    page.do("DELETE", f"/api/links/{link['id']}")
    assert page.ask("POST", f"/api/links/{link['id']}", {"fault": "none"})[0] == 404


def test_it_keeps_up_with_a_thousand_runs(page: Page, stage: Stage, user: str) -> None:
    retry = {"backoffBaseSeconds": 3600, "backoffCapSeconds": 3600}
    messages = [envelope(user, number, retry=retry) for number in range(1_000)]
    with page._changed:
        page.frames.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        arns = set(pool.map(lambda message: stage.runs.start(message, name=message["id"]), messages))
    started = time.monotonic()

    page.until(lambda: arns <= page.runs.keys(), seconds=30)

    late = time.monotonic() - started
    page.until(lambda: all(page.runs[arn]["status"] == "waiting" for arn in arns), seconds=240)
    print(f"starts {started - began:.1f} s, feed complete {late:.2f} s later, waiting {time.monotonic() - started:.1f}")
    assert late < 2
    gaps = [later - earlier for earlier, later in zip(page.frames, page.frames[1:], strict=False)]
    assert sum(gap < 0.15 for gap in gaps) < len(gaps) / 10  # at most five a second, as far as clocks tell
