"""What people get: messages that Ringback carries."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lambdas.chat.adapters import aws
from lambdas.chat.core.errors import Unavailable
from lambdas.chat.core.model import CONTEXT, Event, Person
from lambdas.observability import Metric, count, logger
from ringback.installation import Clients, Installation
from ringback.publisher import Publisher, Result


class _NotAgain(Exception):
    """What is shown is not tried again: by then something newer is true."""


def _never_again(_seconds: float) -> None:
    raise _NotAgain


@dataclass(frozen=True)
class Screens:
    """`lambdas.chat.core.ports.Screens` on Ringback."""

    installation: Installation

    def show(self, kind: str, payloads: Iterable[tuple[Person, dict[str, Any]]]) -> int:
        """Push what is true only now to who is connected now; answers how many were.

        What fails is left out: it stands in the log, and is no error of the caller's.
        """
        messages = [
            {"recipient": _recipient(person), "type": kind, "payload": payload, "durable": False}
            for person, payload in payloads
        ]
        results: list[Result] = []
        try:
            with aws.translated():
                Publisher(self.installation, sleep=_never_again).publish_many(messages, on_result=results.append)
        except (Unavailable, _NotAgain) as error:
            _not_taken(kind, "unavailable", str(error))
        for result in results:
            if result.failed:
                _not_taken(kind, result.status, result.detail)
        return sum(result.accepted for result in results)


@dataclass(frozen=True)
class Pushes(Screens):
    """`lambdas.chat.core.ports.Pushes` on Ringback."""

    ttl_seconds: int

    def tell(self, events: Sequence[tuple[Event, Sequence[Person]]]) -> None:
        """Push events to the people of their chats, in this order.

        What Ringback will never take is left out, and holds up nothing: it stands in the log.

        Raises:
            Unavailable: some were not taken; push them all again.
        """
        results: list[Result] = []
        messages = [message for event, people in events for message in self._messages(event, people)]
        with aws.translated():
            Publisher(self.installation).publish_many(messages, on_result=results.append)
        for result in results:
            if result.status in {"invalid", "conflict"}:
                _not_taken(result.id, result.status, result.detail)
        if missing := sum(result.status == "unavailable" for result in results):
            raise Unavailable(f"Ringback did not take {missing} of {len(results)} messages")

    def _messages(self, event: Event, people: Sequence[Person]) -> Iterator[dict[str, Any]]:
        payload = event.model_dump(mode="json", by_alias=True, exclude_none=True)
        for place, person in enumerate(people):
            yield {
                "id": f"{event.chat_id}-{event.number}-{place}",
                "recipient": _recipient(person),
                "type": event.type.value,
                "payload": payload,
                "ordered": True,
                "ack": "client",
                "ttlSeconds": self.ttl_seconds,
                "correlationId": event.chat_id,
            }


def installation(accept_function_name: str, clients: Clients) -> Installation:
    """Ringback, as far as it is needed to send."""
    return Installation("Ringback", {"AcceptFunctionName": accept_function_name}, clients)


def _recipient(person: Person) -> dict[str, str]:
    # As it is: a name that Ringback does not take is a message that it does not take, and no failure here.
    return {"user": person.user, "context": CONTEXT, "contextId": person.role.context_id}


def _not_taken(what: str | None, status: str, detail: str | None) -> None:
    count(Metric.ERRORS)
    logger.error("Ringback did not take a message", extra={"what": what, "status": status, "reason": detail})
