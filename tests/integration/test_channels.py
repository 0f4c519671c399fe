"""What can go wrong between a post and its answer, on real sockets."""

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.fan_out.certificates import Authority
from lambdas.adapters import channels
from lambdas.adapters.poster import AsyncPoster
from lambdas.adapters.signing import Credentials
from lambdas.core.ports import Post, PostResult
from tests.integration.raw import OK, RawServer, Wire

POSTED, GONE, THROTTLED, FAILED = PostResult.POSTED, PostResult.GONE, PostResult.THROTTLED, PostResult.FAILED
HEAD = b"HTTP/1.1 200 OK\r\n"
GONE_ANSWER = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
FRAME = b'{"payload":1}'


def make_poster(*, posts_at_once: int = 1, tls: Callable[[], ssl.SSLContext] | None = None) -> AsyncPoster:
    return AsyncPoster(
        lambda: Credentials("AKID", "s3cr3t"),
        region="eu-central-1",
        posts_at_once=posts_at_once,
        tls=tls or ssl.create_default_context,
    )


@pytest.fixture
def posting() -> Iterator[AsyncPoster]:
    with make_poster() as made:
        yield made


def to(server: RawServer, count: int, frame: bytes = FRAME) -> list[Post]:
    return [Post(server.url, f"c{number}", frame) for number in range(count)]


def serve(wire: Wire) -> None:
    while wire.request():
        wire.send(OK)


def always(answer: bytes, *, piece: int | None = None, then_close: bool = False) -> Callable[[Wire], None]:
    """Answer so to every request, or only to the first one of a connection and close it."""

    def serve(wire: Wire) -> None:
        while wire.request():
            wire.send(answer, piece=piece)
            if then_close:
                return

    return serve


@pytest.mark.parametrize("piece", [None, 1, 7])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK, id="no body"),
        pytest.param(HEAD + b"Content-Length: 2\r\n\r\n{}", id="length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", id="chunked"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n", id="trailers"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="never a body"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="continue first"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, id="hints first"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", id="1.0, kept"),
    ],
)
def test_whole_answers_leave_the_channel_open(posting: AsyncPoster, answer: bytes, piece: int | None) -> None:
    with RawServer(always(answer, piece=piece)).running() as server:
        results = posting.post(to(server, 3)) + posting.post(to(server, 1))

    assert results == [FAILED if b" 204 " in answer else POSTED] * 4
    assert (len(server.requests), server.accepted) == (4, 1)


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", POSTED, id="will be closed"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", POSTED, id="1.0"),
        pytest.param(HEAD + b"\r\n{}", POSTED, id="a body that ends with the connection"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\n{}", POSTED, id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot a chunk", POSTED, id="no chunk"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x16", FAILED, id="garbage"),
        pytest.param(b"HTTP/1.1 2xx OK\r\n\r\n", FAILED, id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX", FAILED, id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", FAILED, id="no length"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", FAILED, id="continue, and nothing"),
        pytest.param(
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", FAILED, id="something else"
        ),
        pytest.param(b"", FAILED, id="nothing"),
    ],
)
def test_other_answers_close_the_channel(
    posting: AsyncPoster, answer: bytes, result: PostResult, piece: int | None
) -> None:
    """And no post is made twice, whatever the answer."""
    with RawServer(always(answer, piece=piece, then_close=True)).running() as server:
        assert posting.post(to(server, 3)) == [result] * 3

    assert (len(server.requests), server.accepted) == (3, 3)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(OK + b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", POSTED, id="a second answer"),
        pytest.param(GONE_ANSWER + OK, GONE, id="another second answer"),
        pytest.param(OK + b"\x16\x03\x01garbage", POSTED, id="garbage"),
    ],
)
def test_what_stands_behind_an_answer_is_none_to_the_next_post(
    posting: AsyncPoster, answer: bytes, result: PostResult
) -> None:
    """As far as it comes with it: what comes later, nobody can tell from the next answer."""
    with RawServer(always(answer)).running() as server:
        assert posting.post(to(server, 3)) == [result] * 3

    assert (len(server.requests), server.accepted) == (3, 3)


