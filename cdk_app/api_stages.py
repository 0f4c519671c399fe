"""The one stage of an API: throttled, measured by route, with an access log."""

import json
from collections.abc import Mapping

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_apigatewayv2 as api
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.settings import StageSettings


def make_stage(
    scope: Construct,
    *,
    api_id: str,
    name: str,
    settings: StageSettings,
    log_group: logs.LogGroup,
    log_line: Mapping[str, str],
) -> api.CfnStage:
    """Make it, as `Stage` in this scope.

    The L2 stages take log settings only as an interface, which Python would implement.
    """
    return api.CfnStage(
        scope,
        "Stage",
        api_id=api_id,
        stage_name=name,
        auto_deploy=True,
        default_route_settings=api.CfnStage.RouteSettingsProperty(
            throttling_rate_limit=settings.throttling_rate_per_second,
            throttling_burst_limit=settings.throttling_burst,
            detailed_metrics_enabled=True,
        ),
        access_log_settings=api.CfnStage.AccessLogSettingsProperty(
            destination_arn=Stack.of(scope).format_arn(
                service="logs",
                resource="log-group",
                resource_name=log_group.log_group_name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
            format=json.dumps(log_line),
        ),
    )
