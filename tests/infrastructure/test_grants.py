"""Who may do what. The table is the whole of it: a grant that is not in it fails."""

import pytest

from tests.infrastructure.synthesis import SECRET_ARN, Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")

CONNECTIONS = "Tables/Connections.Arn"
STREAM = "Tables/Connections.StreamArn"
CALLBACKS = "Tables/Callbacks.Arn"
MACHINE = "Delivery/StateMachine"
RUNS = "arn:aws:states:region:account:execution:Delivery/StateMachine.Name:*"
POST = "arn:aws:execute-api:region:account:WebSocket/Api/v1/POST/@connections/*"
DELETE = "arn:aws:execute-api:region:account:WebSocket/Api/v1/DELETE/@connections/*"
INGEST_QUEUE = "WaysIn/IngestQueue.Arn"
INGEST_DEAD_LETTER_QUEUE = "WaysIn/IngestDeadLetterQueue.Arn"
KEY = "Encryption/Key.Arn"

NUMBERING: dict[str, set[str]] = {
    "Tables/Sequences.Arn": {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}
}
INTAKE: dict[str, set[str]] = {
    CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
    **NUMBERING,
    POST: {"execute-api:ManageConnections"},
    DELETE: {"execute-api:ManageConnections"},
    MACHINE: {"states:StartExecution"},
    RUNS: {"states:DescribeExecution"},
}

