"""What the benchmark of cold starts measures, and what it makes of Python's own report."""

import re
from collections import Counter
from typing import Any

from benchmarks import init
from tests.unit.benchmarks.test_handlers import CALLS

SERVICES = {"dynamodb": "dynamodb", "management_api": "apigatewaymanagementapi", "step_functions": "sfn"}


def test_every_function_is_measured() -> None:
    assert set(init.functions()) == set(init.CLIENTS)
    assert set(init.REQUIRED_OF) <= set(init.CLIENTS)


def test_the_clients_of_hot_functions_are_those_of_their_usual_calls() -> None:
    made = {
        module: {SERVICES[name] for name in re.findall(r"aws\.(\w+)\(", " ".join(making))}
        for module, making in init.CLIENTS.items()
        if module in CALLS
    }
    assert made == {module: {service for service, _ in calls} for module, calls in CALLS.items()}


def test_costs_are_the_sums_of_packages_from_the_mark_on_the_dearest_first() -> None:
    report = """import time: self [us] | cumulative | imported package
import time:      9000 |       9000 |   encodings
-- from here
import time:       500 |        500 |     json.decoder
import time:      1000 |       1500 |   json
import time:      2000 |       3500 | botocore.session
some warning: 1 | 2 | 3
"""
    assert list(init.import_costs(report.splitlines()).items()) == [("botocore", 2.0), ("json", 1.5)]


def measured(ours: list[float], **others: list[float]) -> dict[str, init.Measured]:
    """All of them with these seconds, the base with 0.4 at least, and a few that are named with their own."""
    sides = {name: init.Measured(ours, [1024], [2048]) for name in (*init.CLIENTS, *init.ALSO)}
    sides |= {name.replace("__", "."): init.Measured(seconds, [1024], [2048]) for name, seconds in others.items()}
    return {init.BASE: init.Measured([0.4, 0.5, 9.0], [0], [0]), **sides}


def test_ratios_are_of_the_least_and_the_authorizer_has_its_own() -> None:
    result = init.result(measured([0.2, 0.9, 3.0]), {name: {} for name in init.CLIENTS})

    ratios = {ratio.name.split()[3].rstrip(","): (ratio.value, ratio.required, ratio.ok) for ratio in result.ratios}
    assert ratios.keys() == init.CLIENTS.keys()
    assert ratios["routes.authorizer"] == (0.5, 0.6, True)
    assert ratios["triggers.wake"] == (0.5, 1.0, True)
    assert result.tables[0].rows[1][1:5] == (0.5, 200, 900, 3000)


def test_who_is_near_to_the_bound_or_beyond_is_looked_at_again() -> None:
    sides = measured(
        [0.2], triggers__wake=[0.37, 0.5], routes__connect=[0.35, 9.0], calls__accept=[0.5], routes__authorizer=[0.23]
    )

    assert init.near(sides) == ["calls.accept", "routes.authorizer", "triggers.wake"]


def test_only_what_is_near_gets_more_rounds_and_the_base_with_it() -> None:
    runs: Counter[str] = Counter()

    class Side(init.Side):
        def run(self, *_options: str) -> tuple[list[Any], str]:
            runs[self.work] += 1
            return [0.2 if self.work == "triggers.wake" else 0.1 if self.work != init.BASE else 0.21, 1, 1], ""

    measured = init._measure({name: Side(name) for name in (init.BASE, *init.CLIENTS)}, lambda _: None)

    rounds = {name: len(side.seconds) for name, side in measured.items()}
    assert rounds["triggers.wake"] == init.ROUNDS + init.MORE_ROUNDS
    assert rounds[init.BASE] == 2 * rounds["triggers.wake"]
    assert rounds["triggers.ingest"] == init.ROUNDS
    assert sum(rounds.values()) <= sum(runs.values()) <= sum(rounds.values()) + 3  # the first ones warm the disk
