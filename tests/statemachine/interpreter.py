"""moto's Step Functions interpreter: given an engine for JSONata, our handlers and no time to wait, and corrected
where AWS does otherwise.

Every patch names what it replaces as it stands in moto 5.2.5, so a name that has moved fails loudly, and
`test_interpreter.py` fails when a patch has lost its effect.

Where it still does otherwise than AWS stands in docs/fidelity.md, and tests/fidelity fails when that changes. What no
run shows: `TimeoutSeconds` is evaluated three times at each try (on AWS once); here the jitter is none, so its values
are one.
"""

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from jsonata import Jsonata  # type: ignore[import-untyped]
from jsonata.utils import Utils  # type: ignore[import-untyped]
from moto import mock_aws
from moto.core.exceptions import AWSError
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state import state as any_state
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval import states, variable_store
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcome,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
    CallbackOutcomeTimedOut,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import ExecutionDetails
from moto.stepfunctions.parser.asl.eval.states import StateData
from moto.stepfunctions.parser.asl.jsonata import jsonata, validations
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from lambdas.core.model import timestamp
from tests.fakes import FakeClock

_PATIENCE_SECONDS = 30.0  # real ones: how long a run that does nothing is waited for before the test fails

Invoke = Callable[[str, Any], Any]


@dataclass(frozen=True)
class TokenWait:
    """A run that waits on a task token."""

    state: str
    task_token: str
    timeout_seconds: int
    endpoint: CallbackEndpoint


