"""The chat's stack: what it is, who may do what in it, what it has of Ringback, and who is called."""

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from cdk_app.assets import ROOT
from cdk_app.chat.api import ROUTES
from cdk_app.chat.events import STATE_ITEM
from cdk_app.functions import construct_id
from lambdas.adapters.message_bus import SOURCE
from lambdas.chat import settings
from lambdas.chat.adapters import table
from lambdas.chat.adapters.wiring import SHOWING_SECONDS
from lambdas.chat.core.model import Role
from lambdas.chat.routes.openapi import openapi
from lambdas.core import presence
from lambdas.settings import load
from ringback.installation import SENDING_SECONDS
from ringback.publisher import _PAUSES_SECONDS
from tests.infrastructure.synthesis import CHAT_LIMITS, CHATS, Json, Synthesis, synthesize
from tests.infrastructure.test_events import LONGEST
from tests.infrastructure.test_functions import COMMON, LOCAL
from tests.infrastructure.test_grants import TRACES, USE_KEY

pytestmark = pytest.mark.xdist_group("infrastructure")

MODULES = {
    "chat.routes.chat_api",
    "chat.tasks.await_change",
    "chat.tasks.settle_overdue",
    "chat.triggers.publish_events",
    "chat.triggers.notice_presence",
}
MACHINE = "ChatSession/StateMachine"
DEFINITION = (ROOT / "statemachines" / "chat_session.asl.json").read_text("utf-8")
TWO_WEEKS = 14 * 24 * 3600

