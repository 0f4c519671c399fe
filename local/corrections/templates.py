"""CloudFormation: what a template may hold."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ministack.services import apigateway  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

from local.corrections.places import Json, replace


def _route_response_resources() -> None:
    """AWS::ApiGatewayV2::RouteResponse and IntegrationResponse in a template.

    AWS has them, and a route that answers without a Lambda needs both. MiniStack has the API calls, but refuses the
    resources as unsupported.
    """

    def resource(kind: str, owner: str, create: Callable[..., Any], delete: Callable[..., Any]) -> Json:
        def owner_id(props: Json) -> str:
            return str(props[owner]).rpartition("/")[2]  # a route's Ref is `api/route` here

        def creating(_logical_id: str, props: Json, _stack: str) -> tuple[str, Json]:
            data = {name[0].lower() + name[1:]: value for name, value in props.items()}
            status, _headers, body = create(props["ApiId"], owner_id(props), data)
            if status != HTTPStatus.CREATED:
                raise ValueError(f"{kind}: {body!r}")
            return json.loads(body)[f"{kind[0].lower()}{kind[1:]}Id"], {}

        def deleting(physical_id: str, props: Json) -> None:
            delete(props["ApiId"], owner_id(props), physical_id)

        return {"create": creating, "delete": deleting}

    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::RouteResponse"] = resource(
        "RouteResponse", "RouteId", apigateway._create_route_response, apigateway._delete_route_response
    )
    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::IntegrationResponse"] = resource(
        "IntegrationResponse",
        "IntegrationId",
        apigateway._create_integration_response,
        apigateway._delete_integration_response,
    )


def _alarms_on_metric_math() -> None:
    """Metrics of an AWS::CloudWatch::Alarm.

    AWS has an alarm watch an expression. MiniStack refuses the template. Here the alarm is made, and watches the first
    metric of its expression: nobody waits for alarms on this machine.
    """

    def make(upstream: Callable[[str, Json], Json]) -> Callable[[str, Json], Json]:
        def record(name: str, props: Json) -> Json:
            watched = [query["MetricStat"] for query in props.get("Metrics", []) if "MetricStat" in query]
            if not watched:
                return upstream(name, props)
            first = {**watched[0]["Metric"], "Period": watched[0]["Period"], "Statistic": watched[0]["Stat"]}
            return upstream(name, {key: value for key, value in props.items() if key != "Metrics"} | first)

        return record

    replace(provisioners, "_cw_metric_alarm_record", make)


CORRECTIONS = (_route_response_resources, _alarms_on_metric_math)