class Interpreter:
    """Runs, and what a test needs to know of them: where they wait, and which have ended."""

    def __init__(self, clock: FakeClock, invoke: Invoke) -> None:
        self._clock = clock
        self._invoke = invoke
        self.waited: list[int] = []  # the seconds that Wait states took, in the order in which they were entered
        self._values: list[str] = []
        self._declaring = threading.Lock()
        self._changed = threading.Condition()
        self._open: dict[str, CallbackEndpoint] = {}
        self._waits: dict[str, TokenWait] = {}
        self._ended: set[str] = set()

    def until_idle(self, execution_arn: str) -> TokenWait | None:
        """What a run waits on, as soon as it does; None if it ends instead."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_idle(execution_arn), _PATIENCE_SECONDS):
                raise TimeoutError(f"the run neither waits nor ends for {_PATIENCE_SECONDS} s; moto's log may say why")
            return None if execution_arn in self._ended else self._waits[execution_arn]

    def time_out(self, execution_arn: str) -> None:
        """Let a run's wait take its full time."""
        with self._changed:
            wait = self._waits.pop(execution_arn)
        self._clock.sleep(wait.timeout_seconds)
        wait.endpoint.interrupt_all()

    def abandon(self, execution_arn: str, error: str = "MessageExpired") -> None:
        """Have a run's wait fail with an error that is not tried again, so that the run ends by the shortest way."""
        with self._changed:
            wait = self._waits.pop(execution_arn)
        wait.endpoint.notify(CallbackOutcomeFailure(wait.task_token, error=error, cause="the test is over"))

    def _is_idle(self, execution_arn: str) -> bool:
        wait = self._waits.get(execution_arn)
        return execution_arn in self._ended or (wait is not None and wait.endpoint.get_outcome() is None)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Patch moto until the test ends."""
        # moto leaves the JSONata engine to whoever runs it.
        patch.setattr(jsonata, "_eval_jsonata", self._evaluate)
        # moto evaluates every expression that yields a string once more, to see that it is one.
        patch.setattr(validations, "_validate_string_output", lambda *values: None)
        # moto writes values into the text of an expression: strings unescaped, and parsing it takes most of the time.
        for module in (states, variable_store):
            patch.setattr(module, "encode_jsonata_variable_declarations", self._declare)
        # moto parses the definition anew for every run, which takes longer than the run.
        patch.setattr(AmazonStateLanguageParser, "parse", staticmethod(_parse))
        # moto would look for the functions in its own Lambda, and run them in Docker.
        patch.setattr(lambda_eval_utils, "_invoke_lambda_function", self._invoke_function)
        # A run starts by the test's clock, and its start is written as AWS writes it.
        patch.setattr(Execution, "get_start_execution_details", _method(self._details_by_the_clock))
        # A state is entered by the test's clock, and that is written as AWS writes it.
        patch.setattr(any_state, "StateData", self._entered)
        # Wait states take their time on the test's clock.
        patch.setattr(WaitFunction, "_wait_interval", _method(self._wait))
        # Retry intervals pass on the test's clock.
        patch.setattr(retrier_decl, "time", SimpleNamespace(sleep=self._clock.sleep))
        # A task's own timeout would run in real time beside its token's.
        patch.setattr(execute_state, "threading", SimpleNamespace(Event=_UnhurriedEvent))
        # A wait for a token ends when the test or a success ends it, not when time does.
        patch.setattr(StateTaskServiceCallback, "_eval_wait_for_task_token", _method(self._wait_for_token))
        # On AWS each try has its own token, and the token of a try that has ended is closed.
        patch.setattr(StateTaskServiceCallback, "_eval_execution", _method(self._with_its_own_token))
        # moto answers a success for a closed token by accepting it, or with a TypeError of its own.
        patch.setattr(StepFunctionsParserBackend, "send_task_success", _method(self._send_task_success))
        # moto is asked again and again whether a run has ended; this tells.
        patch.setattr(BaseExecutionWorkerCommunication, "terminated", _method(self._terminated))

    def _evaluate(self, expression: str) -> Any:
        program = Jsonata(expression)
        program.register_lambda("millis", lambda: round(self._clock.now().timestamp() * 1000))
        program.register_lambda("now", lambda: timestamp(self._clock.now()))
        program.register_lambda("_value", lambda number: _with_nulls(json.loads(self._values[number])))
        program.register_lambda("random", lambda: 1)  # no jitter: every wait is as long as it can be
        return program.evaluate(None)

    def _declare(self, bindings: dict[str, Any]) -> str:
        with self._declaring:  # the items of a Map have a thread each
            first = len(self._values)
            self._values += [json.dumps(value) for value in bindings.values()]
        return "".join(f"{name}:=$_value({number});" for number, name in enumerate(bindings, first))

    def _invoke_function(self, parameters: dict[str, Any], region: str, state_credentials: object) -> dict[str, Any]:
        name = parameters["FunctionName"].rpartition(":")[2]
        try:
            answer = self._invoke(name, json.loads(parameters["Payload"]))
        except Exception as error:  # noqa: BLE001
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": _as_lambda_reports(error)}
        return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": json.loads(json.dumps(answer))}

    def _details_by_the_clock(self, execution: Execution) -> ExecutionDetails:
        return ExecutionDetails(
            arn=execution.exec_arn,
            name=execution.name,
            role_arn=execution.role_arn,
            inpt=execution.input_data,
            start_time=timestamp(self._clock.now()),
        )

    def _entered(self, *, EnteredTime: str, Name: str) -> StateData:  # noqa: N803
        return StateData(EnteredTime=timestamp(self._clock.now()), Name=Name, RetryCount=0)

    def _wait(self, function: WaitFunction, env: Environment, wait_seconds: int) -> None:
        self.waited.append(wait_seconds)
        self._clock.sleep(wait_seconds)

    def _wait_for_token(
        self,
        task: StateTaskServiceCallback,
        env: Environment,
        timeout_seconds: int,
        callback_endpoint: CallbackEndpoint,
        heartbeat_endpoint: object,
    ) -> CallbackOutcome:
        execution_arn = env.states.context_object.context_object_data["Execution"]["Id"]
        wait = TokenWait(task.name, callback_endpoint.callback_id, timeout_seconds, callback_endpoint)
        with self._changed:
            self._waits[execution_arn] = wait
            self._changed.notify_all()
        outcome = callback_endpoint.wait()
        with self._changed:
            self._waits.pop(execution_arn, None)
        return outcome or CallbackOutcomeTimedOut(callback_id=callback_endpoint.callback_id)

    def _with_its_own_token(self, task: StateTaskServiceCallback, env: Environment) -> None:
        if task.resource.condition != ResourceCondition.WaitForTaskToken:
            _eval_execution(task, env)
            return
        token = env.states.context_object.update_task_token()
        self._open[token] = env.callback_pool_manager.add(token)
        try:
            _eval_execution(task, env)
        finally:
            del self._open[token]

    def _send_task_success(self, backend: object, task_token: str, outcome: str) -> None:
        endpoint = self._open.get(task_token)
        if endpoint is None:
            raise _TaskTimedOut("Task Timed Out: 'Provided task does not exist anymore'")
        endpoint.notify(CallbackOutcomeSuccess(callback_id=task_token, output=outcome))

    def _terminated(self, communication: BaseExecutionWorkerCommunication) -> None:
        _terminated(communication)
        with self._changed:
            self._ended.add(communication.execution.exec_arn)
            self._changed.notify_all()


@contextmanager
def cloud(patch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A cloud of one's own that executes state machines, and a patch that ends with it."""
    # A new session would read the services' models from disk for every test.
    config: Any = {"core": {"reset_boto3_session": False}, "stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config), patch.context() as inner:
        yield inner


class _TaskTimedOut(AWSError):
    TYPE = "TaskTimedOut"
    STATUS = 400


class _UnhurriedEvent(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        return super().wait()


_parse = cache(AmazonStateLanguageParser.parse)
_terminated = BaseExecutionWorkerCommunication.terminated
_eval_execution = StateTaskServiceCallback._eval_execution


def _with_nulls(value: Any) -> Any:
    """A value as the engine wants it: to it, None is what JSONata calls undefined."""
    match value:
        case None:
            return Utils.NULL_VALUE
        case dict():
            return {name: _with_nulls(item) for name, item in value.items()}
        case list():
            return [_with_nulls(item) for item in value]
        case _:
            return value


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    # A bound method that becomes a class attribute is not handed the instance; a function is.
    return lambda instance, *values, **named: function(instance, *values, **named)


def _as_lambda_reports(error: Exception) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": str(uuid4()),
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