CONNECTIONS = "Tables/Connections.Arn"
ACCEPT = "Accept/Function.Arn"
READ_AND_WRITE = {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"}
OURS: dict[str, dict[str, set[str]]] = {
    "ChatApi": {"Chats.Arn": READ_AND_WRITE},
    "AwaitChange": {
        "Chats.Arn": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
        MACHINE: {"states:SendTaskSuccess"},
    },
    "SettleOverdue": {"Chats.Arn": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"}},
    "PublishEvents": {
        "Chats.StreamArn": {
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
        },
        "Chats.Arn": {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:DeleteItem"},
        MACHINE: {"states:StartExecution", "states:SendTaskSuccess"},
        "ChatEvents/GivenUp.Arn": {"sqs:SendMessage"},
    },
    "NoticePresence": {
        "Chats.Arn": READ_AND_WRITE,
        "ChatPresence/DeadLetterQueue.Arn": {"sqs:SendMessage"},
    },
}
RINGBACKS: dict[str, dict[str, set[str]]] = {
    "ChatApi": {CONNECTIONS: {"dynamodb:Query"}, ACCEPT: {"lambda:InvokeFunction"}},
    "AwaitChange": {},
    "SettleOverdue": {CONNECTIONS: {"dynamodb:Query"}},
    "PublishEvents": {ACCEPT: {"lambda:InvokeFunction"}},
    "NoticePresence": {CONNECTIONS: {"dynamodb:Query"}, ACCEPT: {"lambda:InvokeFunction"}},
}


def _pairs(grants: dict[str, set[str]], *, of: str = "") -> set[tuple[str, str]]:
    return {(action, of + resource) for resource, actions in grants.items() for action in actions}


def _variables(synthesis: Synthesis, module: str) -> dict[str, str]:
    variables: dict[str, str] = synthesis.functions[module]["Environment"]["Variables"]
    return variables


def _model(module: str) -> type:
    model: type = getattr(settings, construct_id(module))
    return model


# Whether there is one


def test_a_stage_without_a_chat_has_one_stack(dev: Synthesis) -> None:
    manifest = json.loads((dev.directory / "manifest.json").read_text("utf-8"))
    stacks = [name for name, each in manifest["artifacts"].items() if each["type"] == "aws:cloudformation:stack"]
    assert stacks == ["Ringback-dev"]
    assert not [output for output in dev.json["Outputs"].values() if "Export" in output]


def test_ringback_is_the_same_with_a_chat_but_for_what_it_exports(chat: Synthesis, tmp_path: Path) -> None:
    """It gets no resource, no grant and no setting for it: the chat is one application of many."""
    stage_settings = {name: value for name, value in CHATS["chat"][1].items() if name != "chat"}
    alone = synthesize("dev", tmp_path, settings={**stage_settings, "presence_events": True})
    with_chat = Synthesis("Ringback-dev", chat.directory)
    assert with_chat.json["Resources"] == alone.json["Resources"]
    assert with_chat.outputs == alone.outputs


def test_of_ringback_it_has_what_any_backend_could_have(chat: Synthesis) -> None:
    used = set(re.findall(r'"Fn::ImportValue": "[^"]*:(\w+)"', json.dumps(chat.json)))
    exported = {chat.readable({"Fn::ImportValue": f"Ringback-dev:{name}"}) for name in used}
    assert exported == {
        "Ringback-dev/Tables/Connections",
        "Ringback-dev/Tables/Connections.Arn",
        "Ringback-dev/Accept/Function",
        "Ringback-dev/Accept/Function.Arn",
        "Ringback-dev/WaysIn/MessageBus",
    }


# The functions


def test_every_handler_is_a_function_and_every_function_has_a_handler(any_chat: Synthesis) -> None:
    handlers = {
        f"chat.{room}.{file.stem}"
        for room in ("routes", "tasks", "triggers")
        for file in (ROOT / "lambdas" / "chat" / room).glob("*.py")
        if any(isinstance(n, ast.FunctionDef) and n.name == "handler" for n in ast.parse(file.read_text("utf-8")).body)
    }
    assert set(any_chat.functions) == MODULES == handlers


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_function_is_told_exactly_what_its_settings_ask_for_and_can_read_it(
    any_chat: Synthesis, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = _variables(any_chat, module)
    fields = {name.upper() for name in get_type_hints(_model(module))}
    assert set(variables) - COMMON - LOCAL == fields
    assert set(variables) >= COMMON
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    load(_model(module))


def test_settings_arrive(chat_of_everything: Synthesis, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    for module in MODULES:
        for name, value in _variables(chat_of_everything, module).items():
            monkeypatch.setenv(name, value)
        told |= vars(load(_model(module)))
    assert told == {
        **CHAT_LIMITS,
        "role_claim": "cognito:groups",
        "agent_role": "agents",
        "chats_table_name": "Chats",
        "connections_table_name": "Ringback-prod/Tables/Connections",
        "accept_function_name": "Ringback-prod/Accept/Function",
        "chat_session_state_machine_arn": MACHINE,
    }


def test_the_functions_are_the_same_code_as_ringbacks(chat: Synthesis) -> None:
    ringback = Synthesis("Ringback-dev", chat.directory)
    code = {each["Code"]["S3Key"] for stack in (chat, ringback) for each in stack.functions.values()}
    assert len(code) == 1


def test_functions_end_in_time(chat: Synthesis) -> None:
    limits = {module: timedelta(seconds=function["Timeout"]) for module, function in chat.functions.items()}
    assert limits["chat.routes.chat_api"] < timedelta(seconds=29)  # API Gateway gives up
    accept = Synthesis("Ringback-dev", chat.directory).functions["calls.accept"]
    assert accept["Timeout"] < SENDING_SECONDS, "what it has done is heard of"
    connecting = 3
    showing = timedelta(seconds=connecting + SHOWING_SECONDS)
    reading = timedelta(seconds=2 * (1 + 3))  # one call to DynamoDB that fails, and is tried again
    telling = timedelta(seconds=sum(_PAUSES_SECONDS) + (len(_PAUSES_SECONDS) + 1) * (connecting + SENDING_SECONDS))
    assert limits["chat.triggers.publish_events"] > telling + 2 * showing + 2 * reading
    assert limits["chat.triggers.notice_presence"] > showing + 4 * reading
    assert limits["chat.routes.chat_api"] > showing + reading


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_function_may_do_exactly_this(chat: Synthesis, name: str) -> None:
    own = {f"{name}/LogGroup.Arn": {"logs:CreateLogStream", "logs:PutLogEvents"}, "*": TRACES, **OURS[name]}
    assert chat.grants[f"{name}/Role"] == _pairs(own) | _pairs(RINGBACKS[name], of="Ringback-dev/")


@pytest.mark.parametrize("name", sorted(OURS))
def test_keys_add_writing_with_the_own_one_and_reading_with_ringbacks(
    chat: Synthesis, chat_of_everything: Synthesis, name: str
) -> None:
    as_it_comes = {
        (action, resource.replace("Ringback-dev/", "Ringback-prod/"))
        for action, resource in chat.grants[f"{name}/Role"]
    }
    reads = {"Encryption/Key.Arn": {"kms:Decrypt", "kms:DescribeKey"}} if CONNECTIONS in RINGBACKS[name] else {}
    keys = _pairs({"Encryption/Key.Arn": USE_KEY}) | _pairs(reads, of="Ringback-prod/")
    assert chat_of_everything.grants[f"{name}/Role"] == as_it_comes | keys


def test_nobody_else_has_a_role(any_chat: Synthesis) -> None:
    roles = {resource.path.removesuffix("/Role") for resource in any_chat.of_type("AWS::IAM::Role")}
    assert roles == {*OURS, "ChatSession"}
    assert not [role.path for role in any_chat.of_type("AWS::IAM::Role") if role.properties.get("ManagedPolicyArns")]


def test_the_machine_may_call_its_functions(chat: Synthesis) -> None:
    assert {pair for pair in chat.grants["ChatSession/Role"] if pair[1] != "*"} == {
        ("lambda:InvokeFunction", "AwaitChange/Function.Arn"),
        ("lambda:InvokeFunction", "SettleOverdue/Function.Arn"),
    }


# The machine


def test_the_definition_is_the_file_and_every_placeholder_has_a_value(any_chat: Synthesis) -> None:
    machine = any_chat.resources[MACHINE].properties
    assert machine["DefinitionString"] == DEFINITION
    assert machine["StateMachineType"] == "STANDARD"
    assert machine["DefinitionSubstitutions"] == {
        "AwaitChangeFunctionArn": "AwaitChange/Function.Arn",
        "SettleOverdueFunctionArn": "SettleOverdue/Function.Arn",
    }
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == set(machine["DefinitionSubstitutions"])
    assert any_chat.outputs["ChatSessionStateMachineArn"] == MACHINE


def test_the_machine_logs_errors_without_tokens_and_traces(any_chat: Synthesis) -> None:
    machine = any_chat.resources[MACHINE].properties
    assert (machine["LoggingConfiguration"]["Level"], machine["LoggingConfiguration"]["IncludeExecutionData"]) == (
        "ERROR",
        False,
    )
    assert machine["TracingConfiguration"] == {"Enabled": True}


# The table and its stream


def test_the_table_is_read_by_collection_and_forgets(any_chat: Synthesis) -> None:
    (chats,) = any_chat.of_type("AWS::DynamoDB::Table")
    assert chats.properties["KeySchema"] == [
        {"AttributeName": "collection", "KeyType": "HASH"},
        {"AttributeName": "item", "KeyType": "RANGE"},
    ]
    assert chats.properties["TimeToLiveSpecification"] == {"AttributeName": "expiration_date", "Enabled": True}
    assert chats.properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert chats.properties["BillingMode"] == "PAY_PER_REQUEST"
    assert chats.properties["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert "GlobalSecondaryIndexes" not in chats.properties
    assert any_chat.outputs["ChatsTableName"] == chats.path


def test_new_events_of_chats_are_published_in_order_for_as_long_as_they_can_be(any_chat: Synthesis) -> None:
    (source,) = any_chat.of_type("AWS::Lambda::EventSourceMapping")
    properties = dict(source.properties)
    (only,) = properties.pop("FilterCriteria")["Filters"]
    assert json.loads(only["Pattern"]) == {
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"Keys": {"item": {"S": [STATE_ITEM]}}},
    }
    assert STATE_ITEM == table.STATE_ITEM
    age = properties.pop("MaximumRecordAgeInSeconds")
    assert 12 * 3600 <= age <= 22 * 3600  # a record lives for a day, and somebody has to look at it before that
    assert properties.pop("BatchSize") * 3 <= 100  # messages that Ringback takes in one call
    assert properties == {
        "FunctionName": "PublishEvents/Function",
        "EventSourceArn": "Chats.StreamArn",
        "StartingPosition": "TRIM_HORIZON",
        "ParallelizationFactor": 10,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],  # and no MaximumRetryAttempts: as many as that takes
        "DestinationConfig": {"OnFailure": {"Destination": "ChatEvents/GivenUp.Arn"}},
    }


def test_what_was_given_up_on_is_kept(any_chat: Synthesis) -> None:
    queues = any_chat.of_type("AWS::SQS::Queue")
    assert {queue.path for queue in queues} == {"ChatEvents/GivenUp", "ChatPresence/DeadLetterQueue"}
    assert {queue.properties["MessageRetentionPeriod"] for queue in queues} == {TWO_WEEKS}


# Ringback's bus


def test_who_comes_and_goes_in_the_chat_is_told(any_chat: Synthesis) -> None:
    rule = any_chat.resources["ChatPresence/Rule"].properties
    stage = any_chat.stack.removesuffix("-Chat")
    assert rule["EventBusName"] == f"{stage}/WaysIn/MessageBus"
    assert rule["EventPattern"] == {
        "source": [SOURCE],
        "detail-type": [presence.OPENED, presence.CLOSED],
        "detail": {"context": [role.context for role in Role], "contextId": [role.context_id for role in Role]},
    }
    assert rule["Targets"] == [
        {
            "Id": "NoticePresence",
            "Arn": "NoticePresence/Function.Arn",
            "DeadLetterConfig": {"Arn": "ChatPresence/DeadLetterQueue.Arn"},
            "RetryPolicy": LONGEST,
        }
    ]
    permissions = [
        permission.properties
        for permission in any_chat.of_type("AWS::Lambda::Permission")
        if permission.properties["FunctionName"] == "NoticePresence/Function.Arn"
    ]
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": "NoticePresence/Function.Arn",
            "Principal": "events.amazonaws.com",
            "SourceArn": "ChatPresence/Rule.Arn",
        }
    ]
    (again,) = any_chat.of_type("AWS::Lambda::EventInvokeConfig")
    assert again.properties["FunctionName"] == "NoticePresence/Function"
    assert again.properties["DestinationConfig"] == {"OnFailure": {"Destination": "ChatPresence/DeadLetterQueue.Arn"}}


# The API


def _of_the_api(synthesis: Synthesis, kind: str) -> list[Json]:
    return [resource.properties for resource in synthesis.of_type(f"AWS::ApiGatewayV2::{kind}")]


def test_every_route_wants_a_token_and_there_is_none_beside_them(chat: Synthesis) -> None:
    routes = {route["RouteKey"]: route for route in _of_the_api(chat, "Route")}
    assert set(routes) == {f"{method.value} {path}" for path, methods in ROUTES.items() for method in methods}
    described = openapi()["paths"].items()
    assert set(routes) == {f"{method.upper()} {path}" for path, operations in described for method in operations}
    assert {route["AuthorizationType"] for route in routes.values()} == {"JWT"}
    assert {route["AuthorizerId"] for route in routes.values()} == {"Http/Api/Tokens"}
    (authorizer,) = _of_the_api(chat, "Authorizer")
    expected = CHATS["chat"][1]["chat"]
    assert authorizer["JwtConfiguration"] == {"Issuer": expected["issuer"], "Audience": [expected["audience"]]}
    (integration,) = _of_the_api(chat, "Integration")
    assert "ChatApi/Function.Arn" in integration["IntegrationUri"]


def test_pages_may_call_that_may_connect(chat: Synthesis, local_chat: Synthesis) -> None:
    (api,) = _of_the_api(chat, "Api")
    assert api["CorsConfiguration"] == {
        "AllowOrigins": ["https://app.example.com"],
        "AllowMethods": ["GET", "POST"],
        "AllowHeaders": ["authorization", "content-type"],
        "ExposeHeaders": ["location", "retry-after"],
        "MaxAge": 7200,
    }
    (api,) = _of_the_api(local_chat, "Api")
    assert api["CorsConfiguration"]["AllowOrigins"] == ["*"]


def test_pages_find_it(chat: Synthesis, local_chat: Synthesis) -> None:
    assert chat.outputs["ChatApiUrl"] == "https://Http/Api.execute-api.region.AWS::URLSuffix"
    assert local_chat.outputs["ChatApiUrl"] == "http://127.0.0.1:4711/_aws/execute-api/Http/Api"


def test_outputs_are_those_that_others_read(any_chat: Synthesis) -> None:
    assert set(any_chat.outputs) == {"ChatApiUrl", "ChatsTableName", "ChatSessionStateMachineArn"}


# How it is kept


def test_data_outlives_the_stack_with_ringbacks(chat: Synthesis, chat_of_everything: Synthesis) -> None:
    kept = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::KMS::Key")
    for synthesis, policy in ((chat, "Delete"), (chat_of_everything, "Retain")):
        definitions = [each.definition for kind in kept for each in synthesis.of_type(kind)]
        assert {each["DeletionPolicy"] for each in definitions} == {policy}
    for synthesis, protected in ((chat, False), (chat_of_everything, True)):
        (chats,) = synthesis.of_type("AWS::DynamoDB::Table")
        assert chats.properties["DeletionProtectionEnabled"] is protected
        manifest = json.loads((synthesis.directory / "manifest.json").read_text("utf-8"))
        properties = manifest["artifacts"][synthesis.stack]["properties"]
        assert bool(properties.get("terminationProtection")) is protected


def test_everything_is_encrypted_with_a_key_of_the_stacks_own(chat_of_everything: Synthesis) -> None:
    key = "Encryption/Key.Arn"
    (chats,) = chat_of_everything.of_type("AWS::DynamoDB::Table")
    assert chats.properties["SSESpecification"]["KMSMasterKeyId"] == key
    assert {each.properties["KmsMasterKeyId"] for each in chat_of_everything.of_type("AWS::SQS::Queue")} == {key}
    assert {each.properties["KmsKeyId"] for each in chat_of_everything.of_type("AWS::Logs::LogGroup")} == {key}


def test_nobody_waits_long_on_the_own_machine(local_chat: Synthesis) -> None:
    variables = _variables(local_chat, "chat.routes.chat_api")
    assert int(variables["AGENT_AWAY_SECONDS"]) <= 30
    assert int(variables["MAX_WAIT_SECONDS"]) <= 300
