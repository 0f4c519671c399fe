"""What the server of `examples/progress` answers over HTTP, and what its command says, also of a copy."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event

import pytest

from examples.progress.server import STEPS, make_application
from local.settings import ROOT
from ringback import Publisher
from tests.contract.test_console import Caller
from tests.sdk import FakeFunctions, sending_to
from tests.serving import serving
from tests.waiting import until

URL = "ws://127.0.0.1:4600/v1"
# In place of `python -m local token`: says where it runs, and what it was asked for.
TOKEN_COMMAND = [sys.executable, "-c", "import os, sys; print(os.getcwd(), *sys.argv[1:])"]


def one_step(_steps: int) -> Iterable[object]:
    return ["some work"]


@pytest.fixture(scope="module")
def functions() -> FakeFunctions:
    return FakeFunctions()


@pytest.fixture(scope="module")
def caller(functions: FakeFunctions) -> Iterator[Caller]:
    publisher = Publisher(sending_to(functions, WebSocketUrl=URL))
    with serving(lambda _: make_application(publisher, lambda: "a token", work=one_step)) as url:
        yield Caller(url)


def test_a_job_that_is_started_tells_about_itself(caller: Caller, functions: FakeFunctions) -> None:
    answer = caller.ask("POST", "/jobs", Origin=caller.url)

    started = answer.json
    assert started == {"id": started["id"], "state": "running", "done": 0, "of": STEPS}
    until(lambda: len(functions.calls) == 2, "a step and the end")
    (end,) = functions.calls[-1]
    assert end["id"] == f"{started['id']}-end"
    assert end["recipient"]["contextId"] == started["id"]


def test_the_jobs_that_are_at_work_are_named_and_where_to_hear_of_them() -> None:
    may_end = Event()

    def work(_steps: int) -> Iterable[object]:
        may_end.wait(20)
        return []

    publisher = Publisher(sending_to(FakeFunctions(), WebSocketUrl=URL))
    with serving(lambda _: make_application(publisher, lambda: "a token", work=work)) as url:
        caller = Caller(url)
        started = caller.ask("POST", "/jobs", Origin=caller.url).json

        assert caller.ask("GET", "/jobs").json == {"url": URL, "jobs": [started["id"]]}
        may_end.set()
        until(lambda: caller.ask("GET", "/jobs").json["jobs"] == [], "it has ended")


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "html"), ("/page.js", "javascript"), ("/style.css", "css"), ("/ringback.js", "javascript")]
)
def test_the_page_is_there_and_asked_for_again_when_it_may_have_changed(caller: Caller, path: str, kind: str) -> None:
    answer = caller.ask("GET", path)

    assert (answer.status, answer.headers["content-type"].partition("/")[2]) == (200, kind)
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
    ids=["a name for this machine", "another page", "a page without an origin"],
)
@pytest.mark.parametrize("path", ["/token", "/jobs"])
def test_no_other_page_gets_an_answer(
    caller: Caller, functions: FakeFunctions, path: str, headers: dict[str, str]
) -> None:
    calls = len(functions.calls)

    refused = caller.ask("POST", path, **headers)

    assert refused.status == 403
    assert refused.body.startswith(b"Only the page from here may ask")
    assert len(functions.calls) == calls


@pytest.fixture
def port() -> int:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as free:
        return free.server_port


def command(port: int, *options: str, module: str = "examples.progress.server") -> list[str]:
    return [sys.executable, "-m", module, "--port", str(port), *options]


@pytest.fixture
def local_file(tmp_path: Path) -> Path:
    """What `make up` writes down of a stack, in the folder in which it runs."""
    file = tmp_path / "ringback" / "build" / "local.json"
    file.parent.mkdir(parents=True)
    values = {"endpoint": "http://127.0.0.1:4600", "websocket_url": URL, "token_command": shlex.join(TOKEN_COMMAND)}
    file.write_text(json.dumps(values))
    return file


@contextmanager
def running(command: list[str], *, folder: Path) -> Iterator[Caller]:
    """Serve, and see that Ctrl-C ends it without a word."""
    with subprocess.Popen(  # noqa: S603 - our own
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            yield Caller(found[0])
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, said) == (0, "")


def test_the_command_serves_beside_a_stack_until_it_is_interrupted(port: int, local_file: Path) -> None:
    with running(command(port, "--local-file", str(local_file)), folder=ROOT) as caller:
        assert caller.ask("GET", "/").status == 200
        assert caller.ask("GET", "/jobs").json == {"url": URL, "jobs": []}
        token = caller.ask("POST", "/token", Origin=caller.url).json["token"]

    assert token == f"{local_file.parent.parent} --user ana --contexts job"


def test_a_copy_runs_elsewhere(port: int, local_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(ROOT / "examples" / "progress", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "page" / "ringback.js").write_text("// mine")

    with running(command(port, "--local-file", str(local_file), module="mine.server"), folder=tmp_path) as caller:
        assert caller.ask("GET", "/ringback.js").body == b"// mine"
        assert caller.ask("GET", "/page.js").status == 200


def said_in_the_end(command: list[str], *, folder: Path) -> str:
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    return answer.stderr


def test_the_command_says_what_to_do_when_there_is_no_stack(port: int, tmp_path: Path) -> None:
    missing = str(tmp_path / "local.json")

    said = said_in_the_end(command(port, "--local-file", missing), folder=ROOT)

    assert f"{missing} is not there: `make up`" in said


def test_the_command_says_so_when_its_port_is_not_free(local_file: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as busy:
        said = said_in_the_end(command(busy.server_port, "--local-file", str(local_file)), folder=ROOT)

    assert said.startswith(f"Port {busy.server_port} is not free")
    assert f"make example-progress PORT={busy.server_port + 1}" in said
