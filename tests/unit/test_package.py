"""What importing the package costs, and what its command line takes without asking anybody."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ringback
from ringback.cli import main
from ringback.cli.arguments import parse
from ringback.cli.places import named_installation


def test_the_functions_get_the_envelope_without_boto3() -> None:
    program = (
        "import sys, ringback.envelope, ringback.names; print('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert answer.stdout.strip() == "False"


def test_everything_that_is_promised_is_there() -> None:
    assert all(getattr(ringback, name) for name in ringback.__all__)
    with pytest.raises(AttributeError, match="publisher_of"):
        ringback.publisher_of  # type: ignore[attr-defined]  # noqa: B018


SEND = ["send", "--user", "ana", "--context", "chat", "--context-id", "42"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["send", "--user", "ana", "--text", "hello"], "--context, --context-id"),
        (SEND, "--payload or --text"),
        ([*SEND, "--text", "hello", "--file", "x.jsonl"], "--file"),
        ([*SEND, "--json-envelope", "{}"], "not both"),
        ([*SEND, "--payload", "{"], "not JSON"),
        ([*SEND, "--text", "x", "--ttl-seconds", "0"], "ttlSeconds"),
        (["send", "--json-envelope", '{"id": "m-1"}'], "recipient: is missing"),
        (["dead-letters", "redrive"], "--all"),
        (["dead-letters", "redrive", "m-1", "--all"], "either letters or --all"),
        (["dead-letters", "purge", "m-1", "--all"], "either letters or --all"),
        (["dead-letters", "redrive", "--all", "--ttl-seconds", "0"], "--ttl-seconds: 1 to"),
        (["dead-letters", "redrive", "--all", "--expires-at", "tomorrow"], "2030-01-31T12:00:00Z"),
        (["dead-letters", "list", "--limit", "0"], "above 0"),
        ([*SEND, "--text", "x", "--skip-invalid"], "--file"),
        ([*SEND, "--text", "x", "--concurrency", "2"], "--file"),
        ([*SEND, "--text", "x", "--ack-timeout-seconds", "60"], "--ack client"),
        ([*SEND, "--text", "x", "--ack-timeout-seconds", "60", "--ack", "none"], "--ack client"),
        ([*SEND, "--text", "x", "--wait", "0"], "at least 0.5"),
        ([*SEND, "--text", "x", "--max-attempts", "0"], "retry.maxAttempts"),
        (["send", "--file", "x.jsonl", "--max-attempts", "2"], "whole envelopes"),
        (["tail", "--every", "0"], "at least 0.5"),
        (["tail", "--every", "nan"], "at least 0.5"),
        (["tail", "--every", "soon"], "at least 0.5"),
        (["doctor", "--local", "--stack", "Mine"], "--stack: not with --local"),
        (["status", "m-1", "--local-file", "x.json", "--region", "eu-west-1"], "--region: not with --local"),
        (["status", "m-1", "--lokal"], "see `ringback status --help`"),
        (["dead-letters", "show", "--queue", "all", "m-1"], "see `ringback dead-letters show --help`"),
    ],
)
def test_what_makes_no_sense_is_said_and_nobody_is_asked(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = int(str(exit_.code))

    assert code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("ringback")
    assert error.count("\n") == 1


@pytest.fixture
def local_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "local.json"
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"endpoint": 1}'])
def test_a_file_that_describes_no_local_stack(
    local_file: Callable[[str], Path], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "m-1", "--local-file", str(local_file(text))]) == 1
    assert "make up" in capsys.readouterr().err


def test_a_local_stack_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "m-1", "--local-file", str(tmp_path / "nothing.json")]) == 1
    error = capsys.readouterr().err
    assert "make up" in error
    assert "Traceback" not in error


def test_local_is_the_stack_of_this_directory_and_takes_nothing_that_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status", "--local", "m-1"]) == 1
    assert "build/local.json is not there" in capsys.readouterr().err


def test_invalid_lines_are_named_and_nothing_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "messages.jsonl"
    file.write_text('\n{"recipient": 1}\nno json\n')

    assert main(["send", "--file", str(file), "--local-file", str(tmp_path / "nothing.json")]) == 2

    error = capsys.readouterr().err
    assert f"{file}:2: recipient" in error
    assert f"{file}:3: the line is not JSON" in error
    assert "nothing was sent" in error


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], ""),
        (["--local"], " --local"),
        (["--local-file", "my file.json"], " --local-file 'my file.json'"),
        (["--stack", "Mine", "--region", "eu-west-1"], " --stack Mine --region eu-west-1"),
    ],
)
def test_a_command_that_is_advised_names_the_same_installation(options: list[str], named: str) -> None:
    assert named_installation(parse(["status", "m-1", *options])) == named
