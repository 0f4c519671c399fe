"""Traces that come along with a message: ours go on; what tracing libraries add beside them is no field of it."""

import json
from typing import Any

import pytest

from lambdas.core.errors import InvalidMessage
from lambdas.core.intake import Queued, read_queued
from tests.builders import NOW

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANA = {"user": "ana", "context": "chat", "contextId": "42"}


def read(**attributes: str) -> dict[str, Any]:
    accepted = read_queued(Queued('{"text": "hello"}', {**ANA, **attributes}, "q-1", NOW))
    envelope: dict[str, Any] = json.loads(accepted.envelope_json)
    return envelope


def test_a_trace_as_an_attribute_becomes_the_envelopes_field() -> None:
    assert read(traceparent=TRACEPARENT, correlationId="order-17").items() >= {
        ("traceparent", TRACEPARENT),
        ("correlationId", "order-17"),
    }


@pytest.mark.parametrize("name", ["tracestate", "baggage", "b3", "X-Amzn-Trace-Id", "AWSTraceHeader", "_datadog"])
def test_what_tracing_libraries_add_is_left_out(name: str) -> None:
    assert read(**{name: "anything"}) == read()


def test_what_nobody_knows_is_still_refused() -> None:
    with pytest.raises(InvalidMessage, match="tracingparent: there is no such field"):
        read(tracingparent=TRACEPARENT)
