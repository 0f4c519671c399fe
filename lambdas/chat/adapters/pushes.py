"""What people get: messages that Ringback carries."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from lambdas.chat.adapters import aws
from lambdas.chat.core.errors import Unavailable
from lambdas.chat.core.model import Event, Person
from lambdas.observability import Metric, count, logger
from ringback.forms import timestamp
from ringback.installation import Clients, Installation
from ringback.publisher import Publisher, Result


class Screens:
    """`lambdas.chat.core.ports.Screens` on Ringback, which is given ``to_show`` no longer than its caller has time."""

    def __init__(self, to_show: Installation) -> None:
        self.to_show = to_show

    def show(self, kind: str, payloads: Iterable[tuple[Person, dict[str, Any]]]) -> int:
        """Push what is true only now to who is connected now, once; answers how many were.

        What Ringback will never take is left out: it stands in the log.

        Raises:
            Unavailable: some may not have seen it, who may be there.
        """
        messages = [
            {"recipient": _recipient(person), "type": kind, "payload": payload, "durable": False}
            for person, payload in payloads
        ]
        results: list[Result] = []
        with aws.translated():
            Publisher(self.to_show).publish_many(messages, on_result=results.append)
        for result in results:
            _note_if_never_taken(result, kind)
        if missing := sum(result.status == "unavailable" for result in results):
            raise Unavailable(f"Ringback did not take {missing} of {len(results)} messages ({kind})")
        return sum(result.accepted for result in results)


class Pushes(Screens):
    """`lambdas.chat.core.ports.Pushes` on Ringback."""

    def __init__(self, to_show: Installation, to_tell: Installation, ttl: timedelta) -> None:
        super().__init__(to_show)
        self.to_tell = to_tell
        self.ttl = ttl

    def tell(self, events: Sequence[tuple[Event, Sequence[Person]]]) -> tuple[int, str | None]:
        """Push events to the people of their chats, in this order; answers how many are done, and why the next is not.

        What Ringback will never take is left out, and holds up nothing: it stands in the log.
        """
        results: list[Result] = []
        messages = [message for event, people in events for message in self._messages(event, people)]
        try:
            with aws.translated():
                Publisher(self.to_tell).publish_many(messages, on_result=results.append)
        except Unavailable as error:
            return 0, str(error)
        answers = iter(results)
        for done, (_, people) in enumerate(events):
            of_event = list(islice(answers, len(people)))
            if any(result.status == "unavailable" for result in of_event):
                missing = sum(result.status == "unavailable" for result in results)
                return done, f"Ringback did not take {missing} of {len(results)} messages"
            for result in of_event:
                _note_if_never_taken(result, result.id)
        return len(events), None

    def _messages(self, event: Event, people: Sequence[Person]) -> Iterator[dict[str, Any]]:
        payload = event.as_json()
        # Not a length: what is pushed again has to be the same, or Step Functions would take it for another run's.
        expires_at = timestamp(event.at + self.ttl)
        for place, person in enumerate(people):
            yield {
                "id": f"{event.chat_id}-{event.number}-{place}",
                "recipient": _recipient(person),
                "type": event.type.value,
                "payload": payload,
                "ordered": True,
                "ack": "client",
                "expiresAt": expires_at,
                "correlationId": event.chat_id,
            }


def installation(accept_function_name: str, clients: Clients) -> Installation:
    """Ringback, as far as it is needed to send."""
    return Installation("Ringback", {"AcceptFunctionName": accept_function_name}, clients)


def _recipient(person: Person) -> dict[str, str]:
    # As it is: a name that Ringback does not take is a message that it does not take, and no failure here.
    return {"user": person.user, "context": person.role.context, "contextId": person.role.context_id}


def _note_if_never_taken(result: Result, what: str | None) -> None:
    if result.status in {"invalid", "conflict"}:
        count(Metric.ERRORS)
        logger.error(
            "Ringback does not take a message",
            extra={"what": what, "status": result.status, "reason": result.detail},
        )
