"""notice_presence: Ringback says that somebody has come or gone."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas import settings
from lambdas.chat.adapters import wiring
from lambdas.chat.core import attendance
from lambdas.chat.settings import NoticePresence
from lambdas.observability import instrumented

_OPENED = "ringback.connection.opened"


@instrumented()
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Read one event of Ringback's bus; raise what has to be tried again."""
    detail = event["detail"]
    person = attendance.person_of(detail["user"], detail["context"], detail["contextId"])
    if person is None:
        return
    environment = settings.load(NoticePresence)
    attendance.notice(
        person,
        came=event["detail-type"] == _OPENED,
        chats=wiring.chats(environment),
        desk=wiring.desk(environment),
        screens=wiring.screens(environment),
        limits=wiring.limits(environment),
        clock=wiring.clock(),
    )
