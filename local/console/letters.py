"""The dead letters of one queue, as the page shows them."""

import json
import threading
from collections.abc import Collection
from itertools import islice
from typing import Any

from local.console import moments
from ringback.dead_letters import DeadLetter, NewLife, Queue, Redriven, open_queue
from ringback.errors import LetterNotFound
from ringback.installation import Installation

Json = dict[str, Any]

MAX_SHOWN = 1_000
# All of them go to each page whenever one comes or goes: of a longer message, the page asks for what it opens.
MAX_SHOWN_CHARACTERS = 2_000


class Letters:
    """One queue. Who reads it hides its letters for a moment, so one thread at a time does."""

    def __init__(self, installation: Installation, queue: Queue) -> None:
        self.name = queue
        self._queue = open_queue(installation, queue, wait_seconds=0)
        self._reading = threading.Lock()

    def count(self) -> int:
        """How many there are, whether or not somebody reads them now."""
        depth = self._queue.depth()
        return depth.visible + depth.hidden

    def read(self) -> list[Json]:
        """The letters, the oldest first; a thousand at most, and only the short ones with their message."""
        with self._reading:
            letters = self._queue.letters()
            try:
                found = [_letter(self.name, letter) for letter in islice(letters, MAX_SHOWN)]
            finally:
                letters.close()
        return sorted(found, key=lambda one: (one["deadLetteredAt"], one["letterId"]))

    def message(self, letter_id: str) -> Any:
        """The message of one letter, however long; its text if it is no JSON.

        Raises:
            LetterNotFound
        """
        with self._reading:
            return _message(self._queue.find(letter_id))

    def redrive(self, ids: Collection[str], *, ttl_seconds: int | None) -> list[Json]:
        """Send their messages again; what became of each."""
        results: list[Json] = []
        with self._reading:
            try:
                self._queue.redrive(
                    ids, life=NewLife(ttl_seconds), on_result=lambda result: results.append(_result(result))
                )
            except LetterNotFound as error:
                seen = {result["letterId"] for result in results}
                results += [
                    {"letterId": one, "outcome": "notFound", "detail": str(error)} for one in ids if one not in seen
                ]
        return results

    def purge(self, ids: Collection[str]) -> int:
        """Delete them; answers how many.

        Raises:
            LetterNotFound: there is none of them.
        """
        purged = 0

        def count(so_far: int) -> None:
            nonlocal purged
            purged = so_far

        with self._reading:
            try:
                self._queue.purge(ids, on_progress=count)
            except LetterNotFound:
                if not purged:
                    raise
        return purged


def _letter(queue: Queue, letter: DeadLetter) -> Json:
    message = _message(letter)
    recipient = message.get("recipient") if isinstance(message, dict) else None
    known = {**letter.attributes, **(recipient if isinstance(recipient, dict) else {})}
    optional = {
        "user": known.get("user"),
        "context": known.get("context"),
        "contextId": known.get("contextId"),
        "executionArn": letter.execution_arn,
    }
    shown = {
        "queue": queue,
        "letterId": letter.letter_id,
        "id": letter.message_id,
        **{name: value for name, value in optional.items() if isinstance(value, str)},
        "reason": letter.reason,
        "cause": letter.cause,
        "attempts": letter.attempts,
        "deadLetteredAt": moments.text(letter.dead_lettered_at),
    }
    short = {name: value[:MAX_SHOWN_CHARACTERS] if isinstance(value, str) else value for name, value in shown.items()}
    return {**short, "message": message} if len(json.dumps(message)) <= MAX_SHOWN_CHARACTERS else short


def _message(letter: DeadLetter) -> Any:
    message: Any = _json(letter.body) if letter.message is None else letter.message
    try:
        json.dumps(message, allow_nan=False)
    except (ValueError, RecursionError):
        return letter.body  # Python reads NaN as JSON, and no browser does
    return message


def _result(result: Redriven) -> Json:
    known = {
        "letterId": result.letter_id,
        "id": result.message_id,
        "outcome": result.outcome,
        "executionArn": result.execution_arn,
        "detail": result.detail,
    }
    return {name: value for name, value in known.items() if value is not None}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
