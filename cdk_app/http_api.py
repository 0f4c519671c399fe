"""HTTP APIs: the one that backends send messages through, and what it has in common with others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Stack
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
_PREFLIGHT_HOLDS = Duration.hours(2)  # as long as Chromium remembers it


@dataclass(frozen=True)
class Access:
    """Who may call: whom the authorizer lets in, with one of these scopes if there are any.

    ``pages`` are the origins whose pages may, in a browser; `*` is all of them, and no page may unless told.
    """

    authorizer: api.IHttpRouteAuthorizer
    scopes: Sequence[str] = ()
    pages: Sequence[str] = ()


class HttpApi(Construct):
    """One HTTP API with one stage; one function handles all routes, and all of them want an authorized caller."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        routes: Mapping[str, Sequence[api.HttpMethod]],
        access: Access,
        handler: Handler,
        settings: StageSettings,
        log_groups: LogGroups,
    ) -> None:
        """Make it.

        Args:
            scope: the stack.
            construct_id: the name below it.
            description: what it is for.
            routes: the paths and their methods.
            access: who may call.
            handler: what answers.
            settings: throttling.
            log_groups: make the access log.
        """
        super().__init__(scope, construct_id)
        self._local_endpoint_url = settings.local_endpoint_url
        stack = Stack.of(self)
        self.api = api.HttpApi(
            self,
            "Api",
            api_name=f"{stack.stack_name}-http",
            description=description,
            create_default_stage=False,
            cors_preflight=_preflight(routes, access.pages) if access.pages else None,
        )
        integration = integrations.HttpLambdaIntegration(
            handler.node.id, handler.function, payload_format_version=api.PayloadFormatVersion.VERSION_2_0
        )
        scopes = list(access.scopes) or None
        for path, methods in routes.items():
            self.api.add_routes(
                path=path,
                methods=list(methods),
                integration=integration,
                authorizer=access.authorizer,
                authorization_scopes=scopes,
            )
        # The function also answers what there is no route for: in the form that all its errors have. Not where pages
        # may call: it would catch what their browsers ask first, without a token.
        if not access.pages:
            api.HttpRoute(
                self,
                "Otherwise",
                http_api=self.api,
                route_key=api.HttpRouteKey.DEFAULT,
                integration=integration,
                authorizer=access.authorizer,
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


def backends(settings: HttpApiSettings) -> Access:
    """The callers that a stage's `http_api` settings ask for."""
    if settings.authorization == "iam" or settings.issuer is None or settings.audience is None:
        return Access(authorizers.HttpIamAuthorizer())
    return Access(tokens(settings.issuer, settings.audience), scopes=[settings.scope])


def tokens(issuer: str, audience: str) -> authorizers.HttpJwtAuthorizer:
    """Whoever has a token of this issuer for this audience; API Gateway finds the keys with the issuer."""
    return authorizers.HttpJwtAuthorizer("Tokens", issuer, jwt_audience=[audience])


def _preflight(routes: Mapping[str, Sequence[api.HttpMethod]], pages: Sequence[str]) -> api.CorsPreflightOptions:
    """What a browser asks before a page of another origin may call: API Gateway answers it by itself."""
    methods = {method.value: getattr(api.CorsHttpMethod, method.value) for each in routes.values() for method in each}
    return api.CorsPreflightOptions(
        allow_origins=list(pages),
        allow_methods=[methods[name] for name in sorted(methods)],
        allow_headers=["authorization", "content-type"],
        expose_headers=["location", "retry-after"],
        max_age=_PREFLIGHT_HOLDS,
    )
