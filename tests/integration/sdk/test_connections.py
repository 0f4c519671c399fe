"""A user's connections, as the functions store them."""

from datetime import timedelta

from lambdas.adapters.tables import ConnectionTable
from ringback.connections import read_connections
from tests import builders
from tests.builders import NOW
from tests.integration.sdk.conftest import Place


def test_what_the_functions_store_is_what_a_backend_sees(place: Place) -> None:
    table = ConnectionTable(place.installation.output("ConnectionsTableName"))
    stale = builders.connection("stale", age_seconds=30, token_life_seconds=60)
    table.put(builders.connection("old", builders.recipient(context_id="43"), age_seconds=90))
    table.put(stale)
    table.put(builders.connection("expired", life_seconds=-1))
    table.put(builders.connection("token-expired", token_life_seconds=-1))
    table.put(builders.connection("other", builders.recipient("ana-2")))
    table.mark_stale(stale.recipient, "stale", NOW - timedelta(seconds=5))

    found = read_connections(place.installation.clients.dynamodb, table.name, "ana", now=NOW)

    assert [one.to_json() for one in found] == [
        {
            "connectionId": "old",
            "user": "ana",
            "context": "chat",
            "contextId": "43",
            "connectedAt": "2030-01-31T11:58:30Z",
            "expiresAt": "2030-01-31T14:00:00Z",
            "state": "active",
            "staleSince": None,
        },
        {
            "connectionId": "stale",
            "user": "ana",
            "context": "chat",
            "contextId": "42",
            "connectedAt": "2030-01-31T11:59:30Z",
            "expiresAt": "2030-01-31T12:01:00Z",
            "state": "stale",
            "staleSince": "2030-01-31T11:59:55Z",
        },
    ]


def test_more_connections_than_a_page_holds(place: Place) -> None:
    table = ConnectionTable(place.installation.output("ConnectionsTableName"))
    for number in range(5):
        table.put(builders.connection(f"c-{number}")._replace(endpoint="https://" + "x" * 300_000))

    assert len(read_connections(place.installation.clients.dynamodb, table.name, "ana", now=NOW)) == 5
