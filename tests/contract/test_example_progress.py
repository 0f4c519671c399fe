"""What the server of `examples/progress` answers over HTTP, and what its command says."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import jwt
import pytest

from examples.progress.server import STEPS, make_application
from local import stack
from local.installation import Installation
from local.tokens import Keys
from ringback import Publisher
from tests.contract.test_console import Caller
from tests.sdk import FakeFunctions, sending_to
from tests.serving import serving
from tests.unit.test_local_installation import OUTPUTS
from tests.waiting import until

URL = OUTPUTS["WebSocketUrl"]


def one_step(_steps: int) -> Iterable[object]:
    return ["some work"]


@pytest.fixture(scope="module")
def functions() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture(scope="module")
def caller(functions: FakeFunctions) -> Iterator[Caller]:
    publisher, keys = Publisher(sending_to(functions)), Keys.make()
    with serving(lambda port: make_application(publisher, keys, websocket_url=URL, port=port, work=one_step)) as url:
        yield Caller(url)


def test_a_job_that_is_started_tells_about_itself(caller: Caller, functions: FakeFunctions) -> None:
    answer = caller.ask("POST", "/jobs", Origin=caller.url)

    started = answer.json
    assert started == {"id": started["id"], "state": "running", "done": 0, "of": STEPS}
    until(lambda: len(functions.calls) == 2, "a step and the end")
    (end,) = functions.calls[-1]
    assert end["id"] == f"{started['id']}-end"
    assert end["recipient"]["contextId"] == started["id"]


def test_a_token_opens_the_jobs_of_one_user_and_nothing_else(caller: Caller) -> None:
    session = caller.ask("POST", "/session", Origin=caller.url).json

    claims = jwt.decode(session["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["contexts"]) == ("ana", ["job"])
    assert session["url"] == URL


def test_a_session_names_the_jobs_that_are_at_work() -> None:
    may_end = Event()

    def work(_steps: int) -> Iterable[object]:
        may_end.wait(20)
        return []

    publisher, keys = Publisher(sending_to(FakeFunctions())), Keys.make()
    with serving(lambda port: make_application(publisher, keys, websocket_url=URL, port=port, work=work)) as url:
        caller = Caller(url)
        started = caller.ask("POST", "/jobs", Origin=caller.url).json

        def at_work() -> list[str]:
            jobs: list[str] = caller.ask("POST", "/session", Origin=caller.url).json["jobs"]
            return jobs

        assert at_work() == [started["id"]]
        may_end.set()
        until(lambda: at_work() == [], "it has ended")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/ringback.js", "text/javascript"),
    ],
)
def test_the_page_may_speak_to_its_server_and_one_web_socket(caller: Caller, path: str, content_type: str) -> None:
    answer = caller.ask("GET", path)

    policy = answer.headers["content-security-policy"].split("; ")
    assert (answer.status, answer.headers["content-type"]) == (200, f"{content_type}; charset=utf-8")
    assert {"default-src 'none'", "script-src 'self'", f"connect-src 'self' {URL}", "frame-ancestors 'none'"} < {
        *policy
    }
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content_Type": "text/plain"}, 415),
    ],
)
@pytest.mark.parametrize("path", ["/session", "/jobs"])
def test_no_other_page_gets_an_answer(
    caller: Caller, functions: FakeFunctions, path: str, headers: dict[str, str], status: int
) -> None:
    calls = len(functions.calls)

    assert caller.ask("POST", path, **headers).status == status

    assert len(functions.calls) == calls


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """`python -m examples.progress`, beside the stack of this directory."""
    program = f"""
import sys
from pathlib import Path
from local import settings
settings.DIRECTORY = Path({str(tmp_path)!r})
settings.INSTALLATION_FILE = settings.DIRECTORY / "local.json"
from examples.progress.__main__ import main
sys.exit(main())
"""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as free:
        port = free.server_port
    return [sys.executable, "-c", program, "--port", str(port)]


def installed(directory: Path, *, endpoint: str) -> None:
    """What `make up` writes down of a stack."""
    Keys.make().save(directory)
    installation: Installation = stack.read_outputs(OUTPUTS, endpoint=endpoint, directory=directory)
    replace(installation, endpoint=endpoint).save(directory / "local.json")


def test_the_command_says_what_to_do_when_there_is_no_stack(command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert answer.returncode == 1
    assert "`make up`" in answer.stderr
    assert "Traceback" not in answer.stderr


class _Ready(BaseHTTPRequestHandler):
    """All that the command asks of a stack at its start."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ministack/ready" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_command_serves_beside_a_stack_until_it_is_interrupted(command: list[str], tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as ready:
        Thread(target=ready.serve_forever).start()
        installed(tmp_path, endpoint=f"http://127.0.0.1:{ready.server_port}")
        try:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
                try:
                    assert process.stdout is not None
                    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
                    assert found
                    status = Caller(found[0]).ask("GET", "/").status
                    process.send_signal(signal.SIGINT)
                    _, said = process.communicate(timeout=20)
                finally:
                    process.kill()
        finally:
            ready.shutdown()

    assert (status, process.returncode, said) == (200, 0, "")


def test_the_command_says_so_when_its_port_is_not_free(command: list[str], tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as ready:
        Thread(target=ready.serve_forever).start()
        installed(tmp_path, endpoint=f"http://127.0.0.1:{ready.server_port}")
        try:
            busy = [*command[:-1], str(ready.server_port)]
            answer = subprocess.run(busy, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        finally:
            ready.shutdown()

    assert answer.returncode == 1
    assert f"Port {ready.server_port} is not free" in answer.stderr
    assert f"make example-progress PORT={ready.server_port + 1}" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_command_says_so_when_the_stack_does_not_answer(command: list[str], tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as gone:
        port = gone.server_port
    installed(tmp_path, endpoint=f"http://127.0.0.1:{port}")

    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    assert answer.returncode == 1
    assert f"http://127.0.0.1:{port} does not answer" in answer.stderr
