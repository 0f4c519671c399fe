"""What a message leaves in the logs and metrics of the deployed functions: its names, and never its payload."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from local.demo.stage import Stage, envelope


def lines(stage: Stage, since: int) -> Iterator[str]:
    """Every line that the functions have logged since then (milliseconds); MiniStack answers the oldest 10,000."""
    logs = stage.installation.clients.logs
    for groups in logs.get_paginator("describe_log_groups").paginate():
        for group in groups["logGroups"]:
            name = group["logGroupName"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name, startTime=since):
                yield from (line for event in page["events"] for line in event["message"].splitlines())


def records(stage: Stage, since: int, correlation_id: str) -> list[dict[str, Any]]:
    """The records of everything that was done for this correlation id."""
    return [json.loads(line) for line in lines(stage, since) if line.startswith("{") and correlation_id in line]


def test_a_correlation_id_and_a_trace_lead_through_runs_logs_metrics_and_frames(stage: Stage, user: str) -> None:
    since = int(time.time() * 1000)
    correlation_id, secret = f"order-{uuid.uuid4()}", f"secret-{uuid.uuid4()}"
    trace = f"00-{uuid.uuid4().hex}-b7ad6b7169203331-01"
    message = envelope(user, secret, correlationId=correlation_id, traceparent=trace)
    arn = stage.runs.start(message)
    stage.runs.await_waiting(arn)
    client = stage.client(user)
    with stage.connected(client):
        frame = client.await_message(message["id"])
        stage.runs.await_end(arn)
    assert (frame.body["correlationId"], frame.body["traceparent"]) == (correlation_id, trace)

    def both_tasks() -> list[dict[str, Any]] | None:
        found = records(stage, since, correlation_id)
        return (
            found if {record["service"] for record in found} >= {"wait_for_reconnect", "post_to_connections"} else None
        )

    found = stage.until(both_tasks, "the metrics of the wait and of the delivery")
    assert {record["execution_arn"] for record in found} == {arn}
    assert {record["traceparent"] for record in found} == {trace}
    (delivery,) = (record for record in found if "Delivered" in record)
    assert delivery["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Ringback"
    assert {"Posted", "DeliveryTime"} <= delivery.keys()
    everything = "\n".join(lines(stage, since))
    assert message["id"] in everything
    assert secret not in everything
    assert client.token not in everything
