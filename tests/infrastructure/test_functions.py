"""What the functions are, and what they are told."""

import ast
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from cdk_app.assets import ROOT
from cdk_app.functions import construct_id
from cdk_app.settings import SettingsError
from lambdas import settings
from lambdas.core.intake import SECONDS_FOR_AN_ATTEMPT
from lambdas.core.model import YOUNG_CONNECTION
from tests.infrastructure.synthesis import SECRET_ARN, TOKEN, Json, Synthesis, make

pytestmark = pytest.mark.xdist_group("infrastructure")

MODULES = {
    "routes.authorizer",
    "routes.connect",
    "routes.disconnect",
    "routes.acknowledge",
    "routes.http_api",
    "calls.accept",
    "calls.post_once",
    "tasks.resolve_connections",
    "tasks.post_to_connections",
    "tasks.post_and_await_acknowledgement",
    "tasks.wait_for_reconnect",
    "tasks.plan_fan_out",
    "tasks.post_to_audience",
    "tasks.hand_over_to_deliveries",
    "triggers.wake",
    "triggers.ingest",
    "triggers.ended",
    "triggers.presence",
}
OPTIONAL = {"triggers.presence"}
"""Those that a stage has only if its settings say so."""
COMMON = {
    "LOG_LEVEL",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
    "STACK_NAME",
}
LOCAL = {"POWERTOOLS_TRACE_DISABLED"}
# Resources in which a name is that of another resource.
NAMING_OTHERS = {
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter",
}


def _environment(function: dict[str, Any]) -> dict[str, str]:
    variables: dict[str, str] = function["Environment"]["Variables"]
    return variables


def _model(module: str) -> type:
    model: type = getattr(settings, construct_id(module))
    return model


def _has_handler(source: str) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "handler" for node in ast.parse(source).body)


def test_every_handler_is_a_function_and_every_function_has_a_handler(dev: Synthesis, everything: Synthesis) -> None:
    rooms = ("routes", "tasks", "triggers", "calls")
    handlers = {
        f"{room}.{file.stem}"
        for room in rooms
        for file in (ROOT / "lambdas" / room).glob("*.py")
        if _has_handler(file.read_text("utf-8"))
    }
    assert set(everything.functions) == MODULES == handlers
    assert set(dev.functions) == MODULES - OPTIONAL


def test_every_construct_has_the_name_of_its_module(everything: Synthesis) -> None:
    functions = {resource.path: resource.properties for resource in everything.of_type("AWS::Lambda::Function")}
    assert {path: properties["Handler"].split(".")[2] for path, properties in functions.items()} == {
        f"{construct_id(module)}/Function": module.split(".")[1] for module in MODULES
    }


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_function_is_told_what_its_settings_ask_for_and_nothing_else(
    any_stage: Synthesis, everything: Synthesis, module: str
) -> None:
    stage = everything if module in OPTIONAL else any_stage
    told = set(_environment(stage.functions[module]))
    model = _model(module)
    known = {name.upper() for name in get_type_hints(model)}
    needed = {name.upper() for name in get_type_hints(model) if not hasattr(model, name)}
    assert told - COMMON - LOCAL <= known
    assert needed | COMMON <= told


