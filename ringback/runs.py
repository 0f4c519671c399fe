"""The runs that carry messages, found by the message's id. The Step Functions client is passed in."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from botocore.exceptions import ClientError

from ringback import aws
from ringback.errors import MessageNotFound, NotCancellable
from ringback.names import execution_name, redrive_name, run_arn

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

CANCELLED = "Cancelled"
"""The error with which a cancelled run ends."""


class Run(NamedTuple):
    """One run, as Step Functions describes it: ``status`` is RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""

    arn: str
    name: str
    status: str
    message: Any
    started_at: datetime
    stopped_at: datetime | None
    output: Any
    error: str | None
    cause: str | None

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Self:
        """Read the answer of DescribeExecution, whose times botocore puts into this machine's zone."""
        stopped_at = description.get("stopDate")
        return cls(
            arn=description["executionArn"],
            name=description["name"],
            status=description["status"],
            message=_json(description.get("input")),
            started_at=description["startDate"].astimezone(UTC),
            stopped_at=stopped_at.astimezone(UTC) if stopped_at else None,
            output=_json(description.get("output")),
            error=description.get("error"),
            cause=description.get("cause"),
        )

    @property
    def message_id(self) -> str:
        """The id of the message it carries: what the envelope says, else the run's own name."""
        given = self.message.get("id") if isinstance(self.message, dict) else None
        return given if isinstance(given, str) else self.name


def describe(client: "SFNClient", arn: str) -> Run | None:
    """Read one run; None if there is none."""
    with aws.translated("stepfunctions"):
        try:
            return Run.of(client.describe_execution(executionArn=arn))
        except ClientError as error:
            if aws.code(error) == "ExecutionDoesNotExist":
                return None
            raise


def newest(client: "SFNClient", state_machine_arn: str, message_id: str) -> Run:
    """Find the run that carries the message now: its first one, or that of its last redrive.

    Step Functions may be seconds late to say that a run has started, or has ended.

    Raises:
        MessageNotFound: there is none.
    """
    found = None
    for run in _runs(client, state_machine_arn, execution_name(message_id)):
        found = run
    if found is None or found.message_id != message_id:
        raise MessageNotFound(message_id)
    return found


def cancel(client: "SFNClient", state_machine_arn: str, message_id: str) -> None:
    """End the run that carries the message; that it is cancelled already is no error.

    Raises:
        MessageNotFound: no run carries it.
        NotCancellable: it has ended otherwise.
    """
    run = newest(client, state_machine_arn, message_id)
    if run.status == "RUNNING":
        _stop(client, run)
        # It may have ended between the two calls, and stopping it then changed nothing.
        run = describe(client, run.arn) or run
    if run.status not in {"RUNNING", "ABORTED"}:
        raise NotCancellable(message_id, state_of_ended(run))


def _stop(client: "SFNClient", run: Run) -> None:
    with aws.translated("stepfunctions"):
        try:
            client.stop_execution(executionArn=run.arn, error=CANCELLED, cause="The backend took the message back.")
        except ClientError as error:
            # Whether stopping what has ended is an error, the service's documents do not say.
            if aws.code(error) != "ValidationException":
                raise
            now = describe(client, run.arn)
            if now is None or now.status == "RUNNING":
                raise


def state_of_ended(run: Run) -> str:
    """The state of a message whose run has ended."""
    if run.status == "SUCCEEDED":
        status = run.output.get("status") if isinstance(run.output, dict) else None
        return "acknowledged" if status == "acknowledged" else "delivered"
    return "cancelled" if run.status == "ABORTED" else "dead_lettered"


def _runs(client: "SFNClient", state_machine_arn: str, name: str) -> Iterator[Run]:
    """The run of this name and, one after the other, those of its redrives."""
    while run := describe(client, run_arn(state_machine_arn, name)):
        yield run
        if run.status == "RUNNING":
            return  # only what has ended is redriven, and the account may describe few runs a second
        try:
            name = redrive_name(name)
        except ValueError:
            return


def _json(text: str | None) -> Any:
    if text is not None:
        with suppress(ValueError):
            return json.loads(text)
    return None
