"""Posts what comes by the topic. It fails where nobody is there, so that Lambda calls it again."""

import json
from typing import Any

from benchmarks.baselines.posting import post_to_all


def handler(event: dict[str, Any], context: object) -> None:  # noqa: ARG001 - Lambda's signature
    """Handle what SNS hands over, which is one message at a time."""
    for record in event["Records"]:
        post_to_all(json.loads(record["Sns"]["Message"]))
