"""Step Functions."""

import contextvars
import json
import threading
from collections.abc import Callable
from typing import Any

from ministack.core.responses import (  # type: ignore[import-untyped]
    error_response_json,
    get_region,
    json_response,
    new_uuid,
    now_iso,
)
from ministack.services import eventbridge, stepfunctions  # type: ignore[import-untyped]

from local.corrections.places import Json, replace

# A run's end is decided once: by its own thread, by StopExecution, or by its timer.
_ending = threading.RLock()
# Which run a task token belongs to, closed ones too.
runs_of_tokens: dict[str, Json] = {}


def is_over(execution: Json) -> bool:
    """Whether a run, or the one that it is a child of, has ended."""
    if parent := stepfunctions._map_runs.get(execution.get("mapRunArn")):
        execution = stepfunctions._executions[parent["executionArn"]]
    return bool(execution["status"] != "RUNNING")


class _Task(threading.local):
    """The Task that the current thread is in."""

    execution: Json | None = None
    state: Json
    arguments: Any = None
    waits_for_token = False

    @property
    def resource(self) -> Json:
        service, _, action = str(self.state["Resource"]).rpartition(":")
        return {"resourceType": service.partition(":::")[2], "resource": action}


_task = _Task()


def _current_tasks() -> None:
    """No difference of its own: remembers the Task that a thread is in, for the corrections that follow."""

    def executing(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def execute(state: Json, raw_input: Any, execution: Json, ctx: Json) -> Any:
            _task.execution, _task.state = execution, state
            try:
                return upstream(state, raw_input, execution, ctx)
            finally:
                _task.execution, _task.waits_for_token = None, False

        return execute

    def applying(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def apply(*args: Any, **kwargs: Any) -> Any:
            _task.arguments = upstream(*args, **kwargs)
            return _task.arguments

        return apply

    def invoking(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(resource: str, input_data: Any, token: str, state: Json) -> Any:
            if _task.execution:
                runs_of_tokens[token] = _task.execution
            _task.waits_for_token = True
            return upstream(resource, input_data, token, state)

        return invoke

    replace(stepfunctions, "_execute_task", executing)
    replace(stepfunctions, "_apply_jsonata_arguments", applying)
    replace(stepfunctions, "_apply_parameters", applying)
    replace(stepfunctions, "_invoke_with_callback", invoking)


def _tokens_of_tries() -> None:
    """The token of a Task that is tried again.

    On AWS each try has one of its own, and that of the try before is closed. MiniStack keeps the first.
    """

    def applying(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def apply(state: Json, data: Any, ctx: Json | None = None) -> Any:
            waits = str(state.get("Resource")).endswith(".waitForTaskToken")
            if ctx and waits and ctx["State"]["RetryCount"]:
                ctx["Task"] = {"Token": new_uuid()}
            return upstream(state, data, ctx)

        return apply

    replace(stepfunctions, "_apply_jsonata_arguments", applying)
    replace(stepfunctions, "_apply_parameters", applying)


def _repeated_starts() -> None:
    """StartExecution under the name and with the input of a run that still runs.

    AWS answers with that run. MiniStack answers ExecutionAlreadyExists.
    """

    def make(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def start(data: Json) -> Any:
            machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
            arn = f"{machine or ''}:{data.get('name')}".replace(":stateMachine:", ":execution:")
            there = stepfunctions._executions.get(arn)
            if there and there["status"] == "RUNNING" and there["input"] == data.get("input", "{}"):
                return json_response({"executionArn": arn, "startDate": there["startDate"]})
            return upstream(data)

        return start

    replace(stepfunctions, "_start_execution", make)


def _stopped_runs() -> None:
    """A run that was stopped while it did something.

    On AWS it stays ABORTED, its history ends there, and its task token is closed. In MiniStack its thread goes on: it
    adds events, and may make it a FAILED run; and the token still takes an answer.
    Here the thread ends when it next has something to write down, and a run that has ended cannot fail.
    """

    def adding(upstream: Callable[..., Json]) -> Callable[..., Json]:
        def add(execution: Json, kind: str, details: Json | None = None) -> Json:
            with _ending:
                if is_over(execution) and not kind.startswith("Execution"):
                    raise SystemExit  # ends the thread, without a word
                return upstream(execution, kind, details)

        return add

    def failing(upstream: Callable[..., None]) -> Callable[..., None]:
        def fail(execution: Json, error: str, cause: str) -> None:
            with _ending:
                if not is_over(execution):
                    upstream(execution, error, cause)

        return fail

    def stopping(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def stop(data: Json) -> Any:
            with _ending:
                answer = upstream(data)
                _close_tokens(stepfunctions._executions.get(data.get("executionArn")))
                return answer

        return stop

    replace(stepfunctions, "_add_event", adding)
    replace(stepfunctions, "_fail_execution", failing)
    replace(stepfunctions, "_stop_execution", stopping)


def _close_tokens(execution: Json | None) -> None:
    """Wake what waits for a token of a run that has ended."""
    for token, owner in list(runs_of_tokens.items()):
        if owner is execution and (task := stepfunctions._task_tokens.pop(token, None)):
            task["event"].set()


def _closed_task_tokens() -> None:
    """SendTaskSuccess and its like, for a token that takes no answer any more.

    AWS says TaskTimedOut where the task was answered, timed out, or its run has ended, and InvalidToken to what was
    never a token. MiniStack takes a second answer for a moment, in the place of the first, and then says
    TaskDoesNotExist to all of them.
    """

    def make(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def complete(data: Json) -> Any:
            token = data.get("taskToken")
            with _ending:
                task, execution = stepfunctions._task_tokens.get(token), runs_of_tokens.get(str(token))
                if task and not task["event"].is_set() and not (execution and is_over(execution)):
                    return upstream(data)
            if task or execution:
                message = "Task Timed Out: 'Provided task does not exist anymore'"
                return error_response_json("TaskTimedOut", message, 400)
            return error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)

        return complete

    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        replace(stepfunctions, name, make)


def _reasons_in_status_events() -> None:
    """The status event of a run that was stopped, or that timed out.

    AWS gives error and cause, as DescribeExecution does. MiniStack gives them for a FAILED run only.
    """

    def make(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def put(data: Json, **options: bool) -> Any:
            for entry in data.get("Entries", []) if options.get("allow_aws_source") else []:
                detail = json.loads(entry["Detail"])
                if detail.get("status") in {"ABORTED", "TIMED_OUT"}:
                    execution = stepfunctions._executions[detail["executionArn"]]
                    reasons = {"error": execution.get("error"), "cause": execution.get("cause")}
                    entry["Detail"] = json.dumps(detail | reasons)
            return upstream(data, **options)

        return put

    replace(eventbridge, "_put_events", make)


def _runs_time_out() -> None:
    """TimeoutSeconds of a state machine. AWS ends a run that takes longer as TIMED_OUT; MiniStack lets it go on."""

    def make(upstream: Callable[[str], None]) -> Callable[[str], None]:
        def run(arn: str) -> None:
            execution = stepfunctions._executions[arn]
            machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
            seconds = machine and json.loads(machine["definition"]).get("TimeoutSeconds")
            if not seconds:
                return upstream(arn)
            timer = threading.Timer(seconds, contextvars.copy_context().run, (_time_out, execution))
            timer.daemon = True
            timer.start()
            try:
                upstream(arn)
            finally:
                timer.cancel()

        return run

    replace(stepfunctions, "_run_execution", make)


def _time_out(execution: Json) -> None:
    with _ending:
        if is_over(execution):
            return
        execution.update(status="TIMED_OUT", error="States.Timeout", stopDate=now_iso())
        details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
        stepfunctions._add_event(execution, "ExecutionTimedOut", details)
        _close_tokens(execution)
        stepfunctions._emit_execution_status_event(execution)


def _failed_runs_have_no_output() -> None:
    """`output` of a FAILED run. AWS has none; MiniStack makes one of error and cause."""

    def make(upstream: Callable[..., None]) -> Callable[..., None]:
        def fail(execution: Json, error: str, cause: str) -> None:
            upstream(execution, error, cause)
            if execution["status"] == "FAILED":
                execution["output"] = None

        return fail

    replace(stepfunctions, "_fail_execution", make)


def _task_events() -> None:
    """A Task's events in the history.

    AWS writes TaskScheduled with region, parameters and timeout, then TaskStarted, TaskSubmitted where a token is
    waited for, and TaskSucceeded, TaskFailed or TaskTimedOut; the resource is named by service and action.
    MiniStack knows TaskScheduled, TaskSucceeded and TaskFailed, and names the resource by its ARN.
    """

    def adding(upstream: Callable[..., Json]) -> Callable[..., Json]:
        def add(execution: Json, kind: str, details: Json | None = None) -> Json:
            if not (kind.startswith("Task") and _task.execution is execution and ":::" in _task.state["Resource"]):
                return upstream(execution, kind, details)
            resource = _task.resource
            if kind == "TaskScheduled":
                scheduled = {**resource, "region": get_region(), "parameters": json.dumps(_task.arguments)}
                if "TimeoutSeconds" in _task.state:
                    scheduled["timeoutInSeconds"] = _task.state["TimeoutSeconds"]
                event = upstream(execution, kind, {"taskScheduledEventDetails": scheduled})
                upstream(execution, "TaskStarted", {"taskStartedEventDetails": resource})
                return event
            known = {key: value for part in (details or {}).values() for key, value in part.items()}
            if kind == "TaskFailed" and known["error"] == "States.Timeout":
                kind = "TaskTimedOut"
            name = f"{kind[0].lower()}{kind[1:]}EventDetails"
            return upstream(execution, kind, {name: known | resource} if details else details)

        return add

    def calling(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def call(func_ref: str, event: Any) -> Any:
            result = upstream(func_ref, event)
            if _task.execution and _task.waits_for_token:
                submitted = {"output": json.dumps({"StatusCode": 200, "Payload": result})}
                stepfunctions._add_event(_task.execution, "TaskSubmitted", {"taskSubmittedEventDetails": submitted})
            return result

        return call

    replace(stepfunctions, "_add_event", adding)
    replace(stepfunctions, "_call_lambda", calling)


def _computed_timeouts() -> None:
    """TimeoutSeconds as a JSONata expression, and TimeoutSecondsPath, in a Task.

    AWS evaluates both and requires a positive integer. MiniStack hands the expression to a timer, which fails, and
    does not look at the path.
    """

    def make(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def execute(state: Json, raw_input: Any, execution: Json, ctx: Json) -> Any:
            timeout = state.get("TimeoutSeconds")
            if "TimeoutSecondsPath" in state:
                effective = stepfunctions._apply_input_path(state, raw_input, ctx)
                timeout = stepfunctions._resolve_path_or_ctx(state["TimeoutSecondsPath"], effective, ctx)
            elif isinstance(timeout, str):
                timeout = stepfunctions._apply_jsonata_template(timeout, raw_input, ctx)
            else:
                return upstream(state, raw_input, execution, ctx)
            if not isinstance(timeout, int | float) or timeout != int(timeout) or timeout <= 0:
                raise stepfunctions._ExecutionError(
                    "States.QueryEvaluationError", f"TimeoutSeconds must be a positive integer, not {timeout!r}"
                )
            return upstream({**state, "TimeoutSeconds": int(timeout)}, raw_input, execution, ctx)

        return execute

    replace(stepfunctions, "_execute_task", make)


def _raising_callback_tasks() -> None:
    """A Lambda that raises in a state that waits for a task token.

    AWS fails the state at once. MiniStack swallows the exception and waits until the timeout.
    Here the exception completes the token as SendTaskFailure would, unless the handler has completed it before.
    """
    waiting = threading.local()

    def with_callback(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def invoke(resource: str, input_data: Any, token: str, state: Json) -> Any:
            waiting.token = token
            try:
                return upstream(resource, input_data, token, state)
            finally:
                waiting.token = None

        return invoke

    def call(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def call_lambda(func_ref: str, event: Any) -> Any:
            try:
                return upstream(func_ref, event)
            except stepfunctions._ExecutionError as error:
                task = stepfunctions._task_tokens.get(getattr(waiting, "token", None))
                if task and not task["event"].is_set():
                    task["error"] = {"Error": error.error, "Cause": error.cause}
                    task["event"].set()
                raise

        return call_lambda

    replace(stepfunctions, "_invoke_with_callback", with_callback)
    replace(stepfunctions, "_call_lambda", call)


CORRECTIONS = (
    _current_tasks,
    _tokens_of_tries,
    _repeated_starts,
    _stopped_runs,
    _closed_task_tokens,
    _reasons_in_status_events,
    _runs_time_out,
    _failed_runs_have_no_output,
    _task_events,
    _computed_timeouts,
    _raising_callback_tasks,
)