GRANTS: dict[str, dict[str, set[str]]] = {
    "Authorizer": {},
    "Connect": {
        CONNECTIONS: {"dynamodb:PutItem", "dynamodb:Query", "dynamodb:DeleteItem"},
        POST: {"execute-api:ManageConnections"},
        DELETE: {"execute-api:ManageConnections"},
    },
    "Disconnect": {CONNECTIONS: {"dynamodb:DeleteItem"}},
    "Acknowledge": {
        CONNECTIONS: {"dynamodb:UpdateItem"},
        CALLBACKS: {"dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
        MACHINE: {"states:SendTaskSuccess"},
    },
    "ResolveConnections": {
        **NUMBERING,
        CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
        DELETE: {"execute-api:ManageConnections"},
    },
    "PostToConnections": {
        **NUMBERING,
        CONNECTIONS: {"dynamodb:DeleteItem"},
        POST: {"execute-api:ManageConnections"},
        DELETE: {"execute-api:ManageConnections"},
    },
    "PostAndAwaitAcknowledgement": {
        **NUMBERING,
        CONNECTIONS: {"dynamodb:DeleteItem"},
        CALLBACKS: {"dynamodb:PutItem", "dynamodb:DeleteItem"},
        POST: {"execute-api:ManageConnections"},
        DELETE: {"execute-api:ManageConnections"},
    },
    "WaitForReconnect": {
        **NUMBERING,
        CONNECTIONS: {"dynamodb:Query", "dynamodb:UpdateItem"},
        CALLBACKS: {"dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:DeleteItem"},
        MACHINE: {"states:SendTaskSuccess"},
    },
    "Wake": {
        STREAM: {
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        },
        CALLBACKS: {"dynamodb:Query", "dynamodb:DeleteItem"},
        MACHINE: {"states:SendTaskSuccess"},
    },
    "Ingest": {
        INGEST_QUEUE: {
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        },
        INGEST_DEAD_LETTER_QUEUE: {"sqs:SendMessage"},
        **INTAKE,
    },
    "Accept": INTAKE,
    "PostOnce": {POST: {"execute-api:ManageConnections"}},
}
GRANTS["HttpApi"] = {
    CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
    "Tables/Sequences.Arn": {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
    POST: {"execute-api:ManageConnections"},
    DELETE: {"execute-api:ManageConnections"},
    MACHINE: {"states:StartExecution"},
    RUNS: {"states:DescribeExecution", "states:GetExecutionHistory", "states:StopExecution"},
    "FanOut/StateMachine": {"states:StartExecution"},
    "arn:aws:states:region:account:execution:FanOut/StateMachine.Name:*": {"states:DescribeExecution"},
}
GRANTS["Ended"] = {
    **INTAKE,
    "Delivery/DeadLetterQueue.Arn": {"sqs:SendMessage"},
    "Endings/DeadLetterQueue.Arn": {"sqs:SendMessage"},
}
# What the settings of the stage `everything` add.
FURTHER: dict[str, dict[str, set[str]]] = {
    "Authorizer": {SECRET_ARN: {"secretsmanager:GetSecretValue"}},
    "PostOnce": {
        "arn:aws:execute-api:region:account:other17/live/POST/@connections/*": {"execute-api:ManageConnections"}
    },
}
# The fan-out's
INDEX = f"{CONNECTIONS}/index/ByConversation"
GRANTS["PlanFanOut"] = {INDEX: {"dynamodb:Query"}}
GRANTS["PostToAudience"] = {
    CONNECTIONS: {"dynamodb:Query", "dynamodb:DeleteItem"},
    INDEX: {"dynamodb:Query"},
    POST: {"execute-api:ManageConnections"},
    DELETE: {"execute-api:ManageConnections"},
}
GRANTS["HandOverToDeliveries"] = {
    CONNECTIONS: {"dynamodb:Query"},
    INDEX: {"dynamodb:Query"},
    MACHINE: {"states:StartExecution"},
    RUNS: {"states:DescribeExecution"},
}
# Where the stage has presence events
OPTIONAL: dict[str, dict[str, set[str]]] = {
    "Presence": {STREAM: GRANTS["Wake"][STREAM], "WaysIn/MessageBus.Arn": {"events:PutEvents"}}
}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
USE_KEY = {
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}


def _pairs(grants: dict[str, set[str]]) -> set[tuple[str, str]]:
    return {(action, resource) for resource, actions in grants.items() for action in actions}


def _own_log_and_traces(name: str) -> dict[str, set[str]]:
    return {f"{name}/LogGroup.Arn": {"logs:CreateLogStream", "logs:PutLogEvents"}, "*": TRACES}


@pytest.mark.parametrize("name", sorted(GRANTS))
def test_a_function_may_do_exactly_this(dev: Synthesis, name: str) -> None:
    assert dev.grants[f"{name}/Role"] == _pairs({**_own_log_and_traces(name), **GRANTS[name]})


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_a_function_of_some_stages_may_do_exactly_this(local: Synthesis, name: str) -> None:
    assert local.grants[f"{name}/Role"] == _pairs({**_own_log_and_traces(name), **OPTIONAL[name]})


@pytest.mark.parametrize("name", sorted({*GRANTS, *OPTIONAL}))
def test_a_key_of_its_own_adds_the_key_a_secret_the_secret_and_an_endpoint_the_endpoint(
    everything: Synthesis, name: str
) -> None:
    more = FURTHER.get(name, {KEY: USE_KEY})
    grants = {**GRANTS, **OPTIONAL}[name]
    assert everything.grants[f"{name}/Role"] == _pairs({**_own_log_and_traces(name), **grants, **more})


def test_the_delivery_machine_may_call_its_functions_and_fill_its_dead_letter_queue(dev: Synthesis) -> None:
    tasks = ("ResolveConnections", "PostToConnections", "PostAndAwaitAcknowledgement", "WaitForReconnect")
    exact = {pair for pair in dev.grants["Delivery/Role"] if pair[1] != "*"}
    assert exact == {
        *(("lambda:InvokeFunction", f"{task}/Function.Arn") for task in tasks),
        ("sqs:SendMessage", "Delivery/DeadLetterQueue.Arn"),
    }


def test_the_fan_out_machine_may_call_its_functions_read_lists_and_start_its_own_for_a_stored_one(
    dev: Synthesis,
) -> None:
    runs = "arn:aws:states:region:account:execution:FanOut/StateMachine.Name"
    tasks = ("PlanFanOut", "PostToAudience", "HandOverToDeliveries")
    assert {pair for pair in dev.grants["FanOut/Role"] if pair[1] != "*"} == {
        *(("lambda:InvokeFunction", f"{task}/Function.Arn") for task in tasks),
        ("s3:GetObject", "FanOut/Audiences.Arn/*"),
        ("states:StartExecution", "FanOut/StateMachine"),
        ("states:DescribeExecution", f"{runs}:*"),
        ("states:StopExecution", f"{runs}:*"),
        ("states:RedriveExecution", f"{runs}/StoredList:*"),
    }


def test_stars_stand_only_where_a_service_knows_no_resources(any_stage: Synthesis) -> None:
    stars = {action for pairs in any_stage.grants.values() for action, resource in pairs if resource == "*"}
    assert stars == {
        *TRACES,
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    }


def test_no_action_has_a_star(any_stage: Synthesis) -> None:
    assert not [action for pairs in any_stage.grants.values() for action, _resource in pairs if "*" in action]


def test_every_role_is_in_the_table(any_stage: Synthesis) -> None:
    roles = {resource.path.removesuffix("/Role") for resource in any_stage.of_type("AWS::IAM::Role")}
    assert roles - {"WebSocket/LogRole", *OPTIONAL} == {*GRANTS, "Delivery", "FanOut"}


def test_managed_policies_are_for_api_gateways_logs_only(any_stage: Synthesis) -> None:
    managed = [r.path for r in any_stage.of_type("AWS::IAM::Role") if r.properties.get("ManagedPolicyArns")]
    assert managed in ([], ["WebSocket/LogRole/Role"])
