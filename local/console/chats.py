"""The page's calls of the chat API: a page may call nobody but its own server, which calls as one of its people."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from local.tokens import Keys
from ringback.errors import Unavailable

# What there is to call.
_ROUTES = (
    ("POST", "/chats"),
    ("GET", "/chats"),
    ("GET", "/chats/waiting"),
    ("GET", "/chats/{id}"),
    ("POST", "/chats/{id}/accept"),
    ("GET", "/chats/{id}/messages"),
    ("POST", "/chats/{id}/messages"),
    ("POST", "/chats/{id}/typing"),
    ("POST", "/chats/{id}/transfer"),
    ("POST", "/chats/{id}/end"),
    ("POST", "/chats/{id}/rating"),
    ("GET", "/chats/{id}/transcript"),
)
_PERSON = "/api/chat/{role:customer|agent}/{user}"
_ID = "{id:[0-9A-Za-z-]+}"
_QUERY = ("after", "limit", "format")
_PASSED_ON = ("Content-Type", "Content-Disposition", "Location", "Retry-After")
_TIMEOUT = aiohttp.ClientTimeout(total=60)


class Chats:
    """Hands them on, and their answers back, errors too."""

    def __init__(self, url: str, keys: Keys) -> None:
        self._url = url
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """`/api/chat/{role}/{user}`, and then as the chat API has it."""
        return [
            web.route(method, f"{_PERSON}{path.replace('{id}', _ID)}", self._handler(path)) for method, path in _ROUTES
        ]

    def _handler(self, path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return await self._hand_on(request, path)

        return handle

    async def _hand_on(self, request: web.Request, path: str) -> web.Response:
        told = request.match_info
        query = urlencode({name: request.query[name] for name in _QUERY if name in request.query})
        url = f"{self._url}{path.replace('{id}', told.get('id', ''))}?{query}"
        headers = {"Authorization": f"Bearer {self._keys.chat_token(told['user'], told['role'])}"}
        body = None
        if request.method == "POST":
            headers["Content-Type"] = "application/json"
            body = await request.read() or b"{}"
        try:
            # A connection each: they are few, and nothing has to be closed at the end.
            async with aiohttp.request(request.method, url, data=body, headers=headers, timeout=_TIMEOUT) as answer:
                passed_on = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=passed_on)
        except (aiohttp.ClientError, TimeoutError):
            raise Unavailable("the chat API does not answer; try again in a moment") from None