def test_a_post_that_may_have_been_taken_is_not_repeated(posting: AsyncPoster) -> None:
    """The channel is an old one, the post was received, no answer came: that is a failure."""

    def serve(wire: Wire) -> None:
        if wire.request():
            wire.send(OK)
        wire.request()

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 1)) == [POSTED]
        assert posting.post(to(server, 1)) == [FAILED]
        assert (len(server.requests), server.accepted) == (2, 1)
        assert posting.post(to(server, 1)) == [POSTED]


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", b"garbage"])
@pytest.mark.parametrize("half", [True, False])
def test_a_channel_that_was_closed_while_idle_takes_no_post(
    posting: AsyncPoster, last_words: bytes, *, half: bool
) -> None:
    close, closed = Event(), Event()

    def serve(wire: Wire) -> None:
        wire.request()
        wire.send(OK)
        if wire.number == 0:
            close.wait(10)
            wire.send(last_words)
            if half:
                wire.half_close()
                closed.set()
                wire.wait_for_the_end()

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 1)) == [POSTED]
        close.set()
        assert closed.wait(10) if half else server.closed.acquire(timeout=10)

        assert posting.post(to(server, 1)) == [POSTED]
        assert (len(server.requests), server.accepted) == (2, 2)


class WallClock:
    """What Lambda's clock says, which goes on while a function is frozen; the loop's may stand still."""

    def __init__(self) -> None:
        self.seconds = 1_900_000_000.0

    def time(self) -> float:
        return self.seconds


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(channels, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.mark.parametrize(("seconds", "accepted"), [(-1, 1), (0, 2), (3600, 2)])
def test_a_channel_that_was_idle_for_long_is_not_used(
    posting: AsyncPoster, wall_clock: WallClock, seconds: float, accepted: int
) -> None:
    """Frozen or not."""
    with RawServer(serve).running() as server:
        assert posting.post(to(server, 2)) == [POSTED] * 2
        wall_clock.seconds += channels.KEEP_ALIVE_SECONDS + seconds
        assert posting.post(to(server, 1)) == [POSTED]
        assert server.accepted == accepted


def test_addresses_are_asked_for_again_when_they_are_old(
    posting: AsyncPoster, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    resolve = socket.getaddrinfo

    def counted(*given: Any, **more: Any) -> Any:
        asked.append(given[0])
        return resolve(*given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    with RawServer(always(OK, then_close=True)).running() as server:
        for passed, times in ((0, 1), (channels.ADDRESSES_SECONDS, 1), (1, 2)):
            wall_clock.seconds += passed
            assert posting.post(to(server, 1)) == [POSTED]
            assert server.closed.acquire(timeout=10)
            assert len(asked) == times


@pytest.mark.parametrize("so_far", [b"", HEAD, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_late_answer_is_none(posting: AsyncPoster, monkeypatch: pytest.MonkeyPatch, so_far: bytes) -> None:
    """And it is not taken for that to the next post."""
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.1)

    def serve(wire: Wire) -> None:
        while wire.request():
            if wire.number == 0:
                wire.send(so_far)
                wire.wait_for_the_end()
            else:
                wire.send(GONE_ANSWER)

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 2)) == [FAILED, GONE]
        assert server.accepted == 2


def test_a_late_answer_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.3)

    def serve(wire: Wire) -> None:
        while wire.request():
            if b"/c0 " in server.requests[-1] or wire.number == 0:
                wire.wait_for_the_end()
            else:
                wire.send(OK)

    with RawServer(serve).running() as server, make_poster(posts_at_once=2) as posting:
        results = posting.post(to(server, 50))

    assert results.count(FAILED) <= 2
    assert results.count(POSTED) >= 48


def test_a_body_without_an_end_ends(posting: AsyncPoster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.2)

    def serve(wire: Wire) -> None:
        wire.request()
        wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            wire.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 1)) == [POSTED], "the status has come"


def test_a_head_without_an_end_ends(posting: AsyncPoster) -> None:
    def serve(wire: Wire) -> None:
        wire.request()
        wire.send(HEAD)
        while True:
            wire.send(b"X-More: " + b"x" * 4096 + b"\r\n")

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 1)) == [FAILED]


def test_large_bodies_go_both_ways(posting: AsyncPoster) -> None:
    size = 4 * 1024 * 1024
    answer = HEAD + f"Content-Length: {size}\r\n\r\n".encode() + b"x" * size
    frame = b"y" * size

    with RawServer(always(answer)).running() as server:
        assert posting.post(to(server, 2, frame)) == [POSTED, POSTED]

    assert server.accepted == 1
    assert all(request.endswith(b"\r\n\r\n" + frame) for request in server.requests)


