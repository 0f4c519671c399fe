"""The application's server: its page, a token for it, and the jobs that it starts. It needs aiohttp and `ringback`."""

import argparse
import asyncio
import json
import shlex
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from ringback import Publisher
from ringback.errors import NotInstalled

from . import job

USER = "ana"  # here everybody is; elsewhere a session says who it is
STEPS = 20

_PAGE = Path(__file__).with_name("page")
_CLIENT = _PAGE / "ringback.js"
if not _CLIENT.exists():  # nobody has copied it there from Ringback's repository, so this is that one
    _CLIENT = Path(__file__).parents[2] / "clients" / "js" / "ringback.js"
_FILES = {f"/{file.name}": file for file in (_PAGE / "page.js", _PAGE / "style.css", _CLIENT)}
_FILES["/"] = _PAGE / "index.html"


def token_of_make_up(file: Path) -> str:
    """A token, made by `make up`'s own command. Elsewhere they come from the issuer that the stage trusts."""
    command = shlex.split(json.loads(file.read_text())["token_command"])
    folder = file.absolute().parent.parent  # where `make up` runs
    return subprocess.check_output([*command, "--user", USER, "--contexts", job.CONTEXT], cwd=folder, text=True).strip()  # noqa: S603 - our own


def make_application(
    publisher: Publisher, make_token: Callable[[], str], *, work: Callable[[int], Iterable[object]] = job.slowly
) -> web.Application:
    """The server: jobs tell by this publisher, pages listen with these tokens."""
    at_work: set[str] = set()

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(_FILES[request.path], headers={"Cache-Control": "no-cache"})

    async def token(_request: web.Request) -> web.Response:
        return web.json_response({"token": await asyncio.to_thread(make_token)})

    async def list_jobs(_request: web.Request) -> web.Response:
        url = publisher.installation.output("WebSocketUrl")
        return web.json_response({"url": url, "jobs": sorted(at_work)})

    async def start_job(_request: web.Request) -> web.Response:
        job_id = str(uuid.uuid4())
        at_work.add(job_id)
        threading.Thread(target=do, args=(job_id,), name=f"job {job_id}", daemon=True).start()
        return web.json_response({"id": job_id, "state": "running", "done": 0, "of": STEPS})

    def do(job_id: str) -> None:
        try:
            job.run(publisher, USER, job_id, work(STEPS), STEPS)
        finally:
            at_work.discard(job_id)

    application = web.Application(middlewares=[_only_this_page])
    application.add_routes([web.get(path, file) for path in _FILES])
    application.add_routes([web.post("/token", token), web.get("/jobs", list_jobs), web.post("/jobs", start_job)])
    return application


@web.middleware
async def _only_this_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give tokens to no other page of the browser, whatever name it has for this machine."""
    here = f"http://{request.host}"
    if request.url.host not in {"127.0.0.1", "localhost"} or request.headers.get("Origin", here) != here:
        raise web.HTTPForbidden(text="Only the page from here may ask, opened as http://127.0.0.1.")
    return await handler(request)


def main() -> None:
    """Serve beside `make up`, until Ctrl-C. The exit code is 1 if that does not run, or the port is not free."""
    parser = argparse.ArgumentParser(description="Serve the example beside `make up`, until Ctrl-C.")
    # A browser keeps what a page remembers under its port.
    parser.add_argument("--port", type=int, default=4610, help="%(default)s unless told")
    parser.add_argument("--local-file", type=Path, default=Path("build/local.json"), help="%(default)s unless told")
    given = parser.parse_args()
    ready = f"A job and its progress bar: http://127.0.0.1:{given.port}/\nCtrl-C stops it."
    try:
        application = make_application(Publisher.local(given.local_file), lambda: token_of_make_up(given.local_file))
        web.run_app(
            application, host="127.0.0.1", port=given.port, access_log=None, print=lambda _: print(ready, flush=True)
        )
    except NotInstalled as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"Port {given.port} is not free: {error}. Choose another: make example-progress PORT={given.port + 1}")


if __name__ == "__main__":
    main()
