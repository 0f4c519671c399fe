"""Which function of an HTTP API answers a request. Events of API Gateway (payload 2.0) in, its answers out.

API Gateway looks for routes, too, but only after it has decoded the path: a name with a slash in it then is not where
it belongs. So the path decides here, and what API Gateway had no route for gets an answer as well.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from aws_lambda_powertools.utilities.typing import LambdaContext

# What a caller may write into one segment of a path, once it is decoded.
_SEGMENT = r"[\w.~()'!*:@,;=+&$%<> \[\]{}|^-]+"


class Request(NamedTuple):
    """What API Gateway brings."""

    event: dict[str, Any]
    context: LambdaContext

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters behind the path; one that is given twice has a comma in it."""
        return self.event.get("queryStringParameters") or {}


class Response(NamedTuple):
    """What the caller gets."""

    status: HTTPStatus
    body: str
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}

    def to_event(self) -> dict[str, Any]:
        """As API Gateway wants it."""
        return {
            "statusCode": self.status.value,
            "body": self.body,
            "isBase64Encoded": False,
            "headers": {**self.headers, "Content-Type": self.content_type},
            "cookies": [],
        }


Answer = TypeVar("Answer", bound=Callable[..., Response])


class Route(NamedTuple):
    """One method of one path, which has at most one name in it: ``{id}`` is a segment, ``{id+}`` may be several."""

    method: str
    path: str
    operation_id: str
    answer: Callable[..., Response]

    @property
    def placeholder(self) -> str:
        """What the name is called; nothing if there is none, and the path is exact."""
        return self.path.partition("{")[2].partition("}")[0].rstrip("+")

    def names(self, path: str) -> tuple[str, ...] | None:
        """What a request's path says for the name in this one; None if it is another path."""
        if not self.placeholder:
            return () if path == self.path else None
        before, _, rest = self.path.partition("{")
        placeholder, _, after = rest.partition("}")
        name = path[len(before) : len(path) - len(after)]
        if not name or path != before + name + after:
            return None
        return (name,) if placeholder.endswith("+") or re.fullmatch(_SEGMENT, name) else None


class NoRoute(Exception):
    """There is nothing at this path; or there is, but only for other methods."""

    def __init__(self, methods: list[str]) -> None:
        super().__init__("no such route")
        self.methods = methods


class Routes(list[Route]):
    """The routes of one API. Where two fit, the one that is exact counts."""

    def add(self, method: str, path: str, operation_id: str) -> Callable[[Answer], Answer]:
        """Decorate the function that answers: it gets the request, and the name in its path if there is one."""

        def decorate(answer: Answer) -> Answer:
            self.append(Route(method, path, operation_id, answer))
            return answer

        return decorate

    def answer(
        self, event: dict[str, Any], context: LambdaContext, *, problem: Callable[[Exception], Response]
    ) -> dict[str, Any]:
        """Answer a request; ``problem`` says what becomes of an error, of which `NoRoute` is one."""
        try:
            route, names = self._find(event["requestContext"]["http"]["method"], event["rawPath"])
            response = route.answer(Request(event, context), *names)
        except Exception as error:  # noqa: BLE001 - the caller gets an answer, whatever it is
            response = problem(error)
        return response.to_event()

    def _find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]]:
        fitting = [(route, names) for route in self if (names := route.names(path)) is not None]
        exact = [each for each in fitting if not each[0].placeholder]
        for route, names in (*exact, *fitting):
            if route.method == method:
                return route, names
        raise NoRoute(sorted(route.method for route, _ in exact or fitting))
