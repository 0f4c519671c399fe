"""Many posts at once: channels that are kept from call to call, and signatures that cost little.

Nothing but the function that posts to many imports this.
"""

import asyncio
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

import botocore.session

from lambdas.adapters import aws, channels
from lambdas.adapters.channels import Channel, Channels
from lambdas.adapters.signing import Credentials, Signer
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.ports import Post, PostResult

POSTS_AT_ONCE = 100
# A handshake takes the processor longer than ten posts do. So channels are opened a few at a time, and no more of them
# once those that are there have taken the last post.
_HANDSHAKES_AT_ONCE = 8
_LOOKS = 8  # as often is looked whose answer is late, in the time that one may take

_NOT_THERE = frozenset({HTTPStatus.GONE, HTTPStatus.BAD_REQUEST})

ReadCredentials = Callable[[], Credentials]
MakeTls = Callable[[], ssl.SSLContext]


class AsyncPoster:
    """`lambdas.core.ports.Poster` on API Gateway. It has an event loop of its own, and is for one thread.

    A post goes over the wire once. If no answer comes it has failed, though it may have been taken: whether it is made
    again is for the rules to say. That a channel was closed while it was idle is found out before anything is written
    to it, and another one is taken.

    Args:
        credentials: asked at every call, because they end.
        region: where the API is.
        posts_at_once: and so many channels are open at most.
        tls: makes what the channels to ``https`` endpoints are secured with.
    """

    def __init__(
        self,
        credentials: ReadCredentials,
        *,
        region: str,
        posts_at_once: int = POSTS_AT_ONCE,
        tls: MakeTls = ssl.create_default_context,
    ) -> None:
        self._read_credentials = credentials
        self._region = region
        self._posts_at_once = posts_at_once
        self._tls = cache(tls)
        self._runner = asyncio.Runner()
        self._endpoints: dict[str, _Endpoint] = {}

    def __enter__(self) -> Self:
        """Have it closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the channels that were kept."""
        for endpoint in self._endpoints.values():
            endpoint.channels.close()
        self._runner.close()

    def post(self, posts: Sequence[Post]) -> list[PostResult]:
        """Post each frame to its connection, and answer what became of each, in their order.

        Raises:
            InvalidMessage: API Gateway finds a frame too large.
        """
        return self._runner.run(self._post_all(posts)) if posts else []

    async def _post_all(self, posts: Sequence[Post]) -> list[PostResult]:
        results = [PostResult.FAILED] * len(posts)
        credentials = self._read_credentials()
        numbers: dict[str, deque[int]] = defaultdict(deque)
        for number, post in enumerate(posts):
            numbers[post.endpoint].append(number)
        most = max(1, self._posts_at_once // len(numbers))
        for url, endpoint in self._endpoints.items():
            endpoint.channels.keep(most if url in numbers else 0)
        try:
            async with asyncio.TaskGroup() as group:
                works = [
                    _Work(self._endpoint(url, credentials), posts, waiting, results, most=most, group=group)
                    for url, waiting in numbers.items()
                ]
                try:
                    for work in works:
                        work.begin()
                    for work in works:
                        await work.ended
                finally:
                    for work in works:
                        work.end()
        except* InvalidMessage as refusals:
            raise _first(refusals.exceptions) from None
        return results

    def _endpoint(self, url: str, credentials: Credentials) -> "_Endpoint":
        known = self._endpoints.get(url)
        if known is None:
            parts = urlsplit(url)
            tls = self._tls() if parts.scheme == "https" else None
            to_host = Channels(parts.hostname or "", parts.port or (443 if tls else 80), tls)
            known = self._endpoints[url] = _Endpoint(parts.netloc, parts.path, to_host)
        known.sign_with(credentials, self._region)
        return known


class _Endpoint:
    """Where the connections of one API are managed."""

    def __init__(self, netloc: str, path: str, to_host: Channels) -> None:
        self.channels = to_host
        self._netloc, self._path = netloc, path
        self._credentials: Credentials | None = None

    def sign_with(self, credentials: Credentials, region: str) -> None:
        """Use these credentials from now on."""
        if credentials != self._credentials:
            self._credentials = credentials
            self.signer = Signer(credentials, region=region, host=self._netloc, path=self._path)


class _Work:
    """The posts of one call to one endpoint.

    There is no task for a post: a channel that was answered takes the next one that waits.

    Args:
        endpoint: where they go.
        posts: all posts of the call.
        waiting: the numbers of those to this endpoint.
        results: of all posts; those that never get under way stay as they are.
        most: so many channels may be open.
        group: what opens channels belongs to it.
    """

    def __init__(
        self,
        endpoint: _Endpoint,
        posts: Sequence[Post],
        waiting: deque[int],
        results: list[PostResult],
        *,
        most: int,
        group: asyncio.TaskGroup,
    ) -> None:
        self._channels = endpoint.channels
        self._request = endpoint.signer.request
        self._posts, self._waiting, self._results = posts, waiting, results
        self._most = most
        self._group = group
        self._under_way: dict[Channel, int] = {}
        self._openers: set[asyncio.Task[None]] = set()
        self._is_in_vain = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """When there are no posts left, or none that can be made. Raises `InvalidMessage` for one that is too large."""

    def begin(self) -> None:
        """Get the posts under way."""
        self._watch()
        for channel in self._channels.take(min(self._most, len(self._waiting))):
            self._next(channel)
        self._open_more()

    def end(self) -> None:
        """Give up what is still under way; nothing, when `ended` is."""
        if self._timer:
            self._timer.cancel()
        self._waiting.clear()
        self._stop_opening()
        for channel in tuple(self._under_way):
            channel.abort()

    def _next(self, channel: Channel) -> None:
        """Have a free channel carry the next post, or keep it for the next call."""
        if not self._waiting:
            self._channels.idle.append(channel)
            return
        number = self._waiting.popleft()
        if not self._waiting:
            self._stop_opening()
        post = self._posts[number]
        self._under_way[channel] = number
        channel.post(self._request(post.connection_id, post.frame, int(time.time())), self._answered)

    def _answered(self, channel: Channel, status: int | None) -> None:
        number = self._under_way.pop(channel)
        try:
            self._results[number] = _result(status, self._posts[number])
            if channel.is_free:
                self._next(channel)
            else:
                self._open_more()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            if not self.ended.done():
                self.ended.set_exception(error)
        self._end_if_done()

    def _open_more(self) -> None:
        """Open channels, a few at a time, if there are posts for them."""
        room = self._most - len(self._channels.opened)
        while len(self._openers) < min(_HANDSHAKES_AT_ONCE, len(self._waiting), room):
            opener = self._group.create_task(self._open())
            self._openers.add(opener)
            opener.add_done_callback(self._opener_ended)

    async def _open(self) -> None:
        while self._waiting and not self._is_in_vain:
            if len(self._channels.opened) + len(self._openers) > self._most:
                return
            channel = await self._channels.connect()
            # Over those that are open the posts go on. If there is none, who comes next would wait for nothing as long.
            self._is_in_vain = not self._channels.opened
            if channel is None:
                return
            self._next(channel)

    def _opener_ended(self, opener: asyncio.Task[None]) -> None:
        self._openers.discard(opener)
        self._end_if_done()

    def _stop_opening(self) -> None:
        for opener in self._openers:
            opener.cancel()

    def _end_if_done(self) -> None:
        if not self._under_way and not (self._waiting and self._openers) and not self.ended.done():
            self.ended.set_result(None)

    def _watch(self) -> None:
        """Look now and then whose answer is late: a timer for each post would take longer than its signature."""
        self._channels.give_up_late()
        self._timer = self._loop.call_later(channels.ANSWER_SECONDS / _LOOKS, self._watch)


@cache
def shared() -> AsyncPoster:
    """The poster of this function, kept from call to call."""
    session = aws.session()
    return AsyncPoster(lambda: _credentials(session), region=session.get_config_variable("region") or "")


def _credentials(session: botocore.session.Session) -> Credentials:
    """The credentials as they are now: botocore renews those that end."""
    found = session.get_credentials()
    if found is None:
        raise ServiceUnavailable("there are no AWS credentials to sign with")
    frozen = found.get_frozen_credentials()
    return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)


def _result(status: int | None, post: Post) -> PostResult:
    """What an answer means; as in `lambdas.adapters.management_api`."""
    if status == HTTPStatus.OK:
        return PostResult.POSTED
    if status in _NOT_THERE:
        return PostResult.GONE
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise InvalidMessage(f"payload: API Gateway takes no frame of {len(post.frame)} bytes")
    return PostResult.THROTTLED if status == HTTPStatus.TOO_MANY_REQUESTS else PostResult.FAILED


def _first(errors: Iterable[BaseException]) -> BaseException:
    return next(iter(errors))
