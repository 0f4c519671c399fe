"""Many posts at once: asyncio, connections that are kept from call to call, and signatures that cost little.

Nothing but the function that posts to many imports this: aiohttp takes longer to load than a single post does.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import botocore.session
from yarl import URL

from lambdas.adapters import aws
from lambdas.adapters.signing import Credentials, Signer, connection_path
from lambdas.core.errors import InvalidMessage, ServiceUnavailable
from lambdas.core.ports import Post, PostResult

POSTS_AT_ONCE = 100
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=3)
# A connection that was idle for longer is not used again: API Gateway may have closed it, and a function is frozen
# between two calls and does not see that. If it has all the same, the post fails, and the rules make it again.
_KEEP_ALIVE_SECONDS = 20
_UNWANTED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

_NOT_THERE = frozenset({HTTPStatus.GONE, HTTPStatus.BAD_REQUEST})

ReadCredentials = Callable[[], Credentials]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where the connections of one API are managed."""

    origin: str
    path: str
    signer: Signer


class AsyncPoster:
    """`lambdas.core.ports.Poster` on API Gateway. It has an event loop of its own, and is for one thread."""

    def __init__(self, credentials: ReadCredentials, *, region: str, posts_at_once: int = POSTS_AT_ONCE) -> None:
        self._read_credentials = credentials
        self._region = region
        self._posts_at_once = posts_at_once
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None
        self._credentials: Credentials | None = None
        self._endpoints: dict[str, _Endpoint] = {}

    def __enter__(self) -> Self:
        """Have it closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        if self._session:
            self._runner.run(self._session.close())
        self._runner.close()

    def post(self, posts: Sequence[Post]) -> list[PostResult]:
        """Post each frame to its connection, and answer what became of each, in their order.

        Raises:
            InvalidMessage: API Gateway finds a frame too large.
        """
        return self._runner.run(self._post_all(posts))

    async def _post_all(self, posts: Sequence[Post]) -> list[PostResult]:
        session = self._session = self._session or self._make_session()
        if (credentials := self._read_credentials()) != self._credentials:
            self._credentials = credentials
            self._endpoints.clear()
        results = [PostResult.FAILED] * len(posts)
        waiting = iter(enumerate(posts))

        async def work() -> None:
            # All workers take from one iterator: as many posts are under way as there are workers.
            for number, post in waiting:
                results[number] = await self._post(session, post, credentials)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._posts_at_once, len(posts))):
                    group.create_task(work())
        except* InvalidMessage as refusals:
            raise _first(refusals.exceptions) from None
        return results

    async def _post(self, session: aiohttp.ClientSession, post: Post, credentials: Credentials) -> PostResult:
        endpoint = self._endpoint(post.endpoint, credentials)
        path = connection_path(endpoint.path, post.connection_id)
        headers = endpoint.signer.headers(path, post.frame, datetime.now(UTC))
        url = URL(endpoint.origin + path, encoded=True)
        try:
            async with session.post(url, data=post.frame, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                if not answer.content.at_eof():
                    await answer.read()  # or the connection could not be used again
        except (aiohttp.ClientError, TimeoutError, OSError):
            return PostResult.FAILED
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise InvalidMessage(f"payload: API Gateway takes no frame of {len(post.frame)} bytes")
        return _result(status)

    def _endpoint(self, url: str, credentials: Credentials) -> _Endpoint:
        known = self._endpoints.get(url)
        if known is None:
            parts = urlsplit(url)
            signer = Signer(credentials, region=self._region, host=parts.netloc)
            known = self._endpoints[url] = _Endpoint(f"{parts.scheme}://{parts.netloc}", parts.path, signer)
        return known

    def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._posts_at_once, keepalive_timeout=_KEEP_ALIVE_SECONDS, ttl_dns_cache=60
            ),
            timeout=_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNWANTED_HEADERS,
            auto_decompress=False,
        )


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


def _result(status: int) -> PostResult:
    """What an answer means; as in `lambdas.adapters.management_api`."""
    if status == HTTPStatus.OK:
        return PostResult.POSTED
    if status in _NOT_THERE:
        return PostResult.GONE
    return PostResult.THROTTLED if status == HTTPStatus.TOO_MANY_REQUESTS else PostResult.FAILED


def _first(errors: Iterable[BaseException]) -> BaseException:
    return next(iter(errors))