def test_every_optional_variable_is_set_by_some_setting(
    dev: Synthesis, local: Synthesis, everything: Synthesis
) -> None:
    for module in MODULES:
        stages = [stage for stage in (dev, local, everything) if module in stage.functions]
        told = {name for stage in stages for name in _environment(stage.functions[module])}
        asked = {name.upper() for name in get_type_hints(_model(module))}
        # The keys of a token come from one of three places, and these stages use two of them.
        assert asked - told <= {"TOKEN_JWKS"}, module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_a_function_is_told_can_be_read(
    any_stage: Synthesis, everything: Synthesis, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = everything if module in OPTIONAL else any_stage
    for name, value in _environment(stage.functions[module]).items():
        monkeypatch.setenv(name, value)
    settings.load(_model(module))


def test_settings_arrive(everything: Synthesis, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _environment(everything.functions["routes.authorizer"]).items():
        monkeypatch.setenv(name, value)
    assert settings.load(settings.Authorizer) == settings.Authorizer(
        token_algorithms=("HS256",),
        token_issuer="https://id.example.com",
        token_audience="x",
        token_secret_arn=SECRET_ARN,
        token_cookie_name="session",
        token_required_scope="chat",
        token_contexts_claim="contexts",
        token_attribute_claims=("plan", "https://id.example.com/team"),
        allowed_origins=("https://app.example.com", "https://admin.example.com"),
        allowed_networks=("10.0.0.0/8", "2001:db8::/32"),
        generate_context_id=True,
    )


def test_connect_is_told_where_connections_are_managed(dev: Synthesis, local: Synthesis) -> None:
    """By the API's own address: behind a custom domain, an event names none that would do."""
    endpoint = _environment(dev.functions["routes.connect"])["MANAGEMENT_ENDPOINT"]
    assert endpoint == "https://WebSocket/Api.execute-api.region.AWS::URLSuffix/v1"
    endpoint = _environment(local.functions["routes.connect"])["MANAGEMENT_ENDPOINT"]
    assert endpoint == "http://127.0.0.1:4711/_aws/execute-api/WebSocket/Api/v1"
    assert local.outputs["WebSocketUrl"] == endpoint.replace("http", "ws")


def _make(directory: Path, settings: Json) -> None:
    make("dev", directory, settings=settings)


def _origins(size: int) -> Json:
    """As many bytes of environment."""
    return {"allowed_origins": ["https://" + "a" * (size - len("https://"))]}


def test_settings_that_do_not_fit_into_a_function_are_refused_and_the_largest_named(
    dev: Synthesis, tmp_path: Path
) -> None:
    taken = json.dumps(
        _environment(dev.functions["routes.authorizer"]) | {"ALLOWED_ORIGINS": ""}, separators=(",", ":")
    )
    room = 4096 - len(taken)
    _make(tmp_path, _origins(room))
    with pytest.raises(
        SettingsError, match=rf"routes.authorizer are too large: .* 4097 .* ALLOWED_ORIGINS \({room + 1}\)"
    ):
        _make(tmp_path, _origins(room + 1))


def test_a_key_set_weighs_what_it_weighs_for_lambda(tmp_path: Path) -> None:
    """With every quote escaped: without that, these 45 keys would fit."""
    keys = [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "kid": str(number)} for number in range(45)]
    issuer = {name: TOKEN[name] for name in ("issuer", "audience")}
    token = {**issuer, "algorithms": ["ES256"], "jwks": {"keys": keys}}
    with pytest.raises(SettingsError, match=r"The largest are TOKEN_JWKS .*token\.jwks_url"):
        _make(tmp_path, {"token": token, **_origins(700)})


def test_the_limit_policies_are_those_the_function_knows() -> None:
    from cdk_app.settings import StageSettings

    offered = get_args(StageSettings.model_fields["connection_limit_policy"].annotation)
    known = get_type_hints(settings.Connect)["connection_limit_policy"]
    assert set(offered) == set(get_args(known))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_function_is_made_the_same_way(dev: Synthesis, everything: Synthesis, module: str) -> None:
    stage = everything if module in OPTIONAL else dev
    function = stage.functions[module]
    name = construct_id(module)
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"] == {"LogGroup": f"{name}/LogGroup"}
    assert function["Role"] == f"{name}/Role.Arn"
    assert function["Layers"] == ["Dependencies"]
    # One of them is bound by the processor: with 1769 MB comes a whole one.
    assert function["MemorySize"] in ({1769} if module == "tasks.post_to_audience" else {256, 512})
    variables = _environment(function)
    assert variables["POWERTOOLS_SERVICE_NAME"] == module.split(".")[1]
    assert variables["POWERTOOLS_METRICS_NAMESPACE"] == "Ringback"
    assert variables["STACK_NAME"] == stage.stack
    assert variables["LOG_LEVEL"] == "INFO"
    assert "FunctionName" not in function


def test_all_functions_share_one_asset(dev: Synthesis) -> None:
    assert len({function["Code"]["S3Key"] for function in dev.functions.values()}) == 1


def test_functions_of_routes_answer_before_api_gateway_gives_up(dev: Synthesis) -> None:
    limits = {module: function["Timeout"] for module, function in dev.functions.items() if "routes." in module}
    assert all(timeout < 29 for timeout in limits.values()), limits


def test_who_takes_messages_in_has_time_for_a_first_attempt(dev: Synthesis) -> None:
    for module in ("routes.http_api", "calls.accept", "triggers.ingest", "triggers.ended"):
        assert dev.functions[module]["Timeout"] > SECONDS_FOR_AN_ATTEMPT + 3, module


def test_a_handshake_has_ended_when_its_connection_is_young_no_more(dev: Synthesis) -> None:
    assert timedelta(seconds=dev.functions["routes.connect"]["Timeout"]) < YOUNG_CONNECTION


def test_names_are_left_to_cloudformation(any_stage: Synthesis) -> None:
    physical = re.compile(r"(Table|Function|Queue|Topic|Role|LogGroup|StateMachine|Layer)Name")
    named = [
        (resource.path, name)
        for resource in any_stage.resources.values()
        for name in resource.properties
        if physical.fullmatch(name) and resource.type not in NAMING_OTHERS
    ]
    assert named == []
