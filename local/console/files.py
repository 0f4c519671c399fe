"""What the browser loads: the page, its libraries out of node_modules, and the client module."""

import json
from pathlib import Path

from aiohttp import web

from local import settings

PAGE = Path(__file__).with_name("page")
INDEX = PAGE / "index.html"
CLIENT = settings.ROOT / "clients" / "js" / "ringback.js"
NODE_MODULES = settings.ROOT / "node_modules"
# The libraries the page uses, by the names it imports them by, and where each stands in node_modules.
MODULES = Path(__file__).with_name("modules.json")

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def routes() -> list[web.RouteDef]:
    """All of it."""
    return [
        web.get("/", _index),
        web.get("/page/{path:.+}", _page),
        web.get("/modules/{path:.+}", _module),
        web.get("/client/ringback.js", _client),
    ]


async def _index(_request: web.Request) -> web.StreamResponse:
    return _answer(INDEX)


async def _page(request: web.Request) -> web.StreamResponse:
    try:
        file = (PAGE / request.match_info["path"]).resolve()
    except ValueError:  # a NUL in it
        raise web.HTTPNotFound from None
    if PAGE not in file.parents:
        raise web.HTTPNotFound
    return _answer(file)


async def _module(request: web.Request) -> web.StreamResponse:
    path = request.match_info["path"]
    if path not in json.loads(MODULES.read_text()).values():
        raise web.HTTPNotFound
    return _answer(NODE_MODULES / path)


async def _client(_request: web.Request) -> web.StreamResponse:
    return _answer(CLIENT)


def _answer(file: Path) -> web.Response:
    content_type = _TYPES.get(file.suffix)
    if content_type is None or not file.is_file():
        raise web.HTTPNotFound
    charset = None if content_type.startswith(("image/png", "font/")) else "utf-8"
    return web.Response(body=file.read_bytes(), content_type=content_type, charset=charset)
