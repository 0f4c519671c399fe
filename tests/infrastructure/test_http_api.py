"""What backends call."""

import json
from typing import Any

import pytest

from cdk_app.http_api import ROUTES
from lambdas.routes.openapi import openapi
from tests.infrastructure.synthesis import Synthesis

pytestmark = pytest.mark.xdist_group("infrastructure")

API = "Http/Api"


def _of_the_api(synthesis: Synthesis, kind: str) -> list[dict[str, Any]]:
    resources = synthesis.of_type(f"AWS::ApiGatewayV2::{kind}")
    return [resource.properties for resource in resources if resource.properties.get("ApiId") == API]


def _routes(synthesis: Synthesis) -> dict[str, dict[str, Any]]:
    return {route["RouteKey"]: route for route in _of_the_api(synthesis, "Route")}


def test_there_is_a_route_for_every_operation_and_one_for_the_rest(any_stage: Synthesis) -> None:
    described = {
        f"{method.upper()} {path}".replace("{id}", "{id+}")
        for path, operations in openapi()["paths"].items()
        for method in operations
    }
    assert {*described, "$default"} == set(_routes(any_stage))
    assert sum(map(len, ROUTES.values())) == len(described)


def test_every_route_invokes_the_function_with_payload_2(any_stage: Synthesis) -> None:
    (integration,) = _of_the_api(any_stage, "Integration")
    assert integration["IntegrationType"] == "AWS_PROXY"
    assert integration["PayloadFormatVersion"] == "2.0"
    assert "HttpApi/Function.Arn" in integration["IntegrationUri"]
    assert len({route["Target"] for route in _routes(any_stage).values()}) == 1


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_every_route_wants_iam(stage: str, request: pytest.FixtureRequest) -> None:
    routes = _routes(request.getfixturevalue(stage)).values()
    assert {route["AuthorizationType"] for route in routes} == {"AWS_IAM"}
    assert _of_the_api(request.getfixturevalue(stage), "Authorizer") == []


def test_every_route_wants_a_token_with_the_scope(everything: Synthesis) -> None:
    (authorizer,) = _of_the_api(everything, "Authorizer")
    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["JwtConfiguration"] == {"Issuer": "https://id.example.com", "Audience": ["backends"]}
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    routes = _routes(everything).values()
    assert {route["AuthorizationType"] for route in routes} == {"JWT"}
    assert len({route["AuthorizerId"] for route in routes}) == 1
    assert {tuple(route["AuthorizationScopes"]) for route in routes} == {("ringback:messages",)}


def test_no_page_of_another_origin_may_call(any_stage: Synthesis) -> None:
    (api,) = [r.properties for r in any_stage.of_type("AWS::ApiGatewayV2::Api") if r.path == API]
    assert api["ProtocolType"] == "HTTP"
    assert "CorsConfiguration" not in api


def test_the_stage_is_throttled_measured_and_at_the_root(any_stage: Synthesis) -> None:
    (stage,) = _of_the_api(any_stage, "Stage")
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert stage["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": 1000,
        "ThrottlingBurstLimit": 500,
        "DetailedMetricsEnabled": True,
    }


def test_the_access_log_holds_no_token_and_no_id(any_stage: Synthesis) -> None:
    (stage,) = _of_the_api(any_stage, "Stage")
    assert "Http/AccessLog" in stage["AccessLogSettings"]["DestinationArn"]
    values = json.loads(stage["AccessLogSettings"]["Format"]).values()
    assert {"$context.requestId", "$context.routeKey", "$context.status"} <= set(values)
    assert all(value.startswith("$context.") for value in values)
    suspicious = ("header", "querystring", "path", "input", "identity.user ")
    assert not [value for value in values if any(word in value.lower() for word in suspicious)]


def test_backends_find_it(dev: Synthesis, local: Synthesis) -> None:
    assert dev.outputs["HttpApiUrl"] == "https://Http/Api.execute-api.region.AWS::URLSuffix"
    assert local.outputs["HttpApiUrl"] == "http://127.0.0.1:4711/_aws/execute-api/Http/Api"
