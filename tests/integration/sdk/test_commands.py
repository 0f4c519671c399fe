"""The command line, from what is typed to what is written, on moto's AWS."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lambdas.adapters.tables import ConnectionTable
from ringback.cli import main
from ringback.installation import Clients
from ringback.publisher import Publisher
from tests import builders
from tests.builders import envelope
from tests.integration.sdk.conftest import Place, name_stack, now
from tests.sdk import arn

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Type a command; answers its exit code and what it wrote."""
    for module in ("sending", "looking", "dead_letters"):
        monkeypatch.setattr(f"ringback.cli.{module}.open_installation", lambda arguments: place.installation)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(str(exit_.code))
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


SEND = ("send", "--id", "m-1", "--user", "ana", "--context", "chat", "--context-id", "42")


def test_a_message_by_its_parts(run: Run, place: Place) -> None:
    code, out, _ = run(*SEND, "--payload", '{"text": "hello"}', "--ttl-seconds", "60", "--track", "--ack", "client")

    assert (code, out) == (0, "m-1 started\n")
    assert place.functions.calls == [[envelope(ttlSeconds=60, track=True, ack="client")]]


def test_a_whole_envelope_from_standard_input(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(envelope())))

    code, out, _ = run("send", "--json-envelope", "-", "--json")

    assert (code, json.loads(out)) == (0, {"id": "m-1", "status": "started", "executionArn": arn("m-1")})


def test_how_a_message_waits_by_its_parts(run: Run, place: Place) -> None:
    options = ("--max-attempts", "3", "--backoff-base-seconds", "5", "--backoff-cap-seconds", "60")

    assert run(*SEND, "--payload", '{"text": "hello"}', *options)[0] == 0

    retry = {"maxAttempts": 3, "backoffBaseSeconds": 5, "backoffCapSeconds": 60}
    assert place.functions.calls == [[envelope(retry=retry)]]


def missed(messages: list[dict[str, Any]]) -> Any:
    return {"results": [{"id": one["id"], "status": "missed"} for one in messages]}


def test_that_a_message_was_missed_is_an_answer(run: Run, place: Place, tmp_path: Path) -> None:
    place.functions.answers = [missed, missed]
    file = tmp_path / "messages.jsonl"
    file.write_text(json.dumps(envelope(durable=False)))

    code, out, _ = run(*SEND, "--payload", '{"text": "hello"}', "--not-durable")
    assert (code, out) == (0, "m-1 missed\n")
    code, _, error = run("send", "--file", str(file))
    assert (code, error.splitlines()[-1]) == (0, "1 missed")
    assert f"{file}:" not in error

    assert place.functions.calls == [[envelope(durable=False)]] * 2


@pytest.mark.parametrize("options", [("--wait", "30"), ("--track",), ("--max-attempts", "3")])
def test_what_is_not_durable_does_not_wait(run: Run, place: Place, options: tuple[str, ...]) -> None:
    code, _, error = run(*SEND, "--text", "hello", "--not-durable", *options)

    assert code == 2
    assert "durable" in error
    assert place.functions.calls == []


def test_what_is_not_delivered_in_time_lives_on(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringback.cli.sending.Publisher", partial(Publisher, sleep=lambda _: None, monotonic=hours()))
    machine = place.installation.delivery_state_machine_arn

    unseen = run(*SEND, "--text", "hello", "--wait", "30")
    place.installation.clients.stepfunctions.start_execution(
        stateMachineArn=machine, name="m-1", input=json.dumps(envelope())
    )
    late = run(*SEND, "--text", "hello", "--wait", "30")

    for code, out, error in (unseen, late):
        assert (code, out) == (1, "")
        assert "`ringback status m-1`" in error
        assert "`ringback cancel m-1`" in error
    assert "delivering, after 30 s" in late[2]


def hours() -> Callable[[], float]:
    """A clock that goes an hour on whenever it is looked at."""
    time = count(0.0, 3600.0)
    return lambda: next(time)


def test_an_id_that_another_message_has(run: Run, place: Place) -> None:
    place.functions.answers = [lambda _: {"results": [{"id": "m-1", "status": "conflict"}]}]

    code, out, error = run(*SEND, "--text", "hello")

    assert (code, out) == (1, "")
    assert error.startswith("ringback: the id m-1 belongs to another message")
    assert error.count("\n") == 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "messages.jsonl"
    lines = [json.dumps(envelope(id=f"m-{number}")) for number in range(150)]
    file.write_text("\n".join(["", *lines, '{"id": "bad"}', ""]))
    return file


def test_a_file_with_an_invalid_line_is_not_sent(run: Run, place: Place, file: Path) -> None:
    code, _, error = run("send", "--file", str(file))

    assert code == 2
    assert f"{file}:152: payload: is missing; recipient: is missing" in error or f"{file}:152: recipient" in error
    assert place.functions.calls == []


def test_the_rest_of_a_file_is_sent_if_told(run: Run, place: Place, file: Path) -> None:
    def one_conflict(messages: list[dict[str, Any]]) -> Any:
        status = {"m-7": "conflict"}
        return {"results": [{"id": one["id"], "status": status.get(one["id"], "started")} for one in messages]}

    place.functions.answers = [one_conflict, one_conflict]

    code, out, error = run("send", "--file", str(file), "--skip-invalid", "--json")

    assert code == 1
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["id"] for result in results] == [f"m-{number}" for number in range(150)]
    assert [result["line"] for result in results if result["status"] == "conflict"] == [9]
    assert "149 started" in error
    assert "1 skipped" in error


