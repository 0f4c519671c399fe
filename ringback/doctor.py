"""Looks an installation over, and says of everything that is wrong what to do about it.

Every look is harmless: nothing is sent, received, started or stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.parsers import ResponseParserError

from ringback import aws
from ringback.dead_letters import Queue, open_queue
from ringback.errors import AccessDenied, NotAuthenticated, NotInstalled, RingbackError
from ringback.installation import OUTPUTS, Clients, Installation, read_outputs
from ringback.names import run_arn

Level = Literal["ok", "warning", "problem"]

_NOBODY = "ringback-doctor"  # no message, user or connection is called so
_LOOKS_AT_ONCE = 8
_MAKE_ANEW = "`make down`, then `make up`"  # what the local stack lacks, no deployment puts back


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has shown. ``what_to_do`` is there unless all is well."""

    check: str
    level: Level
    what: str
    what_to_do: str | None = None


Look = Callable[[Installation], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the stack made: how to ask for it, and what its answer has to be.

    ``ask`` gets the installation and the output's value, and answers its state; ``healthy`` is what that has to be.
    """

    output: str
    kind: str
    ask: Callable[[Installation, str], Any]
    healthy: str | None = None
    absent: tuple[str, ...] = ()


def _queue(installation: Installation, url: str) -> Any:
    return installation.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])


def _table(installation: Installation, name: str) -> Any:
    return installation.clients.dynamodb.describe_table(TableName=name)["Table"]["TableStatus"]


def _machine(installation: Installation, arn: str) -> Any:
    return installation.clients.stepfunctions.describe_state_machine(stateMachineArn=arn)["status"]


def _function(installation: Installation, name: str) -> Any:
    return installation.clients.functions.get_function_configuration(FunctionName=name).get("State", "Active")


def _topic(installation: Installation, arn: str) -> Any:
    return installation.clients.other("sns").get_topic_attributes(TopicArn=arn)


def _bus(installation: Installation, name: str) -> Any:
    return installation.clients.other("events").describe_event_bus(Name=name)


def _bucket(installation: Installation, name: str) -> Any:
    return installation.clients.other("s3").head_bucket(Bucket=name)


_NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_NO_TABLE = ("ResourceNotFoundException",)
_NO_MACHINE = ("StateMachineDoesNotExist",)
_NO_FUNCTION = ("ResourceNotFoundException",)

PARTS = (
    Part("DeadLetterQueueUrl", "queue", _queue, absent=_NO_QUEUE),
    Part("IngestQueueUrl", "queue", _queue, absent=_NO_QUEUE),
    Part("IngestDeadLetterQueueUrl", "queue", _queue, absent=_NO_QUEUE),
    Part("ConnectionsTableName", "table", _table, "ACTIVE", _NO_TABLE),
    Part("CallbacksTableName", "table", _table, "ACTIVE", _NO_TABLE),
    Part("SequencesTableName", "table", _table, "ACTIVE", _NO_TABLE),
    Part("DeliveryStateMachineArn", "state machine", _machine, "ACTIVE", _NO_MACHINE),
    Part("FanOutStateMachineArn", "state machine", _machine, "ACTIVE", _NO_MACHINE),
    Part("AcceptFunctionName", "function", _function, "Active", _NO_FUNCTION),
    Part("PostOnceFunctionName", "function", _function, "Active", _NO_FUNCTION),
    Part("DisconnectFunctionName", "function", _function, "Active", _NO_FUNCTION),
    Part("MessageTopicArn", "topic", _topic, absent=("NotFound", "NotFoundException")),
    Part("MessageBusName", "event bus", _bus, absent=("ResourceNotFoundException",)),
    Part("AudienceBucketName", "bucket", _bucket, absent=("404", "NoSuchBucket")),
)
"""What has to be there."""


@dataclass(frozen=True, slots=True)
class Permission:
    """One call that this package makes for its caller, tried on something that does not exist.

    ``harmless`` are the answers that say: you may, but there is nothing.
    """

    action: str
    purpose: str
    output: str
    service: str
    attempt: Callable[[Installation, str], Any]
    harmless: tuple[str, ...] = ()


def _invoke(installation: Installation, name: str) -> Any:
    return installation.clients.functions.invoke(FunctionName=name, InvocationType="DryRun")


def _describe(installation: Installation, arn: str) -> Any:
    return installation.clients.stepfunctions.describe_execution(executionArn=run_arn(arn, _NOBODY))


def _history(installation: Installation, arn: str) -> Any:
    return installation.clients.stepfunctions.get_execution_history(executionArn=run_arn(arn, _NOBODY))


def _stop(installation: Installation, arn: str) -> Any:
    return installation.clients.stepfunctions.stop_execution(executionArn=run_arn(arn, _NOBODY))


def _query(installation: Installation, name: str) -> Any:
    return installation.clients.dynamodb.query(
        TableName=name,
        KeyConditionExpression="caller_id = :user",
        ExpressionAttributeValues={":user": {"S": f"user#{_NOBODY}"}},
        Limit=1,
    )


_NO_RUN = ("ExecutionDoesNotExist",)

PERMISSIONS = (
    Permission("lambda:InvokeFunction", "send", "AcceptFunctionName", "lambda", _invoke),
    Permission("states:DescribeExecution", "status", "DeliveryStateMachineArn", "stepfunctions", _describe, _NO_RUN),
    Permission("states:GetExecutionHistory", "status", "DeliveryStateMachineArn", "stepfunctions", _history, _NO_RUN),
    Permission("states:StopExecution", "cancel", "DeliveryStateMachineArn", "stepfunctions", _stop, _NO_RUN),
    Permission("dynamodb:Query", "connections", "ConnectionsTableName", "dynamodb", _query),
)
"""What the caller has to be allowed. Receiving and redriving cannot be tried without touching a letter."""


def diagnose(
    open_installation: Callable[[], Installation], *, stack_elsewhere: "Elsewhere | None" = None
) -> Iterator[Finding]:
    """Look at everything, from the caller to the dead letters; ends early where the rest could not be asked.

    ``stack_elsewhere`` looks for the stack in other regions, if it is not in this one.
    """
    try:
        installation = open_installation()
    except NotAuthenticated as error:
        yield Finding("credentials", "problem", str(error), "`aws sts get-caller-identity` has to answer")
        return
    except AccessDenied as error:
        yield _denied("stack", error)
        return
    except NotInstalled as error:
        elsewhere = stack_elsewhere() if stack_elsewhere else []
        if elsewhere:
            regions = " or ".join(elsewhere)
            yield Finding("region", "problem", f"{error}; there is one in {regions}", f"give --region {elsewhere[0]}")
        else:
            what_to_do = "deploy it, or say where it is: --stack, --region, --profile, --local"
            yield Finding("stack", "problem", str(error), what_to_do)
        return
    except RingbackError as error:
        yield Finding("stack", "problem", str(error), "check the network between here and AWS")
        return
    credentials = list(_credentials(installation))
    yield from credentials
    if any(finding.level == "problem" for finding in credentials):
        return
    for look in LOOKS:
        try:
            yield from look(installation)
        except RingbackError as error:
            yield _failed(look.__name__.removeprefix("_").replace("_", " "), error)


Elsewhere = Callable[[], list[str]]


def find_stack_elsewhere(clients: Clients, stack_name: str) -> list[str]:
    """The other regions of the account in which a stack of this name stands."""

    def has_it(region: str) -> bool:
        with suppress(RingbackError):
            read_outputs(clients.in_region(region), stack_name)
            return True
        return False

    try:
        here = clients.region
        regions = [one for one in clients.session.get_available_regions("cloudformation") if one != here]
    except (RingbackError, NoRegionError):
        regions = clients.session.get_available_regions("cloudformation")
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        return [region for region, found in zip(regions, pool.map(has_it, regions), strict=True) if found]


def _credentials(installation: Installation) -> Iterator[Finding]:
    try:
        with aws.translated("sts"):
            identity = installation.clients.other("sts").get_caller_identity()
    except NotAuthenticated as error:
        yield Finding("credentials", "problem", str(error), "`aws sts get-caller-identity` has to answer")
    except RingbackError as error:
        yield _failed("credentials", error)
    else:
        yield Finding("credentials", "ok", f"you are {identity['Arn']}")


def _region(installation: Installation) -> Iterator[Finding]:
    """What the outputs name must be in the region that is asked."""
    here = installation.clients.region
    elsewhere = {
        name: region
        for name, value in installation.outputs.items()
        if (region := _region_in(value)) not in {None, here}
    }
    for name, region in elsewhere.items():
        yield Finding("region", "problem", f"{name} is in {region}, but {here} is asked", f"give --region {region}")
    if not elsewhere:
        yield Finding("region", "ok", f"{installation.where}: everything is in {here}")


def _outputs(installation: Installation) -> Iterator[Finding]:
    missing = [name for name in OUTPUTS if name not in installation.outputs]
    if missing:
        yield Finding(
            "stack",
            "problem",
            f"has no output {', '.join(missing)}",
            _MAKE_ANEW if installation.clients.is_local else "deploy it from the version that you have installed",
        )
    else:
        yield Finding("stack", "ok", f"has all {len(OUTPUTS)} outputs")


def _parts(installation: Installation) -> Iterator[Finding]:
    named = [part for part in PARTS if part.output in installation.outputs]
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        yield from pool.map(lambda part: _part(part, installation, installation.outputs[part.output]), named)


def _part(part: Part, installation: Installation, value: str) -> Finding:
    try:
        with aws.translated(_service_of(part)):
            try:
                state = part.ask(installation, value)
            except ClientError as error:
                if aws.code(error) not in part.absent:
                    raise
                what = f"the {part.kind} {value} ({part.output}) is not there"
                deploy = "deploy the stack again; if CloudFormation sees no change, under another name"
                what_to_do = _MAKE_ANEW if installation.clients.is_local else deploy
                return Finding(part.kind, "problem", what, f"somebody deleted it: {what_to_do}")
    except RingbackError as error:
        return _failed(part.kind, error)
    if part.healthy and state != part.healthy:
        what_to_do = "wait until it is; the CloudFormation console says what the last deployment did"
        return Finding(part.kind, "problem", f"the {part.kind} {value} is {state}, not {part.healthy}", what_to_do)
    return Finding(part.kind, "ok", f"{part.output} is there")


def _triggers(installation: Installation) -> Iterator[Finding]:
    """The functions that a queue and a stream call must be switched on."""
    clients = installation.clients
    sources: list[tuple[str, str, str]] = []
    with suppress(RingbackError, KeyError), aws.translated("sqs"):  # that it is not there was said before
        url = installation.outputs["IngestQueueUrl"]
        queue = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        sources.append(("the ingest queue", "messages by topic and bus are not taken", queue["QueueArn"]))
    with suppress(RingbackError, KeyError), aws.translated("dynamodb"):
        name = installation.outputs["ConnectionsTableName"]
        table = clients.dynamodb.describe_table(TableName=name)["Table"]
        sources.append(("the connections table's stream", "a reconnect wakes nobody", table["LatestStreamArn"]))
    for source, consequence, arn in sources:
        with aws.translated("lambda"):
            mappings = clients.functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
        states = [mapping.get("State", "Enabled") for mapping in mappings]
        if "Enabled" in states:
            yield Finding("trigger", "ok", f"{source} calls its function")
        elif states:
            what_to_do = (
                "enable it: `aws lambda update-event-source-mapping --enabled --uuid " + mappings[0]["UUID"] + "`"
            )
            yield Finding("trigger", "problem", f"{source} is {states[0].lower()}: {consequence}", what_to_do)
        else:
            what_to_do = _MAKE_ANEW if clients.is_local else "deploy the stack again"
            yield Finding("trigger", "problem", f"{source} calls no function: {consequence}", what_to_do)


def _permissions(installation: Installation) -> Iterator[Finding]:
    for permission in PERMISSIONS:
        if permission.output not in installation.outputs:
            continue
        try:
            with aws.translated(permission.service):
                try:
                    permission.attempt(installation, installation.outputs[permission.output])
                except ClientError as error:
                    if aws.code(error) not in permission.harmless:
                        raise
        except AccessDenied as error:
            yield _denied("permission", error, f"`ringback {permission.purpose}` needs it")
        except NotInstalled:
            continue  # that it is not there was said before
        except RingbackError as error:
            yield _failed("permission", error)
        else:
            yield Finding("permission", "ok", f"you may {permission.action} ({permission.purpose})")


def _management_endpoint(installation: Installation) -> Iterator[Finding]:
    """Any answer of the API will do: it is there, and what it lets this caller do is not the question."""
    endpoint = installation.outputs.get("ManagementEndpoint")
    if endpoint is None:
        return
    check = "management endpoint"
    what_to_do = (
        "posts to clients go there: check that the WebSocket API and its stage exist, and that DNS, the network and, "
        "in a VPC, the execute-api endpoint lead to it"
    )
    try:
        installation.clients.management_api(endpoint).get_connection(ConnectionId=_NOBODY)
    except ClientError as error:
        if aws.http_status(error) >= 500 or not aws.http_status(error):
            what = f"{endpoint} answers {aws.http_status(error)}"
            yield Finding(check, "problem", what, what_to_do)
            return
    except (BotoCoreError, ResponseParserError, ValueError) as error:
        yield Finding(check, "problem", f"{endpoint} cannot be reached ({type(error).__name__})", what_to_do)
        return
    yield Finding(check, "ok", f"{endpoint} answers")


def _dead_letters(installation: Installation) -> Iterator[Finding]:
    queues: Sequence[tuple[Queue, str]] = (("delivery", ""), ("ingest", " --queue ingest"))
    for queue, option in queues:
        try:
            depth = open_queue(installation, queue).depth()
        except (NotInstalled, AccessDenied):
            continue  # that was said before
        count = depth.visible + depth.hidden
        if count:
            what = f"about {count} dead {'letter waits' if count == 1 else 'letters wait'} on the {queue} queue"
            yield Finding("dead letters", "warning", what, f"`ringback dead-letters list{option}` says why")
        else:
            yield Finding("dead letters", "ok", f"none on the {queue} queue")


LOOKS: tuple[Look, ...] = (_region, _outputs, _parts, _triggers, _permissions, _management_endpoint, _dead_letters)


def _denied(check: str, error: AccessDenied, why: str = "the rest cannot be checked without it") -> Finding:
    on = f" on {error.resource}" if error.resource else ""
    return Finding(
        check,
        "problem",
        f"you may not {error.action}{on}",
        f"allow {error.action} to the role or user that calls: {why}",
    )


def _failed(check: str, error: RingbackError) -> Finding:
    if isinstance(error, AccessDenied):
        return _denied(check, error, "the doctor needs it to look")
    return Finding(check, "problem", str(error), "try again; if it stays so, look at the service's own status")


def _service_of(part: Part) -> str:
    return {
        "queue": "sqs",
        "table": "dynamodb",
        "state machine": "stepfunctions",
        "function": "lambda",
        "topic": "sns",
        "event bus": "events",
        "bucket": "s3",
    }[part.kind]


def _region_in(value: str) -> str | None:
    """The region that an ARN or an AWS address names."""
    if value.startswith("arn:"):
        return value.split(":")[3] or None
    host = value.partition("://")[2].partition("/")[0].split(".")
    if "amazonaws" in host:
        # sqs.REGION.amazonaws.com, API.execute-api.REGION.amazonaws.com
        return host[host.index("amazonaws") - 1]
    return None
