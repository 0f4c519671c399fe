"""What the functions that messages come in through meet here: real tables, sockets and runs that are fakes."""

from dataclasses import dataclass
from typing import Any

import pytest

from lambdas.adapters import wiring
from lambdas.adapters.tables import ConnectionTable
from tests.builders import connection
from tests.contract.conftest import Stage
from tests.fakes import FakeDeliveries, FakeSockets

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:Delivery"


@dataclass
class Outside:
    """What happens outside of the functions."""

    deliveries: FakeDeliveries
    sockets: FakeSockets
    connections: ConnectionTable

    def connect(self, connection_id: str = "tab") -> None:
        """Have Ana connected."""
        self.connections.put(connection(connection_id))


def wired(stage: Stage, patch: pytest.MonkeyPatch, *, connections_table: str, sequences_table: str) -> Outside:
    """Set the environment and put fakes where the intake reaches out."""
    stage.set(
        CONNECTIONS_TABLE_NAME=connections_table,
        SEQUENCES_TABLE_NAME=sequences_table,
        DELIVERY_STATE_MACHINE_ARN=MACHINE,
        EVERY_MESSAGE_IS_A_RUN="false",
    )
    outside = Outside(FakeDeliveries(), FakeSockets(), ConnectionTable(connections_table))
    patch.setattr(wiring, "DeliveryMachine", lambda arn: outside.deliveries)
    patch.setattr(wiring, "ManagementApi", lambda: outside.sockets)
    patch.setattr("lambdas.clock.time.sleep", lambda seconds: None)
    return outside


def complaints(stage: Stage) -> list[dict[str, Any]]:
    """The log's lines about what is not as it should be."""
    return [line for line in stage.log() if line["level"] != "INFO"]
