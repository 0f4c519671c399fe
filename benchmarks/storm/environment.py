"""One execution environment of `wake`, as Lambda has it: a process that handles one event at a time.

`main` reads commands from its standard input, and writes an answer to each, as lines of JSON. `Environment` is the side
of who invokes it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from benchmarks.billing.units import TASK_TOKEN_CHARACTERS

TIMEOUT_SECONDS = 60

Json = dict[str, Any]

_ROOT = Path(__file__).parents[2]
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-session-token-" * 40,
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
    "CALLBACKS_TABLE_NAME": "Callbacks",
    "POWERTOOLS_METRICS_NAMESPACE": "Ringback",
    "POWERTOOLS_SERVICE_NAME": "wake",
}


class TimedOut(Exception):
    """The function did not answer in its time."""


@dataclass
class Environment:
    """One process. What takes longer than the function's timeout is ended, and the next event finds a new one."""

    url: str
    timeout_seconds: float = TIMEOUT_SECONDS
    process: subprocess.Popen[str] | None = None
    processor_seconds: float = 0

    def do(self, command: str, **details: Any) -> Any:
        """Have it do this, and answer what it answered.

        Raises:
            TimedOut: it did not.
            RuntimeError: it failed.
        """
        if self.process is None:
            self.process = _start(self.url)
        process = self.process
        assert process.stdin is not None  # noqa: S101 - a pipe
        assert process.stdout is not None  # noqa: S101
        details |= {"do": command, "seconds": self.timeout_seconds}
        # A line that is awaited cannot be given up; a process can.
        with ThreadPoolExecutor(1) as waiting:
            process.stdin.write(json.dumps(details) + "\n")
            process.stdin.flush()
            line = waiting.submit(process.stdout.readline)
            try:
                answer = json.loads(line.result(timeout=self.timeout_seconds + 1))
            except TimeoutError:
                self.end()
                raise TimedOut from None
            except json.JSONDecodeError:
                self.end()
                raise RuntimeError("the function's process ended") from None
        self.processor_seconds += answer["processorSeconds"]
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        """End the process."""
        if self.process:
            self.process.kill()
            with self.process:
                self.process = None


def _start(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from benchmarks.storm import environment; environment.main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=_VARIABLES | {"AWS_ENDPOINT_URL": url},
    )


def main() -> None:
    """Do what is commanded, until nobody does any more."""
    answers, sys.stdout = sys.stdout, Path("/dev/null").open("w")  # noqa: SIM115 - for the logs, as long as it lives
    commands = {"warm": _warm, "park": _park, "store": _store, "wake": _wake}
    for line in sys.stdin:
        _tell(answers, commands, json.loads(line))


def _tell(answers: TextIO, commands: Mapping[str, Callable[[Json], Any]], command: Json) -> None:
    before = time.process_time()
    answer: Json = {}
    try:
        answer["result"] = commands[command["do"]](command)
    except Exception as error:  # noqa: BLE001 - it is the function's answer
        answer["error"] = f"{type(error).__name__}: {error}"
    answers.write(json.dumps({**answer, "processorSeconds": time.process_time() - before}) + "\n")
    answers.flush()


def _warm(_command: Json) -> None:
    """Import everything, and make the clients that are always needed."""
    import lambdas.triggers.wake  # noqa: F401
    from lambdas.adapters import aws

    aws.dynamodb()
    aws.step_functions(tries_again=False)


def _park(command: Json) -> None:
    """Have a run of each of these, a user and a number, wait for the user, as they do: by the real table."""
    from lambdas.adapters.tables import CallbackTable
    from lambdas.core.model import Callback

    now = datetime.now(UTC)
    callbacks = [
        Callback(
            recipient=_recipient(user),
            message_id=f"{user}-{number}",
            execution_name=f"{user}-{number}",
            entry=1,
            task_token=f"{user}-{number}-".ljust(TASK_TOKEN_CHARACTERS, "x"),
            since=now,
            expires_at=now + timedelta(days=1),
            accepted_at=now,
            attempt=1,
        )
        for user, number in command["runs"]
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(CallbackTable("Callbacks").park_for_reconnect, callbacks))


def _store(command: Json) -> None:
    """Store a connection of each of these users."""
    from lambdas.adapters.tables import ConnectionTable
    from lambdas.core.model import Connection

    now = datetime.now(UTC)
    for user in command["users"]:
        ConnectionTable("Connections").put(
            Connection(
                recipient=_recipient(user),
                connection_id=f"Sm9tZQ{user}=",
                endpoint="https://abcdefabcd.execute-api.eu-central-1.amazonaws.com/prod",
                connected_at=now,
                expires_at=now + timedelta(hours=2),
                token_expires_at=now + timedelta(hours=1),
            )
        )


def _wake(command: Json) -> Any:
    """Handle an event of the stream."""
    from lambdas.triggers import wake

    until = time.monotonic() + command["seconds"]
    context: Any = _Context(until)
    return wake.handler(command["event"], context)


def _recipient(user: str) -> Any:
    from ringback.plain import Recipient

    return Recipient(user=user, context="chat", context_id="42")


@dataclass(frozen=True)
class _Context:
    """Lambda's, as far as the function and Powertools look at it."""

    until: float
    function_name: str = "wake"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:wake"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        """As long as it still has."""
        return int((self.until - time.monotonic()) * 1000)
