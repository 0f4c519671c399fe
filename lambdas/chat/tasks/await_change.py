"""Waiting, Active, Agent Away, Rating: park the run until the chat is in another phase."""

from datetime import datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.core import running
from lambdas.chat.core.errors import ChatNotFound
from lambdas.chat.core.ports import Wait
from lambdas.chat.core.rules import Phase
from lambdas.chat.settings import AwaitChange
from lambdas.observability import instrumented, logger


@instrumented(ChatNotFound)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer nothing: what changes the chat carries the state's output."""
    logger.append_keys(chat_id=event["chatId"])
    environment = settings.load(AwaitChange)
    running.wait_for_change(
        event["chatId"],
        _wait(event),
        chats=wiring.chats(environment),
        runs=wiring.waiting_runs(),
        limits=wiring.limits(environment),
        clock=wiring.clock(),
    )


def _wait(event: dict[str, Any]) -> Wait:
    entered_at, retry = datetime.fromisoformat(event["entry"]["enteredAt"]), event["entry"]["retry"]
    return Wait(event["taskToken"], Phase(event["phase"]), round(entered_at.timestamp() * 1000) * 1000 + retry)
