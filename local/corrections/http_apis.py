"""API Gateway's HTTP APIs."""

from collections.abc import Callable, Coroutine
from typing import Any

from ministack.services import apigateway  # type: ignore[import-untyped]

from local.corrections.places import replace


def _unsigned_requests() -> None:
    """A request without a signature, to a route with AWS_IAM.

    AWS answers 403. MiniStack is content with any Authorization header, a bearer token too. (Whether the signature is
    right, it does not ask, and nor do we: there is no secret on this machine.)
    """

    def make(upstream: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        async def handle(
            api_id: str, stage: str, path: str, method: str, headers: Any, *args: Any, **kwargs: Any
        ) -> Any:
            route = apigateway._match_route(api_id, method, "/" + path.lstrip("/")) or {}
            authorization = {name.lower(): value for name, value in (headers or {}).items()}.get("authorization", "")
            signed = authorization.startswith("AWS4-HMAC-SHA256 ") and "/execute-api/aws4_request" in authorization
            if route.get("authorizationType") == "AWS_IAM" and not signed:
                return apigateway._jwt_forbidden()
            return await upstream(api_id, stage, path, method, headers, *args, **kwargs)

        return handle

    replace(apigateway, "_handle_execute_in_scope", make)


CORRECTIONS = (_unsigned_requests,)