def test_an_answer_before_the_post_was_all_sent_ends_the_channel(posting: AsyncPoster) -> None:
    """The rest of the first post would be read as the second one."""

    def serve(wire: Wire) -> None:
        wire.first_bytes()
        wire.send(b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n")
        wire.wait_for_the_end()

    with RawServer(serve).running() as server:
        assert posting.post(to(server, 2, b"y" * 64 * 1024 * 1024)) == [THROTTLED, THROTTLED]
        assert server.accepted == 2


def test_no_more_channels_are_open_than_posts_may_be_made() -> None:
    with (
        RawServer(serve).running() as one,
        RawServer(serve).running() as other,
        make_poster(posts_at_once=4) as posting,
    ):
        assert posting.post(to(one, 60)) == [POSTED] * 60
        assert one.most_open <= 4
        assert posting.post([*to(one, 30), *to(other, 30)]) == [POSTED] * 60
        assert other.most_open <= 2
        assert posting.post(to(other, 60)) == [POSTED] * 60
        opened = sum(len(endpoint.channels.opened) for endpoint in posting._endpoints.values())
        assert 1 <= opened <= 4


def test_who_does_not_shake_hands_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "CONNECT_SECONDS", 0.1)
    silent = RawServer(Wire.wait_for_the_end)
    with silent.running(), make_poster(posts_at_once=50) as posting:
        posts = [post._replace(endpoint=f"https://127.0.0.1:{silent.port}/prod") for post in to(silent, 200)]
        assert posting.post(posts) == [FAILED] * 200
        assert 1 <= silent.accepted <= 8


def test_a_name_that_is_none_is_a_failure(posting: AsyncPoster) -> None:
    assert posting.post([Post("http://nowhere.invalid/prod", "a", FRAME)]) == [FAILED]


def test_what_cannot_be_signed_ends_the_call(posting: AsyncPoster) -> None:
    with RawServer(serve).running() as server:
        good, bad = Post(server.url, "a", FRAME), Post(server.url, "\ud800", FRAME)
        for posts in ([bad], [good, bad, good]):
            with pytest.raises(ExceptionGroup) as caught:
                posting.post(posts)
            assert caught.group_contains(UnicodeEncodeError)
        assert posting.post([good]) == [POSTED]


class Tls:
    """An authority, and a server of it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.names: list[str | None] = []

    def server(self, name: str = "localhost", serve: Callable[[Wire], object] = serve, days: int = 1) -> RawServer:
        context = self.authority.server(name, valid_for=timedelta(days=days)).context()
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        return RawServer(serve, tls=context)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path)


@pytest.mark.parametrize("piece", [None, 1])
def test_posts_are_secured(tls: Tls, piece: int | None) -> None:
    answer = HEAD + b"Content-Length: 2\r\n\r\n{}"
    with (
        tls.server(serve=always(answer, piece=piece)).running() as server,
        make_poster(posts_at_once=3, tls=tls.authority.client) as posting,
    ):
        for _ in range(3):
            assert posting.post(to(server, 40, b"x" * 100_000)) == [POSTED] * 40
        assert server.accepted <= 3 * 3  # a handshake that is not needed any more is broken off

    assert set(tls.names) == {"localhost"}
    assert len(server.requests) == 120


@pytest.mark.parametrize("half", [True, False])
def test_a_secured_channel_that_was_closed_while_idle_takes_no_post(tls: Tls, *, half: bool) -> None:
    close, closed = Event(), Event()

    def serve(wire: Wire) -> None:
        wire.request()
        wire.send(OK)
        if wire.number == 0:
            close.wait(10)
            if half:
                wire.half_close()
                closed.set()
                wire.wait_for_the_end()

    with tls.server(serve=serve).running() as server, make_poster(tls=tls.authority.client) as posting:
        assert posting.post(to(server, 1)) == [POSTED]
        close.set()
        assert closed.wait(10) if half else server.closed.acquire(timeout=10)

        assert posting.post(to(server, 1)) == [POSTED]
        assert (len(server.requests), server.accepted) == (2, 2)


def test_nothing_is_posted_to_who_is_not_known(tls: Tls) -> None:
    with tls.server().running() as server, make_poster() as posting:
        assert posting.post(to(server, 3)) == [FAILED] * 3

    assert server.requests == []


@pytest.mark.parametrize(("name", "days"), [("elsewhere.example", 1), ("localhost", -1)])
def test_nothing_is_posted_to_who_is_somebody_else_or_was_once(tls: Tls, name: str, days: int) -> None:
    with tls.server(name, days=days).running() as server, make_poster(tls=tls.authority.client) as posting:
        assert posting.post(to(server, 3)) == [FAILED] * 3

    assert server.requests == []
    assert server.accepted >= 1


def test_the_functions_trust_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch, tls: Tls) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority.certificate))
    with tls.server().running() as server, make_poster() as posting:
        assert posting.post(to(server, 3)) == [POSTED] * 3
