"""What the tables ask of DynamoDB where moto would not notice the difference."""

import json
from collections.abc import Callable

import pytest

from lambdas.adapters.tables import CallbackTable, ConnectionTable
from tests.builders import recipient
from tests.integration.service import Answer, Service


@pytest.mark.parametrize(
    "read",
    [
        lambda: ConnectionTable("Connections").of_recipient(recipient()),
        lambda: ConnectionTable("Connections").of_user("ana"),
        lambda: list(CallbackTable("Callbacks").waiting_for_reconnect(recipient())),
        lambda: list(CallbackTable("Callbacks").waiting_for_acknowledgement("ana", "m-1")),
    ],
    ids=["of_recipient", "of_user", "waiting_for_reconnect", "waiting_for_acknowledgement"],
)
def test_every_read_is_consistent_or_a_wake_up_could_be_lost(service: Service, read: Callable[[], object]) -> None:
    service.answer = Answer(200, b'{"Items": []}')

    read()

    (request,) = service.requests
    assert json.loads(request.body)["ConsistentRead"] is True
