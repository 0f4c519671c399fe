"""OpenAPI 3.1 of the HTTP API: what the function says of itself, with the models as they read everywhere else."""

from typing import Any

from docs.generate import schemas
from lambdas.routes.openapi import openapi
from ringback.connections import ConnectionStatus
from ringback.envelope import Envelope
from ringback.fan_out import FanOut
from ringback.status import MessageStatus


def document() -> dict[str, Any]:
    """The whole document."""
    described = openapi()
    there = described["components"]["schemas"]
    there.pop("JsonValue", None)
    there |= schemas.components(
        {
            Envelope: "validation",
            FanOut: "validation",
            MessageStatus: "serialization",
            ConnectionStatus: "serialization",
        }
    )
    return described
