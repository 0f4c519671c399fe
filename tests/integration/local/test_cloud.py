"""The MiniStack process: where it listens, and that nothing of it stays behind, however it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import cloud, settings
from local.cloud import Cloud
from local.errors import AlreadyRunning, CloudFailed, PortBusy
from tests.integration.local.laboratory import Laboratory, wait_for

ECHOES = "def handler(event, context): return event"
HOLDS_A_RUN = """
    import sys, time
    from pathlib import Path
    from local import cloud

    with cloud.running(Path(sys.argv[1])) as running:
        print(running.endpoint, running.process.pid, flush=True)
        time.sleep(600)
"""


@dataclass(frozen=True)
class Outsider:
    """A process that holds a run, and the MiniStack it has started."""

    process: subprocess.Popen[str]
    endpoint: str
    ministack: int


@pytest.fixture
def outsider(tmp_path: Path) -> Iterator[Outsider]:
    command = [sys.executable, "-c", textwrap.dedent(HOLDS_A_RUN), str(tmp_path)]
    with subprocess.Popen(  # noqa: S603 - our own source
        command, cwd=settings.ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        endpoint, ministack = process.stdout.readline().split()
        yield Outsider(process, endpoint, int(ministack))
        process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(ministack), signal.SIGKILL)


def group_is_gone(leader: int) -> bool | None:
    """True once no process of the group is left; as `wait_for` wants it."""
    try:
        os.killpg(leader, 0)
    except (ProcessLookupError, PermissionError):
        return True
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_listens_on_the_loopback_address_alone(corrected_cloud: Cloud) -> None:
    pid = corrected_cloud.process.pid
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()}
    listening = [
        fields[1]
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if f"socket:[{(fields := line.split())[9]}]" in inodes and fields[3] in {"0A", "07"}
    ]

    port = int(corrected_cloud.endpoint.rpartition(":")[2])
    assert listening == [f"0100007F:{port:04X}"]


def test_leaves_nothing_behind(tmp_path: Path) -> None:
    with cloud.running(tmp_path) as running:
        laboratory = Laboratory(running.endpoint)
        laboratory.invoke(laboratory.function(ECHOES))
        assert list((tmp_path / "tmp").iterdir()), "a handler has been unpacked"

    assert wait_for(lambda: group_is_gone(running.process.pid))
    assert not cloud.answers(running.endpoint)
    assert not (tmp_path / "tmp").exists()


def test_several_run_side_by_side(tmp_path: Path) -> None:
    with cloud.running(tmp_path / "one") as one, cloud.running(tmp_path / "two") as two:
        assert one.endpoint != two.endpoint
        assert cloud.answers(one.endpoint)
        assert cloud.answers(two.endpoint)


def test_second_run_in_a_directory_is_refused(corrected_cloud: Cloud) -> None:
    with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}"), cloud.running(corrected_cloud.directory):
        pass

    assert cloud.answers(corrected_cloud.endpoint)


def test_port_of_another_program_is_named(tmp_path: Path) -> None:
    with socket.create_server((settings.HOST, 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(PortBusy, match=rf"Port {port} .*make up PORT={port + 1}"),
            cloud.running(tmp_path, port=port),
        ):
            pass


def test_early_death_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "cloud_environment", lambda **_: {"PYTHONHOME": "/nowhere"})

    with pytest.raises(CloudFailed, match=r"(?s)exit code 1.*No module named 'encodings'"), cloud.running(tmp_path):
        pass


def test_death_shows_the_log(tmp_path: Path) -> None:
    with cloud.running(tmp_path) as running:
        os.killpg(running.process.pid, signal.SIGKILL)
        with pytest.raises(CloudFailed, match=r"Ready"):
            running.wait()


def test_goes_when_the_process_that_started_it_is_killed(outsider: Outsider) -> None:
    laboratory = Laboratory(outsider.endpoint)
    laboratory.invoke(laboratory.function(ECHOES))

    outsider.process.kill()

    assert wait_for(lambda: group_is_gone(outsider.ministack))


def test_stop_ends_a_run_of_another_process(outsider: Outsider, tmp_path: Path) -> None:
    assert cloud.stop(tmp_path)

    assert wait_for(lambda: group_is_gone(outsider.ministack))
    assert outsider.process.wait() != 0


def test_stop_ends_a_run_that_does_not_answer(
    outsider: Outsider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "_STOP_SECONDS", 0.5)
    os.kill(outsider.process.pid, signal.SIGSTOP)
    os.killpg(outsider.ministack, signal.SIGSTOP)

    assert cloud.stop(tmp_path)

    assert wait_for(lambda: group_is_gone(outsider.ministack))
    assert not cloud.is_running(tmp_path)


def test_frozen_rest_of_an_earlier_run_is_cleared_away(outsider: Outsider, tmp_path: Path) -> None:
    os.killpg(outsider.ministack, signal.SIGSTOP)
    outsider.process.kill()
    outsider.process.wait()

    with cloud.running(tmp_path) as running:
        assert cloud.answers(running.endpoint)

    assert wait_for(lambda: group_is_gone(outsider.ministack))


def test_nothing_to_stop(tmp_path: Path) -> None:
    assert not cloud.stop(tmp_path)
