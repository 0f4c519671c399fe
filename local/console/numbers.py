"""The numbers of ordered messages, which stand in a table: no history tells them."""

from collections.abc import Iterable, Mapping
from typing import Any

from ringback import aws
from ringback.installation import Installation

Json = dict[str, Any]

MAX_RUNS_A_READING = 100  # DynamoDB's own, for one call


def is_missing(run: Mapping[str, Any]) -> bool:
    """Whether a run (as the page gets it) has a number by now, and does not tell it."""
    numbered = run["state"] not in {"", "Resolve Connections"}  # the first function gives it
    return bool(run["ordered"] and numbered and "sequence" not in run)


class Numbers:
    """Reads them. Threads may share it."""

    def __init__(self, installation: Installation) -> None:
        self._client = installation.clients.dynamodb
        self._table_name = installation.output("SequencesTableName")

    def read(self, runs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """The numbers of these runs, a hundred at most, by their ARNs. A row that is not there any more says nothing.

        Raises:
            RingbackError
        """
        keys = {run["arn"]: _key(run) for run in runs}
        if not keys:
            return {}
        with aws.translated("dynamodb"):
            answer = self._client.batch_get_item(RequestItems={self._table_name: {"Keys": list(keys.values())}})
        rows = answer["Responses"].get(self._table_name, [])
        found = {(row["caller_id"]["S"], row["position"]["S"]): int(row["sequence"]["N"]) for row in rows}
        by_run = {arn: found.get((key["caller_id"]["S"], key["position"]["S"])) for arn, key in keys.items()}
        return {arn: number for arn, number in by_run.items() if number is not None}


def _key(run: Mapping[str, Any]) -> Json:
    return {
        "caller_id": {"S": f"user#{run['user']}"},
        "position": {"S": f"number#{run['context']}#{run['contextId']}#{run['name']}"},
    }
