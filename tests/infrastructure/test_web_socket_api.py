"""What clients connect to."""

import json
from typing import Any

import pytest
from aws_cdk.assertions import Capture, Match
from pydantic import TypeAdapter

from ringback.protocol import FrameFromClient, FrameToClient
from tests.infrastructure.synthesis import Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")

ROUTE = "AWS::ApiGatewayV2::Route"
_TO_CLIENT: TypeAdapter[Any] = TypeAdapter(FrameToClient)
_FROM_CLIENT: TypeAdapter[Any] = TypeAdapter(FrameFromClient)


def _routes(synthesis: Synthesis) -> dict[str, dict[str, Any]]:
    routes = (route.properties for route in synthesis.of_type(ROUTE))
    return {route["RouteKey"]: route for route in routes if route["ApiId"] == "WebSocket/Api"}


def _integration(synthesis: Synthesis, route_key: str) -> tuple[str, dict[str, Any]]:
    path = _routes(synthesis)[route_key]["Target"].removeprefix("integrations/")
    return path, synthesis.resources[path].properties


def test_messages_are_routed_by_their_action(dev: Synthesis) -> None:
    dev.template.has_resource_properties(
        "AWS::ApiGatewayV2::Api",
        {"ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"},
    )
    assert set(_routes(dev)) == {"$connect", "$disconnect", "ack", "ping", "$default"}
    for action in ("ack", "ping"):  # the protocol that clients are told has the same
        assert _FROM_CLIENT.validate_python({"action": action, "id": "m-1"}).action == action


@pytest.mark.parametrize(
    ("route_key", "function"), [("$connect", "Connect"), ("$disconnect", "Disconnect"), ("ack", "Acknowledge")]
)
def test_a_route_with_a_function_invokes_it_and_returns_nothing(dev: Synthesis, route_key: str, function: str) -> None:
    _path, integration = _integration(dev, route_key)
    assert integration["IntegrationType"] == "AWS_PROXY"
    assert integration["IntegrationUri"].endswith(
        f":lambda:path/2015-03-31/functions/{function}/Function.Arn/invocations"
    )
    assert "RouteResponseSelectionExpression" not in _routes(dev)[route_key]
    dev.template.has_resource_properties(
        "AWS::Lambda::Permission",
        {
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": {"Fn::Join": ["", Match.array_with([f"/*{route_key}"])]},
        },
    )


@pytest.mark.parametrize(
    ("route_key", "expected"), [("ping", {"kind": "pong"}), ("$default", {"kind": "error", "error": "UnknownAction"})]
)
def test_a_route_without_a_function_is_answered_by_api_gateway(
    any_stage: Synthesis, route_key: str, expected: dict[str, str]
) -> None:
    path, integration = _integration(any_stage, route_key)
    assert integration["IntegrationType"] == "MOCK"
    (request,) = integration["RequestTemplates"].values()
    assert json.loads(request) == {"statusCode": 200}
    (response,) = [
        response.properties
        for response in any_stage.of_type("AWS::ApiGatewayV2::IntegrationResponse")
        if response.properties["IntegrationId"] == path
    ]
    assert response["IntegrationResponseKey"] == "$default"
    (body,) = response["ResponseTemplates"].values()
    assert json.loads(body).items() >= expected.items()
    assert set(_TO_CLIENT.validate_json(body).model_dump()) == set(json.loads(body))
    assert "$" not in body  # it is a template, and a dollar would be one of its variables
    assert response["ResponseTemplates"].keys() == integration["RequestTemplates"].keys() == {"$default"}
    assert response["TemplateSelectionExpression"] == integration["TemplateSelectionExpression"] == r"\$default"
    # Without both of these, API Gateway keeps the answer to itself.
    assert _routes(any_stage)[route_key]["RouteResponseSelectionExpression"] == "$default"
    route = next(r.path for r in any_stage.of_type(ROUTE) if r.properties["RouteKey"] == route_key)
    any_stage.template.resource_properties_count_is(
        "AWS::ApiGatewayV2::RouteResponse", {"RouteResponseKey": "$default"}, 2
    )
    responses = [r.properties["RouteId"] for r in any_stage.of_type("AWS::ApiGatewayV2::RouteResponse")]
    assert route in responses


def test_unknown_actions_are_told_what_there_is(dev: Synthesis) -> None:
    path, _ = _integration(dev, "$default")
    (body,) = [
        response.properties["ResponseTemplates"]["$default"]
        for response in dev.of_type("AWS::ApiGatewayV2::IntegrationResponse")
        if response.properties["IntegrationId"] == path
    ]
    actions = {key for key in _routes(dev) if not key.startswith("$")}
    assert all(action in json.loads(body)["message"] for action in actions)


def test_connecting_is_authorized_from_any_place_a_token_may_be_in(any_stage: Synthesis) -> None:
    authorizers = any_stage.of_type("AWS::ApiGatewayV2::Authorizer")
    (authorizer,) = [authorizer for authorizer in authorizers if authorizer.properties["ApiId"] == "WebSocket/Api"]
    assert authorizer.properties["AuthorizerType"] == "REQUEST"
    assert authorizer.properties["IdentitySource"] == []  # all that are listed must be present
    assert "Authorizer/Function.Arn" in authorizer.properties["AuthorizerUri"]
    routes = _routes(any_stage)
    assert routes["$connect"]["AuthorizationType"] == "CUSTOM"
    assert routes["$connect"]["AuthorizerId"] == authorizer.path
    assert {routes[key]["AuthorizationType"] for key in routes if key != "$connect"} == {"NONE"}


def test_the_stage_is_throttled_and_measured(dev: Synthesis) -> None:
    dev.template.has_resource_properties(
        "AWS::ApiGatewayV2::Stage",
        {
            "StageName": "v1",
            "AutoDeploy": True,
            "DefaultRouteSettings": {
                "ThrottlingRateLimit": 1000,
                "ThrottlingBurstLimit": 500,
                "DetailedMetricsEnabled": True,
            },
        },
    )


def test_the_access_log_holds_nothing_a_token_could_be_in(dev: Synthesis) -> None:
    text = Capture()
    dev.template.has_resource_properties(
        "AWS::ApiGatewayV2::Stage",
        {"AccessLogSettings": {"DestinationArn": Match.any_value(), "Format": text}},
    )
    values = json.loads(text.as_string()).values()
    assert "$context.requestId" in values
    assert all(value.startswith("$context.") for value in values)
    suspicious = ("header", "querystring", "path", "input", "identity.user", "protocol")
    assert not [value for value in values if any(word in value.lower() for word in suspicious)]


def test_the_log_role_of_the_account_is_there_before_the_stage_and_outlives_the_stack(dev: Synthesis) -> None:
    role, account = (dev.resources[f"WebSocket/LogRole/{name}"] for name in ("Role", "Account"))
    assert {role.definition["DeletionPolicy"], account.definition["DeletionPolicy"]} == {"Retain"}
    stage = dev.resources["WebSocket/Stage"]
    assert account.path in [dev.readable({"Ref": name}) for name in stage.definition["DependsOn"]]


def test_the_log_role_can_be_left_to_the_account(everything: Synthesis) -> None:
    everything.template.resource_count_is("AWS::ApiGateway::Account", 0)


def test_clients_find_it(dev: Synthesis) -> None:
    assert dev.outputs["WebSocketUrl"] == "wss://WebSocket/Api.execute-api.region.AWS::URLSuffix/v1"
