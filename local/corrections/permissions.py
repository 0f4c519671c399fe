"""What services do in the name of a role: only where IAM is enforced (`local.cloud.running(enforce_iam=True)`).

MiniStack then asks a role's policies about every call that a function makes over the network. What it does itself for
a function or a machine, by calls within its own process, it asks nobody about.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_actions, iam_evaluator  # type: ignore[import-untyped]
from ministack.core.responses import (  # type: ignore[import-untyped]
    error_response_json,
    get_account_id,
    get_region,
)
from ministack.services import lambda_svc, sqs, stepfunctions  # type: ignore[import-untyped]

from local.corrections.places import Json, replace
from local.corrections.runs import runs_of_tokens

_OF_A_QUEUE = ("sqs:ReceiveMessage", "sqs:GetQueueAttributes")
_OF_A_STREAM = ("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream", "dynamodb:ListStreams")
# As the CDK grants them to a machine that writes a log.
_OF_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)

# The role of the run that the current thread works on.
_run_role: ContextVar[str] = ContextVar("ringback_run_role")
_batch = threading.local()


def may(role_arn: str, action: str, resource: str) -> bool:
    """Whether a role's policies allow this."""
    name = role_arn.rpartition("/")[2]
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/service",
        principal_type="AssumedRole",
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource,
        region=get_region(),
    )
    policies = iam_evaluator._gather_role_policies(name, get_account_id())
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def _refusal(role_arn: str, action: str, resource: str) -> str:
    return (
        f"User: {role_arn} is not authorized to perform: {action} on resource: {resource} because no identity-based "
        f"policy allows the {action} action"
    )


