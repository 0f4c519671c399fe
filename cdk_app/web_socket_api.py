"""The WebSocket API: what clients connect to, and what posts go through."""

import json
from urllib.parse import urlsplit

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_apigateway as rest
from aws_cdk import aws_apigatewayv2 as api
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app import findings
from cdk_app.api_stages import make_stage
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups
from cdk_app.settings import StageSettings

# Nothing from headers or the query string: a token may be in either.
_ACCESS_LOG = {
    "apiId": "$context.apiId",
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "requestTime": "$context.requestTime",
    "eventType": "$context.eventType",
    "routeKey": "$context.routeKey",
    "connectionId": "$context.connectionId",
    "messageId": "$context.messageId",
    "user": "$context.authorizer.principalId",
    "sourceIp": "$context.identity.sourceIp",
    "status": "$context.status",
    "error": "$context.error.message",
    "authorizerError": "$context.authorizer.error",
    "authorizerLatency": "$context.authorizer.latency",
    "integrationError": "$context.integration.error",
    "integrationLatency": "$context.integration.latency",
    "disconnectStatusCode": "$context.disconnectStatusCode",
    "disconnectReason": "$context.disconnectReason",
}
_NO_AUTHORIZER = "API Gateway authorizes a WebSocket when it connects, and allows an authorizer on $connect alone."
# A literal, in the language of selection expressions: API Gateway then takes the template of this name.
_LITERAL_DEFAULT = r"\$default"
_DEFAULT = "$default"


class WebSocketApi(Construct):
    """One WebSocket API with one stage. Routes are added by who has the functions."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings, log_groups: LogGroups) -> None:
        super().__init__(scope, construct_id)
        self._local_endpoint_url = settings.local_endpoint_url
        self._stage_name = settings.api_stage_name
        self.api = api.WebSocketApi(
            self,
            "Api",
            api_name=Stack.of(self).stack_name,
            description="Ringback: clients connect here, with a token, context and contextId",
            route_selection_expression="$request.body.action",
        )
        self.access_log = log_groups.make(self, "AccessLog")
        stage = make_stage(
            self,
            api_id=self.api.api_id,
            name=self._stage_name,
            settings=settings,
            log_group=self.access_log,
            log_line=_ACCESS_LOG,
        )
        if settings.create_api_gateway_log_role:
            stage.node.add_dependency(_LogRole(self, "LogRole"))

    def authorize(self, handler: Handler, *, connect: Handler) -> None:
        """Let these two decide on every handshake."""
        authorizer = authorizers.WebSocketLambdaAuthorizer(
            handler.node.id,
            handler.function,
            # All sources that are listed must be present, and a token may come in any of three.
            identity_source=[],
        )
        self._add_route("$connect", connect, authorizer=authorizer)

    def route(self, route_key: str, handler: Handler) -> None:
        """Let a function handle a route; nothing is returned to the client."""
        self._add_route(route_key, handler)

    def answer(self, route_key: str, construct_id: str, body: dict[str, str]) -> None:
        """Answer a route always the same, without a function."""
        _Answer(
            self,
            construct_id,
            api_id=self.api.api_id,
            route_key=route_key,
            body=json.dumps(body, separators=(",", ":")),
        )

    def _add_route(
        self, route_key: str, handler: Handler, authorizer: api.IWebSocketRouteAuthorizer | None = None
    ) -> None:
        route = self.api.add_route(
            route_key,
            integration=integrations.WebSocketLambdaIntegration(handler.node.id, handler.function),
            authorizer=authorizer,
        )
        if authorizer is None:
            findings.accept(route, "APIG4", because=_NO_AUTHORIZER)

    def allow_posting(self, handler: Handler) -> None:
        """Let a function post to the connections of this stage."""
        self._allow_managing(handler, "POST")

    def allow_closing(self, handler: Handler) -> None:
        """Let a function close connections of this stage."""
        self._allow_managing(handler, "DELETE")

    def allow_posting_elsewhere(self, handler: Handler, endpoint: str) -> None:
        """Let a function post to the connections of another API of this account and region, at this endpoint."""
        url = urlsplit(endpoint)
        self._allow(handler, "POST", api_id=url.netloc.partition(".")[0], stage=url.path.strip("/"))

    def _allow_managing(self, handler: Handler, method: str) -> None:
        self._allow(handler, method, api_id=self.api.api_id, stage=self._stage_name)

    def _allow(self, handler: Handler, method: str, *, api_id: str, stage: str) -> None:
        connections = f"{stage}/{method}/@connections/*"
        stack = Stack.of(self)
        handler.allow(
            "execute-api:ManageConnections",
            on=stack.format_arn(service="execute-api", resource=api_id, resource_name=connections),
        )
        api = f"<{stack.resolve(api_id)['Ref']}>" if Token.is_unresolved(api_id) else api_id
        findings.accept(
            handler.role,
            f"IAM5[Resource::arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:{api}/{connections}]",
            because="Connection ids come and go; the API, its stage and the method are exact.",
        )

    @property
    def management_endpoint(self) -> str:
        """Where connections are managed. Events do not say: they name the custom domain, if there is one."""
        if self._local_endpoint_url:
            return f"{self._local_endpoint_url}/_aws/execute-api/{self.api.api_id}/{self._stage_name}"
        stack = Stack.of(self)
        return f"https://{self.api.api_id}.execute-api.{stack.region}.{stack.url_suffix}/{self._stage_name}"

    @property
    def url(self) -> str:
        """What clients connect to."""
        return self.management_endpoint.replace("http", "ws", 1)


class _Answer(Construct):
    """A route that API Gateway answers by itself: an integration with nothing, and the way back."""

    def __init__(self, scope: Construct, construct_id: str, *, api_id: str, route_key: str, body: str) -> None:
        super().__init__(scope, construct_id)
        integration = api.CfnIntegration(
            self,
            "Integration",
            api_id=api_id,
            integration_type="MOCK",
            request_templates={_DEFAULT: json.dumps({"statusCode": 200})},
            template_selection_expression=_LITERAL_DEFAULT,
        )
        api.CfnIntegrationResponse(
            self,
            "IntegrationResponse",
            api_id=api_id,
            integration_id=integration.ref,
            integration_response_key=_DEFAULT,
            response_templates={_DEFAULT: body},
            template_selection_expression=_LITERAL_DEFAULT,
        )
        route = api.CfnRoute(
            self,
            "Route",
            api_id=api_id,
            route_key=route_key,
            target=f"integrations/{integration.ref}",
            authorization_type="NONE",
            route_response_selection_expression=_DEFAULT,
        )
        api.CfnRouteResponse(self, "RouteResponse", api_id=api_id, route_id=route.ref, route_response_key=_DEFAULT)
        findings.accept(route, "APIG4", because=_NO_AUTHORIZER)


class _LogRole(Construct):
    """The role with which API Gateway writes access logs, of which an account has one in a region.

    A WebSocket stage with an access log cannot be made before there is one. It outlives the stack: by then others may
    depend on it.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        policy = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(policy)],
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        account = rest.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        findings.accept(
            role,
            f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{policy}]",
            because="The role serves every API of the account; this is the policy AWS keeps for it.",
        )
