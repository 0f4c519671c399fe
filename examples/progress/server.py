"""The application's own server on this machine: the page, a token for it, and jobs that it starts."""

import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from aiohttp import web

from examples.progress import job
from local import settings
from local.console import guards
from local.tokens import Keys
from ringback import Publisher

USER = "ana"  # here everybody is; elsewhere a session says who it is
STEPS = 20

_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": (_PAGE / "index.html", "text/html"),
    "/page.js": (_PAGE / "page.js", "text/javascript"),
    "/style.css": (_PAGE / "style.css", "text/css"),
    "/ringback.js": (settings.ROOT / "clients" / "js" / "ringback.js", "text/javascript"),
}


def make_application(
    publisher: Publisher,
    keys: Keys,
    *,
    websocket_url: str,
    port: int,
    work: Callable[[int], Iterable[object]] = job.slowly,
) -> web.Application:
    """The server, to be run on this port: jobs tell by this publisher, pages listen at this URL."""

    at_work: set[str] = set()

    async def file(request: web.Request) -> web.Response:
        path, content_type = _FILES[request.path]
        return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8")

    async def make_session(_request: web.Request) -> web.Response:
        token = keys.token(USER, contexts=[job.CONTEXT])
        return web.json_response({"url": websocket_url, "token": token, "jobs": sorted(at_work)})

    def do(job_id: str) -> None:
        try:
            job.run(publisher, USER, job_id, work(STEPS), STEPS)
        finally:
            at_work.discard(job_id)

    async def start_job(_request: web.Request) -> web.Response:
        job_id = str(uuid.uuid4())
        at_work.add(job_id)
        threading.Thread(target=do, args=(job_id,), name=f"job {job_id}", daemon=True).start()
        return web.json_response({"id": job_id, "state": "running", "done": 0, "of": STEPS})

    async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(guards.headers(_content_security_policy(websocket_url)))

    application = web.Application(middlewares=[guards.guard(port)])
    application.add_routes([web.get(path, file) for path in _FILES])
    application.add_routes([web.post("/session", make_session), web.post("/jobs", start_job)])
    application.on_response_prepare.append(add_headers)
    return application


def _content_security_policy(websocket_url: str) -> str:
    """The page's own files, its own server, and one WebSocket."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {websocket_url}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