def _secured_transport() -> None:
    """Policies that refuse what is not asked for over TLS, as buckets, queues and topics have them.

    Nobody calls AWS in the clear, and MiniStack is called in no other way: it would refuse everybody. What comes over
    the loopback counts as secured.
    """

    def make(upstream: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
        return lambda source_ip, _secured: upstream(source_ip, True)  # noqa: FBT003

    replace(app, "pin_request_origin", make)


def _logs_of_functions() -> None:
    """What a function logs.

    On AWS it is written with the function's role: without CreateLogStream there is no stream, without PutLogEvents
    nothing in it; and the function knows nothing of it. MiniStack writes it for everybody.
    """

    def make(upstream: Callable[..., None]) -> Callable[..., None]:
        def emit(function: Json, *args: Any, **options: Any) -> None:
            config = function.get("config") or function
            group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
            stream = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:any"
            if all(may(config["Role"], f"logs:{action}", stream) for action in ("CreateLogStream", "PutLogEvents")):
                upstream(function, *args, **options)

        return emit

    replace(lambda_svc, "_emit_lambda_logs", make)


def _tracing_functions() -> None:
    """A function that is to be traced.

    AWS refuses to make or to change one whose role must not write to X-Ray. MiniStack traces nothing and takes it.
    """

    def refused(config: Json) -> Any:
        traced = (config.get("TracingConfig") or {}).get("Mode") == "Active"
        if not traced or may(config.get("Role", ""), "xray:PutTraceSegments", "*"):
            return None
        message = "The provided execution role does not have permissions to call PutTraceSegments on XRAY"
        return error_response_json("InvalidParameterValueException", message, HTTPStatus.BAD_REQUEST)

    def creating(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        return lambda data: refused(data) or upstream(data)

    def updating(upstream: Callable[[str, Json], Any]) -> Callable[[str, Json], Any]:
        def update(name: str, data: Json) -> Any:
            there = (lambda_svc._functions.get(name) or {}).get("config", {})
            return refused({**there, **data}) or upstream(name, data)

        return update

    replace(lambda_svc, "_create_function", creating)
    replace(lambda_svc, "_update_config", updating)


def _event_source_mappings() -> None:
    """What a function is fed from.

    AWS reads queue and stream with the function's role. It refuses a mapping that the role must not read, and reads no
    more once it must not; without DeleteMessage what was dealt with stays on the queue, and comes again. MiniStack
    asks nobody.
    """

    def refused(function: Json | None, source: str) -> Any:
        if function is None or (missing := _missing(function, source)) is None:
            return None
        message = (
            f"The provided execution role does not have permissions to call {missing.partition(':')[2]} on SQS"
            if ":sqs:" in source
            else f"Cannot access stream {source}. Please ensure the role can perform the GetRecords, GetShardIterator, "
            "DescribeStream, and ListStreams Actions on your stream in IAM."
        )
        return error_response_json("InvalidParameterValueException", message, HTTPStatus.BAD_REQUEST)

    def creating(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def create(data: Json) -> Any:
            function = lambda_svc._get_func_record_for_ref(data.get("FunctionName", ""))[0]
            return refused(function, data.get("EventSourceArn", "")) or upstream(data)

        return create

    def iterating(upstream: Callable[[], Iterator[tuple[str, str, Json]]]) -> Callable[[], Iterator[Any]]:
        def mappings() -> Iterator[Any]:
            for account, region, mapping in upstream():
                function = lambda_svc._get_func_record_for_ref(mapping["FunctionArn"])[0]
                if function and _missing(function, mapping["EventSourceArn"]) is None:
                    yield account, region, mapping

        return mappings

    def running(upstream: Callable[..., None]) -> Callable[..., None]:
        def run(mapping: Json, function: Json, *args: Any) -> None:
            _batch.source = (function["config"]["Role"], mapping["EventSourceArn"])
            upstream(mapping, function, *args)

        return run

    def deleting(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def delete(*args: Any) -> Any:
            role, queue = _batch.source
            return upstream(*args) if may(role, "sqs:DeleteMessage", queue) else None

        return delete

    replace(lambda_svc, "_create_esm", creating)
    replace(lambda_svc, "_iter_all_esms", iterating)
    replace(lambda_svc, "_run_sqs_batch", running)
    replace(sqs, "_delete_messages_for_esm", deleting)


def _missing(function: Json, source: str) -> str | None:
    """What a function's role may not do, and would have to, to be fed from here."""
    actions = _OF_A_QUEUE if ":sqs:" in source else _OF_A_STREAM
    return next((action for action in actions if not may(function["config"]["Role"], action, source)), None)


def _destinations() -> None:
    """What a function failed on for good, and where it goes then.

    AWS sends it there with the function's role; without SendMessage it is gone. MiniStack asks nobody.
    """

    def routing(upstream: Callable[..., None]) -> Callable[..., None]:
        def route(target: str, function: str, event: Json, result: Json) -> None:
            config = lambda_svc._functions[function]["config"]
            if may(config["Role"], "sqs:SendMessage", target):
                upstream(target, function, event, result)

        return route

    def sending(upstream: Callable[..., None]) -> Callable[..., None]:
        def send(mapping: Json, function: Json, *args: Any) -> None:
            target = mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
            if target and may(function["config"]["Role"], "sqs:SendMessage", target):
                upstream(mapping, function, *args)

        return send

    replace(lambda_svc, "_route_async_failure", routing)
    replace(lambda_svc, "_send_ddb_stream_failure_record", sending)


def _answers_to_tasks() -> None:
    """SendTaskSuccess and its like.

    On AWS a role needs them on the state machine whose task is answered, and a token that is none is an InvalidToken.
    MiniStack asks for them on everything.
    """

    def machine_of(headers: Json, body: bytes) -> str | None:
        """Whose task is answered; "" if it is a call of this kind with a token that is none."""
        if not headers.get("x-amz-target", "").startswith("AWSStepFunctions.SendTask"):
            return None
        run = runs_of_tokens.get(json.loads(body).get("taskToken"))
        return str(run["stateMachineArn"]) if run else ""

    def naming_action(upstream: Callable[..., str | None]) -> Callable[..., str | None]:
        def extract(service: str, method: str, path: str, headers: Json, body: bytes, *args: Any) -> str | None:
            if machine_of(headers, body) == "":
                return None
            return upstream(service, method, path, headers, body, *args)

        return extract

    def naming_resource(upstream: Callable[..., str]) -> Callable[..., str]:
        def extract(service: str, method: str, path: str, headers: Json, body: bytes, *args: Any) -> str:
            return machine_of(headers, body) or upstream(service, method, path, headers, body, *args)

        return extract

    replace(iam_actions, "extract_iam_action", naming_action)
    replace(iam_actions, "extract_resource_arn", naming_resource)


def _batches() -> None:
    """Calls to SQS about many messages at once, such as ChangeMessageVisibilityBatch.

    On AWS who may do it to one may do it to many: IAM knows no action for that. MiniStack asks for one.
    """

    def make(upstream: Callable[..., str | None]) -> Callable[..., str | None]:
        def extract(service: str, *args: Any, **options: Any) -> str | None:
            action = upstream(service, *args, **options)
            return action.removesuffix("Batch") if action and service == "sqs" else action

        return extract

    replace(iam_actions, "extract_iam_action", make)


def _runs() -> None:
    """What a run calls: a function, a queue, a stored list, its own machine.

    On AWS it has the machine's role for that, and what the role must not do fails the state, by the name of the error
    of the service that refused. MiniStack asks nobody.
    """

    def running(upstream: Callable[[str], None]) -> Callable[[str], None]:
        def run(arn: str) -> None:
            machine = stepfunctions._executions[arn]["stateMachineArn"]
            with _as(stepfunctions._state_machines[machine]["roleArn"]):
                upstream(arn)

        return run

    def calling(upstream: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        def call(reference: str, event: Any) -> Any:
            _function, config, _name = lambda_svc._get_func_record_for_ref(reference)
            if config:
                _require("lambda:InvokeFunction", config["FunctionArn"], error="Lambda.AWSLambdaException")
            return upstream(reference, event)

        return call

    def invoking(upstream: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        def invoke(resource: str, arguments: Any) -> Any:
            if resource.startswith("arn:aws:states:::sqs:sendMessage"):
                name = arguments["QueueUrl"].rpartition("/")[2]
                queue = f"arn:aws:sqs:{get_region()}:{get_account_id()}:{name}"
                _require("sqs:SendMessage", queue, error="SQS.AmazonSQSException")
            return upstream(resource, arguments)

        return invoke

    def reading(upstream: Callable[[str, str], str]) -> Callable[[str, str], str]:
        def read(bucket: str, key: str) -> str:
            _require("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", error="States.ItemReaderFailed")
            return upstream(bucket, key)

        return read

    def mapping(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def run(state: Json, data: Any, effective: Any, iterator: Json, execution: Json, context: Json) -> Any:
            _require("states:StartExecution", execution["stateMachineArn"], error="States.Permissions")
            return upstream(state, data, effective, iterator, execution, context)

        return run

    replace(stepfunctions, "_run_execution", running)
    replace(stepfunctions, "_call_lambda", calling)
    replace(stepfunctions, "_invoke_resource", invoking)
    replace(stepfunctions, "_s3_object_text", reading)
    replace(stepfunctions, "_run_distributed_map", mapping)


@contextmanager
def _as(role_arn: str) -> Iterator[None]:
    token = _run_role.set(role_arn)
    try:
        yield
    finally:
        _run_role.reset(token)


def _require(action: str, resource: str, *, error: str) -> None:
    role = _run_role.get()
    if not may(role, action, resource):
        raise stepfunctions._ExecutionError(error, _refusal(role, action, resource))


def _logs_of_machines() -> None:
    """A state machine that is to write a log.

    AWS refuses to make or to change one whose role must not set up the log's delivery. MiniStack takes it.
    """

    def refused(machine: Json) -> Any:
        destinations = (machine.get("loggingConfiguration") or {}).get("destinations")
        if not destinations or all(may(machine.get("roleArn", ""), action, "*") for action in _OF_LOG_DELIVERY):
            return None
        message = "The state machine IAM Role is not authorized to access the Log Destination"
        return error_response_json("AccessDeniedException", message, HTTPStatus.BAD_REQUEST)

    def creating(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        return lambda data: refused(data) or upstream(data)

    def updating(upstream: Callable[[Json], Any]) -> Callable[[Json], Any]:
        def update(data: Json) -> Any:
            there = stepfunctions._state_machines.get(data.get("stateMachineArn")) or {}
            return refused({**there, **data}) or upstream(data)

        return update

    replace(stepfunctions, "_create_state_machine", creating)
    replace(stepfunctions, "_update_state_machine", updating)


CORRECTIONS = (
    _secured_transport,
    _batches,
    _answers_to_tasks,
    _logs_of_functions,
    _tracing_functions,
    _event_source_mappings,
    _destinations,
    _runs,
    _logs_of_machines,
)
