"""Abandon, End If Idle, Return To Queue, Close: a state has waited its full time."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.core import running
from lambdas.chat.core.errors import ChatNotFound
from lambdas.chat.settings import SettleOverdue
from lambdas.observability import instrumented, logger


@instrumented(ChatNotFound)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer the situation of the chat, after what had to happen to it."""
    logger.append_keys(chat_id=event["chatId"])
    environment = settings.load(SettleOverdue)
    return running.settle(
        event["chatId"],
        chats=wiring.chats(environment),
        desk=wiring.desk(environment),
        limits=wiring.limits(environment),
        clock=wiring.clock(),
    )
