"""A synthesized stack, in words: a resource goes by the path of its construct, never by its logical id."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aws_cdk import App
from aws_cdk.assertions import Template

from cdk_app.app import make_app
from cdk_app.assets import ROOT
from cdk_app.settings import CHAT_EXAMPLE, EXAMPLE

Json = dict[str, Any]

CONTEXT: Json = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
TOKEN: Json = json.loads(EXAMPLE.read_text("utf-8"))["token"]
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ringback-AbCdEf"
SECRET_TOKEN: Json = {"secret_arn": SECRET_ARN, "issuer": "https://id.example.com", "audience": "x"} | {
    "algorithms": ["HS256"]
}
ALARM_TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:Operators"
OTHER_ENDPOINT = "https://other17.execute-api.eu-central-1.amazonaws.com/live"
CHAT_LIMITS: Json = {
    "max_wait_seconds": 1,
    "idle_seconds": 2,
    "agent_away_seconds": 3,
    "rating_seconds": 4,
    "messages_per_minute": 7,
    "retention_days": 5,
    "message_ttl_seconds": 6,
}
# By the name of the fixture: the stage, and the settings on top of cdk.json's.
STAGES: dict[str, tuple[str, Json]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "local": (
        "local",
        {"local_endpoint_url": "http://127.0.0.1:4711", "token": {**TOKEN, "contexts_claim": "contexts"}},
    ),
    "everything": (
        "prod",
        {
            "token": {
                **SECRET_TOKEN,
                "cookie_name": "session",
                "required_scope": "chat",
                "contexts_claim": "contexts",
                "attribute_claims": ["plan", "https://id.example.com/team"],
            },
            "allowed_origins": ["https://app.example.com", "https://admin.example.com"],
            "allowed_networks": ["10.0.0.0/8", "2001:db8::/32"],
            "generate_context_id": True,
            "allowed_endpoints": [OTHER_ENDPOINT],
            "http_api": {"authorization": "jwt", "issuer": "https://id.example.com", "audience": "backends"},
            "encryption": "customer_managed",
            "presence_events": True,
            "ingest_max_concurrency": 7,
            "create_api_gateway_log_role": False,
            "alarm_topic_arn": ALARM_TOPIC_ARN,
            "oldest_wait_alarm_seconds": None,
        },
    ),
}
# Stages with a chat, by the name of the fixture for its stack. The local stage above has one as well.
CHAT: Json = json.loads(CHAT_EXAMPLE.read_text("utf-8"))
CHATS: dict[str, tuple[str, Json]] = {
    "chat": ("dev", CHAT),
    "chat_of_everything": ("prod", {**STAGES["everything"][1], "chat": {**CHAT["chat"], **CHAT_LIMITS}}),
}
_PATHS = {"aws:cdk:enable-path-metadata": True}
_NO_BUNDLING: Json = {"aws:cdk:bundling-stacks": []}
_PSEUDO_PARAMETERS = {"AWS::Partition": "aws", "AWS::Region": "region", "AWS::AccountId": "account"}


def make(name: str, directory: Path, *, bundling: bool = False, settings: Json | None = None) -> App:
    """The app, as the CDK command would start it for one of the stages above; with further settings."""
    stage, stage_settings = {**STAGES, **CHATS}[name]
    context = {
        **CONTEXT,
        **_PATHS,
        **({} if bundling else _NO_BUNDLING),
        "stage": stage,
        "settings": json.dumps({"token": TOKEN, **stage_settings, **(settings or {})}),
    }
    return make_app(context=context, outdir=str(directory))


def synthesize(name: str, directory: Path, *, bundling: bool = False, settings: Json | None = None) -> Synthesis:
    """Synthesize one of the stages above; fails on any finding of cdk-nag."""
    make(name, directory, bundling=bundling, settings=settings).synth()
    return Synthesis(f"Ringback-{STAGES[name][0]}", directory)


def synthesize_chat(name: str, directory: Path) -> Synthesis:
    """The same of a stage with a chat; answers the chat's stack."""
    make(name, directory).synth()
    return Synthesis(f"Ringback-{CHATS[name][0]}-Chat", directory)


@dataclass(frozen=True)
class Resource:
    """One resource of the template."""

    path: str
    type: str
    properties: Json = field(repr=False)
    definition: Json = field(repr=False)


@dataclass(frozen=True)
class Synthesis:
    """What came out."""

    stack: str
    directory: Path

    @cached_property
    def template_path(self) -> Path:
        return self.directory / f"{self.stack}.template.json"

    @cached_property
    def json(self) -> Json:
        result: Json = json.loads(self.template_path.read_text("utf-8"))
        return result

    @cached_property
    def template(self) -> Template:
        return Template.from_json(self.json)

    @cached_property
    def resources(self) -> dict[str, Resource]:
        """By path below the stack."""
        return {
            self.paths[logical_id]: Resource(
                self.paths[logical_id], definition["Type"], self.readable(definition.get("Properties", {})), definition
            )
            for logical_id, definition in self.json["Resources"].items()
        }

    def of_type(self, type_name: str) -> list[Resource]:
        return [resource for resource in self.resources.values() if resource.type == type_name]

    @cached_property
    def functions(self) -> dict[str, Json]:
        """Properties of the functions, by the name of their module below `lambdas`."""
        return {
            re.sub(r"^lambdas\.(.*)\.handler$", r"\1", function.properties["Handler"]): function.properties
            for function in self.of_type("AWS::Lambda::Function")
        }

    @cached_property
    def outputs(self) -> dict[str, str]:
        """But for those that are exported: other stacks of the app read them."""
        outputs = self.json["Outputs"].items()
        return {name: self.readable(output["Value"]) for name, output in outputs if "Export" not in output}

    @cached_property
    def _exports(self) -> dict[str, str]:
        """What the stage's other stack exports, by the name of the export: `Ringback-dev/Accept/Function.Arn`."""
        other = Synthesis(self.stack.removesuffix("-Chat"), self.directory)
        outputs = [output for output in other.json["Outputs"].values() if "Export" in output]
        return {output["Export"]["Name"]: f"{other.stack}/{other.readable(output['Value'])}" for output in outputs}

    @cached_property
    def grants(self) -> dict[str, set[tuple[str, str]]]:
        """Who may do what, on what: by the path of the role."""
        result: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for policy in self.of_type("AWS::IAM::Policy"):
            for role in policy.properties["Roles"]:
                result[role].update(_pairs(policy.properties["PolicyDocument"]))
        return dict(result)

    @cached_property
    def paths(self) -> dict[str, str]:
        return {
            logical_id: definition["Metadata"]["aws:cdk:path"].removeprefix(f"{self.stack}/").removesuffix("/Resource")
            for logical_id, definition in self.json["Resources"].items()
        }

    def readable(self, value: Any) -> Any:
        """The value with every intrinsic function as text: `Tables/Connections.Arn`."""
        match value:
            case {"Ref": name}:
                return self.paths.get(name) or _PSEUDO_PARAMETERS.get(name, name)
            case {"Fn::GetAtt": [name, attribute]}:
                return f"{self.paths[name]}.{attribute}"
            case {"Fn::ImportValue": name}:
                return self._exports[name]
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(str(self.readable(part)) for part in parts)
            case dict():
                return {name: self.readable(part) for name, part in value.items()}
            case list():
                return [self.readable(part) for part in value]
            case _:
                return value


def _pairs(document: Json) -> Iterator[tuple[str, str]]:
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        assert "Condition" not in statement
        for action in _listed(statement["Action"]):
            for resource in _listed(statement["Resource"]):
                yield action, resource


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
