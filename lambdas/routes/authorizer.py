"""Decides, before `$connect`, who opens the socket. What it answers is repeated on every event of the connection."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.adapters import token_keys
from lambdas.clock import SystemClock
from lambdas.core.authorization import Forbidden, Unauthenticated, authorize
from lambdas.observability import instrumented, logger


class Unauthorized(Exception):
    """The answer 401. API Gateway knows it by its text, which must be exactly this word."""


@cache
def wired() -> tuple[settings.Authorizer, token_keys.TokenKeys]:
    """The stage's settings and keys, made once."""
    configured = settings.load(settings.Authorizer)
    return configured, token_keys.of(configured)


@instrumented(Unauthorized)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer a policy for exactly this route: Allow with the grant, or Deny (403); raise for 401 and 500."""
    try:
        grant = authorize(event, *wired(), SystemClock().now())
    except Unauthenticated as refusal:
        logger.info("unauthorized: %s", refusal)
        raise Unauthorized("Unauthorized") from None
    except Forbidden as refusal:
        logger.info("denied: %s", refusal, extra={"user": refusal.user})
        return _policy("Deny", event, refusal.user, {"reason": str(refusal)})
    if grant.left_out:
        logger.warning("no attributes: too large, or no text", extra={"claims": grant.left_out, "user": grant.user})
    return _policy("Allow", event, grant.user, grant.as_context())


def _policy(effect: str, event: dict[str, Any], user: str, context: dict[str, str]) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {
        "principalId": user,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
