"""The HTTP API: what backends send messages through, and ask what became of them."""

from aws_cdk import Stack
from aws_cdk import aws_apigatewayv2 as api
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from constructs import Construct

from cdk_app.api_stages import make_stage
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups
from cdk_app.settings import HttpApiSettings, StageSettings

# By their own names, so that metrics and the access log tell them apart. An id may have slashes in it, and API Gateway
# looks for the route when it has decoded them: it is greedy.
ROUTES = {
    "/messages": (api.HttpMethod.POST,),
    "/messages/fan-out": (api.HttpMethod.POST,),
    "/messages/{id+}": (api.HttpMethod.GET, api.HttpMethod.DELETE),
    "/users/{user}/connections": (api.HttpMethod.GET,),
}
# Nothing from headers or the query string, and no path: the route tells what was asked for, the id is the message's.
_ACCESS_LOG = {
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "requestTime": "$context.requestTime",
    "routeKey": "$context.routeKey",
    "httpMethod": "$context.httpMethod",
    "protocol": "$context.protocol",
    "caller": "$context.identity.userArn",
    "subject": "$context.authorizer.claims.sub",
    "sourceIp": "$context.identity.sourceIp",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "error": "$context.error.message",
    "authorizerError": "$context.authorizer.error",
    "integrationError": "$context.integration.error",
    "integrationLatency": "$context.integration.latency",
}
# API Gateway serves it from the root: no name of a stage stands in the paths.
_STAGE = "$default"


class HttpApi(Construct):
    """One HTTP API with one stage; one function handles all routes, and all of them want an authorized caller."""

    def __init__(
        self, scope: Construct, construct_id: str, *, handler: Handler, settings: StageSettings, log_groups: LogGroups
    ) -> None:
        super().__init__(scope, construct_id)
        self._local_endpoint_url = settings.local_endpoint_url
        stack = Stack.of(self)
        self.api = api.HttpApi(
            self,
            "Api",
            api_name=f"{stack.stack_name}-http",
            description="Ringback: backends send messages here, and ask what became of them",
            create_default_stage=False,
        )
        integration = integrations.HttpLambdaIntegration(
            handler.node.id, handler.function, payload_format_version=api.PayloadFormatVersion.VERSION_2_0
        )
        authorizer = _authorizer(settings.http_api)
        scopes = [settings.http_api.scope] if settings.http_api.authorization == "jwt" else None
        for path, methods in ROUTES.items():
            self.api.add_routes(
                path=path,
                methods=list(methods),
                integration=integration,
                authorizer=authorizer,
                authorization_scopes=scopes,
            )
        # The function also answers what there is no route for: in the form that all its errors have.
        api.HttpRoute(
            self,
            "Otherwise",
            http_api=self.api,
            route_key=api.HttpRouteKey.DEFAULT,
            integration=integration,
            authorizer=authorizer,
            authorization_scopes=scopes,
        )
        make_stage(
            self,
            api_id=self.api.api_id,
            name=_STAGE,
            settings=settings,
            log_group=log_groups.make(self, "AccessLog"),
            log_line=_ACCESS_LOG,
        )

    @property
    def url(self) -> str:
        """What the paths are added to; no slash at its end."""
        if self._local_endpoint_url:
            return f"{self._local_endpoint_url}/_aws/execute-api/{self.api.api_id}"
        stack = Stack.of(self)
        return f"https://{self.api.api_id}.execute-api.{stack.region}.{stack.url_suffix}"


def _authorizer(settings: HttpApiSettings) -> api.IHttpRouteAuthorizer:
    if settings.authorization == "iam" or settings.issuer is None or settings.audience is None:
        return authorizers.HttpIamAuthorizer()
    return authorizers.HttpJwtAuthorizer("Tokens", settings.issuer, jwt_audience=[settings.audience])