def test_a_file_from_standard_input(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{json.dumps(envelope())}\n"))
    code, _, error = run("send", "--file", "-")
    assert (code, error.splitlines()[-1]) == (0, "1 started")
    assert place.functions.calls == [[envelope()]]

    monkeypatch.setattr("sys.stdin", io.StringIO("no JSON\n"))
    code, _, error = run("send", "--file", "-")
    assert code == 2
    assert error.startswith("standard input:1: the line is not JSON")


def test_a_message_is_looked_up_and_cancelled(run: Run, place: Place) -> None:
    machine = place.installation.delivery_state_machine_arn
    place.installation.clients.stepfunctions.start_execution(
        stateMachineArn=machine, name="m-1", input=json.dumps(envelope())
    )

    _, out, _ = run("cancel", "m-1", "--json")
    assert json.loads(out)["state"] == "cancelled"
    code, out, _ = run("status", "m-1")
    assert code == 0
    assert "cancelled" in out
    assert place.run_arn("m-1") in out
    code, out, _ = run("tail", "m-1")
    assert (code, out.count("\n")) == (0, 1)


@pytest.mark.parametrize("console_url", ["http://127.0.0.1:4601", ""])
def test_a_local_run_is_not_looked_for_in_aws(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch, console_url: str
) -> None:
    place.installation.clients.stepfunctions.start_execution(
        stateMachineArn=place.installation.delivery_state_machine_arn, name="m-1", input=json.dumps(envelope())
    )
    _, in_aws, _ = run("status", "m-1")
    monkeypatch.setattr(place, "installation", replace(place.installation, console_url=console_url))
    monkeypatch.setattr(Clients, "is_local", True)

    _, out, _ = run("status", "m-1")

    assert "console.aws.amazon.com" in in_aws
    links = [line.split()[1] for line in out.splitlines() if line.startswith("console")]
    assert links == ([f"{console_url}/#/runs/{place.run_arn('m-1')}"] if console_url else [])


def test_a_message_without_a_run(run: Run) -> None:
    code, _, error = run("status", "m-1")

    assert code == 1
    assert "--track" in error or "track" in error


def test_every_change_of_every_message_is_told_until_it_is_enough(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, machine = place.installation.clients.stepfunctions, place.installation.delivery_state_machine_arn
    looks = 0

    def meanwhile(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            client.stop_execution(executionArn=place.run_arn("m-1"), error="Cancelled")
            client.start_execution(stateMachineArn=machine, name="m-2", input=json.dumps(envelope(id="m-2")))
        elif looks == 3:
            raise KeyboardInterrupt

    def deny(**_: Any) -> None:
        raise AssertionError("the account may describe few runs a second")

    for name in ("m-1", "m-0-r2"):
        client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(envelope(id=name[:3])))
    monkeypatch.setattr("ringback.cli.looking._pause", meanwhile)
    for call in ("DescribeExecution", "GetExecutionHistory"):
        client.meta.events.register(f"before-parameter-build.stepfunctions.{call}", deny)

    code, out, _ = run("tail", "--json")

    told = [(one["id"], one["state"]) for one in map(json.loads, out.splitlines())]
    assert code == 0
    assert sorted(told[:2]) == [("m-0", "delivering"), ("m-1", "delivering")]
    assert sorted(told[2:]) == [("m-1", "cancelled"), ("m-2", "delivering")]


def test_the_list_of_runs_is_not_said_to_know_which_of_them_wait(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enough(_: float) -> None:
        raise KeyboardInterrupt

    place.installation.clients.stepfunctions.start_execution(
        stateMachineArn=place.installation.delivery_state_machine_arn, name="m-1", input=json.dumps(envelope())
    )
    monkeypatch.setattr("ringback.cli.looking._pause", enough)

    _, out, _ = run("tail")

    assert out.endswith("  m-1  delivering or waiting\n")


def test_a_user_s_connections(run: Run, place: Place) -> None:
    table = ConnectionTable(place.installation.output("ConnectionsTableName"))
    table.put(builders.connection("c-1"))

    code, out, _ = run("connections", "ana")
    assert code == 0
    assert out.startswith("c-1  chat/42  active")
    assert json.loads(run("connections", "ana", "--json")[1])["connectionId"] == "c-1"
    assert run("connections", "bea") == (0, "", "bea has no open connection\n")


@pytest.fixture(autouse=True)
def short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto waits as long as it is told to."""
    from ringback import dead_letters
    from ringback.cli import dead_letters as commands

    monkeypatch.setattr(commands, "open_queue", partial(dead_letters.open_queue, wait_seconds=0))


def test_dead_letters_are_listed_shown_redriven_and_purged(run: Run, place: Place) -> None:
    place.put_letter("m-1")
    place.put_letter("m-2", cause="two\nlines \x1b[2J")
    place.put("no JSON")

    code, out, _ = run("dead-letters", "list")
    assert code == 0
    assert "two lines  [2J" in out
    assert len(out.splitlines()) == 3
    assert len(run("dead-letters", "list", "--limit", "1")[1].splitlines()) == 1
    assert "payload" not in run("dead-letters", "list", "--json")[1]
    assert json.loads(run("dead-letters", "show", "m-1", "--json")[1])["message"] == envelope()

    code, _, error = run("dead-letters", "redrive", "m-1")
    assert (code, list(place.runs())) == (0, ["m-1-r1"])
    code, out, error = run("dead-letters", "redrive", "--all", "--json")
    assert code == 1
    assert sorted(json.loads(line)["outcome"] for line in out.splitlines()) == ["redriven", "unreadable"]
    assert "1 redriven, 1 still on the queue" in error

    code, _, error = run("dead-letters", "purge", "--all")
    assert code == 2
    assert "--yes" in error
    assert run("dead-letters", "purge", "--all", "--yes") == (0, "1 deleted\n", "")
    assert run("dead-letters", "list") == (0, "", "no dead letters\n")


def test_purging_asks_a_person(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    place.put_letter("m-1")
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert run("dead-letters", "purge", "--all")[0] == 1
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert run("dead-letters", "purge", "--all")[0] == 0
    assert place.bodies() == []


def test_on_a_terminal_the_count_makes_room_for_the_result(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    place.put_letter("m-1")

    assert run("dead-letters", "purge", "m-1", "--yes") == (0, "1 deleted\n", "\r1 so far\r        \r")


def test_an_expired_letter_is_told_the_options_that_can_be_typed(run: Run, place: Place) -> None:
    place.put_letter("m-1", reason="MessageExpired")

    code, out, error = run("dead-letters", "redrive", "--all", "--json")

    assert code == 1
    for told in (json.loads(out)["detail"], error):
        assert "--ttl-seconds or --expires-at" in told


def test_what_comes_back_is_told_apart_from_what_stayed(run: Run, place: Place) -> None:
    place.put_letter("m-1")
    place.put("no JSON")
    put_again = 0

    def fail_again(**_: Any) -> None:
        nonlocal put_again
        put_again += 1
        place.put_letter(f"m-1-r{put_again}", message=envelope())

    place.installation.clients.stepfunctions.meta.events.register("after-call.stepfunctions.StartExecution", fail_again)

    code, _, error = run("dead-letters", "redrive", "--all")

    assert code == 1
    assert "1 redriven, 1 still on the queue, 1 put on it meanwhile" in error


def test_the_other_queue(run: Run, place: Place) -> None:
    place.put("no JSON", queue="IngestDeadLetterQueueUrl", reason="the body is not JSON")

    assert "the body is not JSON" in run("dead-letters", "list", "--queue", "ingest")[1]
    assert run("dead-letters", "redrive", "--all", "--queue", "ingest")[0] == 0
    assert place.bodies("IngestQueueUrl") == ["no JSON"]


def test_the_stack_s_outputs_say_where_everything_is(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name_stack(dict(place.installation.outputs), stack_name="Mine")
    place.put_letter("m-1", deadLetteredAt=str(now()))

    assert main(["dead-letters", "list", "--stack", "Mine", "--region", "eu-central-1"]) == 0
    assert "m-1" in capsys.readouterr().out
    assert main(["dead-letters", "list", "--stack", "Yours", "--region", "eu-central-1"]) == 1
    assert "no stack Yours in eu-central-1" in capsys.readouterr().err
    assert main(["dead-letters", "list", "--profile", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("list",), ("show", "m-1")])
def test_half_of_a_surrogate_pair_is_written_as_json_and_for_people(
    run: Run, place: Place, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no UTF-8, and standard output takes nothing else."""
    place.put_letter("m-1", cause="\ud800", message=envelope(payload="\ud800"))
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr("sys.stdout", written)

    assert run("dead-letters", *command)[0] == 0
    assert run("dead-letters", *command, "--json")[0] == 0

    lines = written.buffer.getvalue().decode().splitlines()
    assert json.loads(lines[-1])["cause"] == "\ud800"
