"""The chat's HTTP API does what its description says, whatever it is sent by whom: Schemathesis, over loopback."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from werkzeug.serving import make_server

from lambdas.chat.core.model import Person
from lambdas.chat.routes import chat_api
from lambdas.chat.routes.openapi import openapi
from tests import conformance
from tests.builders import NOW
from tests.chats import ANA, BO
from tests.contract.chat_desk import (
    ACCEPTED,
    ENDED_BY_CUSTOMER,
    Desk,
    as_text,
    claims_of,
    desk,  # noqa: F401 - a fixture
    token_of,
)
from tests.contract.conftest import rows
from tests.contract.http_gateway import application_of

EXAMPLES = 2
SEED = 20300131
CHAT = "c-one"  # nothing that a random id could hold: the rows of this chat are found by it
OF_CUSTOMERS = {"startChat", "listChats", "rateChat"}
OF_AGENTS = {"listWaiting", "acceptChat", "transferChat"}
# In which state the chat has to be for a good request; it is active otherwise.
STATES = {"accept": (), "rating": (ACCEPTED, ENDED_BY_CUSTOMER), "chats": (ACCEPTED, ENDED_BY_CUSTOMER)}


@contextmanager
def serving(desk: Desk, by: Person) -> Iterator[str]:  # noqa: F811
    """Where the function answers this person, behind something like API Gateway. There is a chat that fits."""
    answer = application_of(chat_api.handler, as_text(claims_of(by)), token=token_of(claims_of(by)))
    one_at_a_time = threading.Lock()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:
            restore(desk, environ["PATH_INFO"].rpartition("/")[2])
            return answer(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def restore(desk: Desk, what: str) -> None:  # noqa: F811
    """Have the chat be as it was, and its customer free to start another one."""
    table = boto3.client("dynamodb")
    for row in rows("Chats"):
        key = {name: row[name] for name in ("collection", "item")}
        if CHAT in key["collection"]["S"] or CHAT in key["item"]["S"] or key["collection"]["S"] == "customer#ana":
            table.delete_item(TableName="Chats", Key=key)
    desk.chat(*STATES.get(what, (ACCEPTED,)), chat_id=CHAT, at=NOW)


def described() -> dict[str, Any]:
    """The description, with an example of a chat's id."""
    document = openapi()
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "id":
                    parameter["schema"]["enum"] = [CHAT, "c-404"]
    return document


@pytest.mark.parametrize("by", [ANA, BO], ids=["customer", "agent"])
def test_schemathesis_finds_nothing(desk: Desk, by: Person) -> None:  # noqa: F811
    with serving(desk, by) as url:
        token = token_of(claims_of(by))
        report = conformance.examine(described(), url, token=token, now=desk.clock.now, examples=EXAMPLES, seed=SEED)

    assert report.findings == []
    forbidden = OF_AGENTS if by is ANA else OF_CUSTOMERS
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            seen = {status for (name, status) in report.answers if name == f"{method.upper()} {path}"}
            may = operation["operationId"] not in forbidden
            assert bool(seen & {200, 201, 202}) is may, f"good requests were sent: {method} {path}"
            assert seen >= ({401} if may else {401, 403}), f"and bad ones: {method} {path}"
            assert not may or "requestBody" not in operation or 400 in seen, f"and bad bodies: {method} {path}"
