"""OpenAPI 3.1 of the HTTP APIs: what the functions say of themselves, with the models as they read everywhere else."""

from typing import Any

from docs.generate import schemas
from lambdas.chat.routes import openapi as chat
from lambdas.openapi import model_of
from lambdas.routes.openapi import openapi
from ringback.connections import ConnectionStatus
from ringback.envelope import Envelope
from ringback.fan_out import FanOut
from ringback.status import MessageStatus


def document() -> dict[str, Any]:
    """Ringback's."""
    described = openapi()
    there = described["components"]["schemas"]
    there.pop("JsonValue", None)
    there |= schemas.components(
        {
            Envelope: "validation",
            FanOut: "validation",
            model_of(MessageStatus): "serialization",
            model_of(ConnectionStatus): "serialization",
        }
    )
    return described


def chat_document() -> dict[str, Any]:
    """The chat's."""
    described = chat.openapi()
    described["components"]["schemas"] |= schemas.components(dict.fromkeys(chat.MODELS, "validation"))
    return described
