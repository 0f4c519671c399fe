"""AsyncAPI 3.0 of the WebSocket: how to connect, and what travels then. The application it speaks of is Ringback."""

from importlib import metadata
from typing import Any

from pydantic import BaseModel, TypeAdapter

from docs.generate import schemas
from ringback.envelope import Context, ContextId
from ringback.protocol import (
    AckFrame,
    BatchFrame,
    CloseFrame,
    ErrorFrame,
    MessageFrame,
    PingFrame,
    PongFrame,
    SkippedFrame,
)

_MESSAGES: dict[str, type[BaseModel]] = {
    "message": MessageFrame,
    "batch": BatchFrame,
    "skipped": SkippedFrame,
    "pong": PongFrame,
    "error": ErrorFrame,
    "close": CloseFrame,
    "ack": AckFrame,
    "ping": PingFrame,
}

_REFUSALS = {
    "401": "There is no good token, or more than one.",
    "403": (
        "The token does not open this, or `context` or `contextId` is missing or wrong. The stage's log names the "
        "rules that were broken: `origin`, `network`, `scope`, `context`, `contextId`, `conversation`."
    ),
    "429": "The user has as many connections as the stage allows, and the stage refuses more.",
    "503": "A service that the handshake needs cannot be reached: come again.",
}

_ABOUT = """\
Ringback delivers messages from a backend to a person's open WebSockets, and keeps those that it cannot deliver until \
the person connects.

- Frames are JSON text. A client's frame says its `action`, Ringback's its `kind`.
- A message can come twice under one `id`: keep the ids you have seen.
- A backend can ask for an acknowledgement: acknowledge the messages with `"ack": "client"`, and again when they come \
again. What nobody waits for is ignored.
- Ignore fields and kinds that you do not know. API Gateway itself may send a frame without `kind`: ignore it, too.
- API Gateway ends a connection after two hours, and after ten minutes without a frame. Connect again, and what has \
waited arrives.
- After `close` with `"reconnect": false`, do not connect again by yourself: the person has opened others since.
"""

_BEARER = "A JWT, as the stage's settings ask for it. Not from a browser, which cannot set this header."
_COOKIE = (
    "The same JWT in a cookie, if the stage names one (setting `token.cookie_name`). The page's origin must be among "
    "its allowed origins."
)
_SUBPROTOCOL = (
    'The same JWT beside the subprotocol `bearer`: `bearer, <token>`; in a browser `new WebSocket(url, ["bearer", '
    "token])`. The answer chooses `bearer`."
)


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ringback's WebSocket",
            "version": metadata.version("ringback"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "aws": {
                "host": "{api}.execute-api.{region}.amazonaws.com",
                "protocol": "wss",
                "description": "A deployed stage; the stack's output `WebSocketUrl` is the whole address.",
                "variables": {
                    "api": {"description": "The API's id.", "examples": ["abcdefabcd"]},
                    "region": {"description": "The stack's region.", "examples": ["eu-central-1"]},
                },
                "security": _security(),
            },
            "local": {
                "host": "127.0.0.1:{port}",
                "pathname": "/_aws/execute-api/{api}",
                "protocol": "ws",
                "description": "The local stack; `make up` prints the whole address.",
                "variables": {
                    "port": {"default": "4600"},
                    "api": {"description": "The API's id.", "examples": ["abcdefabcd"]},
                },
                "security": _security(),
            },
        },
        "channels": {"connection": _channel()},
        "operations": {
            "deliver": _operation(
                "send",
                "Deliver messages to a recipient's connection: one a frame, or several for the same recipient.",
                "message",
                "batch",
                "skipped",
            ),
            "acknowledge": _operation(
                "receive", "Take note that the client has messages; the runs that wait for it go on.", "ack"
            ),
            "ping": {
                **_operation("receive", "Answer that the connection is alive.", "ping"),
                "reply": {"channel": {"$ref": "#/channels/connection"}, "messages": [_in_channel("pong")]},
            },
            "evict": _operation(
                "send", "Say that this connection ends, and whether to come back; the close follows.", "close"
            ),
            "refuse": _operation("send", "Answer a frame whose action is none of these.", "error"),
        },
        "components": {
            "messages": {name: _message(name, model) for name, model in _MESSAGES.items()},
            "schemas": schemas.components(dict.fromkeys(_MESSAGES.values(), "validation")),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": _BEARER},
                "cookie": {"type": "httpApiKey", "in": "cookie", "name": "token", "description": _COOKIE},
                "subprotocol": {
                    "type": "httpApiKey",
                    "in": "header",
                    "name": "Sec-WebSocket-Protocol",
                    "description": _SUBPROTOCOL,
                },
            },
        },
    }


def _channel() -> dict[str, Any]:
    refusals = "\n".join(f"- {status}: {reason}" for status, reason in _REFUSALS.items())
    return {
        "address": "/{stage}",
        "title": "One connection of one recipient",
        "description": "The token's subject, `context` and `contextId` are the recipient, for as long as the "
        "connection lasts; it gets messages until the token expires. A handshake that is refused is answered:"
        f"\n\n{refusals}",
        "parameters": {"stage": {"description": "The API's stage.", "default": "v1"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _MESSAGES},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "context": {
                            **TypeAdapter(Context).json_schema(),
                            "description": "What kind of conversation or screen this is.",
                            "examples": ["chat"],
                        },
                        "contextId": {
                            **TypeAdapter(ContextId).json_schema(),
                            "description": "Which one of its kind. May be left out where the stage makes one up "
                            "(setting `generate_context_id`).",
                            "examples": ["42"],
                        },
                    },
                    "required": ["context"],
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-handshake-refusals": _REFUSALS,
    }


def _security() -> list[dict[str, str]]:
    """Any one of them will do, and exactly one must be there."""
    return [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", "cookie", "subprotocol")]


def _operation(action: str, summary: str, *messages: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/connection"},
        "summary": summary,
        "messages": [_in_channel(name) for name in messages],
    }


def _in_channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/connection/messages/{name}"}


def _message(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (model.__doc__ or "").strip(),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"payload": example} for example in _examples(model)],
    }


def _examples(model: type[BaseModel]) -> list[Any]:
    """The model's own; a frame that is nothing but its kind or action needs none."""
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    if isinstance(examples, list):
        return examples
    constants = {name: field.get("const") for name, field in model.model_json_schema()["properties"].items()}
    return [] if None in constants.values() else [constants]
