"""The commands of `python -m local` that need no MiniStack."""

import os
import signal
import socket
import sys
from pathlib import Path

import jwt
import pytest

from local import __main__ as commands
from local import settings
from local.cloud import RUN_LOCK
from local.locks import PidLock, holder
from local.tokens import Keys


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "DIRECTORY", tmp_path)
    monkeypatch.setattr(settings, "INSTALLATION_FILE", tmp_path / "local.json")
    return tmp_path


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands install handlers, which would stay."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["local", *arguments])
    return commands.main()


def test_down_with_nothing_to_stop(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "local.json").write_text("of a run that was killed")

    assert run(monkeypatch, "down") == 0

    assert capsys.readouterr().out == "There is nothing to stop.\n"
    assert not (directory / "local.json").exists()


def test_status_of_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "status") == 1

    assert "make up" in capsys.readouterr().out


def test_second_up_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = PidLock(directory / RUN_LOCK)
    assert lock.acquire()
    lock.name(4711)

    assert run(monkeypatch, "up") == 1

    lock.close()
    assert "already runs in this folder" in capsys.readouterr().err


def test_a_taken_port_of_the_console_is_told_before_anything_starts(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind((settings.HOST, 0))
        port = taken.getsockname()[1]
        assert run(monkeypatch, "up", "--console-port", str(port)) == 1

    assert f"CONSOLE_PORT={port + 1}" in capsys.readouterr().err
    assert not (directory / RUN_LOCK).exists()


def test_there_is_no_port_for_the_console_after_the_last_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "up", "--port", "65535") == 1

    assert "CONSOLE_PORT" in capsys.readouterr().err


def test_token(directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Keys.make().save(directory)
    options = ("--contexts", "chat/42", "support", "--plan", "gold", "--scope", "read write", "--ttl-seconds", "60")

    assert run(monkeypatch, "token", "--user", "ana", *options) == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["sub"] == "ana"
    assert claims["contexts"] == ["chat/42", "support"]
    assert claims["plan"] == "gold"
    assert claims["scope"] == "read write"
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize("user", ["", "ana b", "ana#1", "änna", "a" * 256])
def test_a_token_is_for_a_user_whom_the_stage_would_let_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], user: str
) -> None:
    assert run(monkeypatch, "token", "--user", user) == 1

    assert "--user: must be 1 to 255 characters of printable ASCII" in capsys.readouterr().err


def test_a_token_opens_the_chats_unless_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Keys.make().save(directory)

    assert run(monkeypatch, "token", "--user", "ana") == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["contexts"] == ["chat"]


def test_token_of_a_backend(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Keys.make(backend_issuer="http://127.0.0.1:4711/issuer").save(directory)

    assert run(monkeypatch, "token", "--backend") == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["iss"] == "http://127.0.0.1:4711/issuer"
    assert claims["scope"] == "ringback:messages"


def test_token_for_the_chat(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Keys.make().save(directory)

    assert run(monkeypatch, "token", "--user", "bo", "--chat", "agent", "--ttl-seconds", "60") == 0

    claims = jwt.decode(capsys.readouterr().out.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["aud"], claims["role"]) == ("bo", "ringback-chat", "agent")
    assert claims["exp"] - claims["iat"] == 60
    assert "contexts" not in claims


@pytest.mark.parametrize(
    "more", [("--backend",), ("--user", "bo", "--contexts", "chat"), ("--user", "bo", "--plan", "x")]
)
def test_a_token_for_the_chat_opens_nothing_else(
    more: tuple[str, ...], directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Keys.make().save(directory)

    assert run(monkeypatch, "token", "--chat", "agent", *more) == 1

    assert "--chat goes with --user alone" in capsys.readouterr().err


def test_backend_has_no_contexts(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Keys.make().save(directory)

    assert run(monkeypatch, "token", "--backend", "--contexts", "chat") == 1

    assert "--contexts" in capsys.readouterr().err


def test_token_without_a_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "token", "--user", "ana") == 1

    assert "make up" in capsys.readouterr().err


def test_lock_tells_its_holder_only_while_it_is_held(directory: Path) -> None:
    file = directory / "a.lock"
    assert holder(file) is None

    lock = PidLock(file)
    assert lock.acquire()
    lock.name(os.getpid())
    other = PidLock(file)
    assert not other.acquire()
    other.close()
    assert holder(file) == os.getpid()

    lock.close()
    assert holder(file) is None
