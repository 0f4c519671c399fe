"""Starts a run for what comes by the topic."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from benchmarks.baselines import settings

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


@cache
def _client() -> "SFNClient":
    return boto3.client("stepfunctions")


def handler(event: dict[str, Any], context: object) -> None:  # noqa: ARG001 - Lambda's signature
    """Handle what SNS hands over; the run's name is the message's id."""
    for record in event["Records"]:
        body = record["Sns"]["Message"]
        _client().start_execution(stateMachineArn=settings.state_machine_arn(), name=json.loads(body)["id"], input=body)
