"""What a cold start does before it can call anything: the imports of every function, and the clients of its usual path.

Each measurement is a process of its own, in turns with one that does what any function with an AWS SDK does at least:
`import boto3` and make one client. Ours run from the code and the layer that would be uploaded, built for this machine.

Ratios are of the least that each side took: what else the machine does only adds to a process's time, to a short one's
as to a long one's, so the least of several is nearest to the work itself.
"""

import ast
import json
import random
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import scenes
from benchmarks.report import Plot, Ratio, Result, Say, Table
from cdk_app import bundles

ROUNDS: Final = 9
MORE_ROUNDS: Final = 9
"""For those only that are near to what is required, and as long as they are."""
NEAR: Final = 0.9
REQUIRED: Final = 1.0
REQUIRED_OF: Final = {"routes.authorizer": 0.6}
DEAREST: Final = 10

BASE: Final = "import boto3 and one client"
_BASE_TIMES: Final = 2  # a round: every ratio stands on it

_AWS, _CHAT = "from lambdas.adapters import aws", "from lambdas.chat.adapters import aws"
_DYNAMODB, _RUNS, _EVENTS = f"{_AWS}; aws.dynamodb()", f"{_AWS}; aws.step_functions()", f"{_AWS}; aws.events()"
_POSTS = f"{_AWS}; aws.management_api({scenes.ENDPOINT!r})"
_CHATS, _CHATS_RUNS = f"{_CHAT}; aws.dynamodb()", f"{_CHAT}; aws.step_functions()"
_CHATS_MESSAGES = f"{_CHAT}; aws.ringback().functions"

CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "calls.accept": (_DYNAMODB, _POSTS),
    "calls.post_once": (_POSTS,),
    "routes.acknowledge": (_DYNAMODB, _RUNS),
    "routes.authorizer": (
        f"from lambdas.routes.authorizer import handler; handler({scenes.authorizer_event()!r}, CONTEXT)",
    ),
    "routes.connect": (_DYNAMODB,),
    "routes.disconnect": (_DYNAMODB,),
    "routes.http_api": (_DYNAMODB, _POSTS),
    "tasks.hand_over_to_deliveries": (_DYNAMODB, _RUNS),
    "tasks.plan_fan_out": (_DYNAMODB,),
    "tasks.post_and_await_acknowledgement": (_DYNAMODB, _POSTS),
    "tasks.post_to_audience": (_DYNAMODB, "from lambdas.adapters import poster; poster.shared()"),
    "tasks.post_to_connections": (_POSTS,),
    "tasks.resolve_connections": (_DYNAMODB,),
    "tasks.wait_for_reconnect": (_DYNAMODB,),
    "triggers.ended": (_DYNAMODB, _POSTS),
    "triggers.ingest": (_DYNAMODB, _POSTS),
    "triggers.presence": (_EVENTS,),
    "triggers.wake": (_DYNAMODB, _RUNS),
    "chat.routes.chat_api": (_CHATS,),
    "chat.tasks.await_change": (_CHATS,),
    "chat.tasks.settle_overdue": (_CHATS,),
    "chat.triggers.notice_presence": (_CHATS, _CHATS_MESSAGES),
    "chat.triggers.publish_events": (_CHATS, _CHATS_RUNS, _CHATS_MESSAGES),
}
"""What the usual invocation of each function makes once and keeps, by its module below `lambdas`. A test runs the hot
functions and holds this against the clients that they made. The authorizer makes no client: it verifies one token."""

ALSO: Final[Mapping[str, str]] = {
    "routes.authorizer, keys from a secret": (
        "import lambdas.routes.authorizer; from lambdas.adapters import aws, token_keys; token_keys._secrets_manager()"
    ),
    "a client of the layer's, and nothing else": (
        "import botocore.session; botocore.session.get_session().create_client('dynamodb')"
    ),
}
"""What is measured beside the functions, and of which nothing is required."""

_PROGRAM: Final = """
import sys, time
sys.path[0:0], sys.path[len(sys.path):] = {before!r}, {after!r}
class CONTEXT:
    function_name = aws_request_id = invoked_function_arn = "function"
    memory_limit_in_mb = 256
def peak():
    try:
        with open("/proc/self/status") as status:
            return [int(line.split()[1]) for line in status if line.startswith("VmHWM")][0]
    except OSError:
        return 0
memory = peak()
sys.stderr.write({mark!r} + chr(10))
start = time.process_time()
{work}
seconds = time.process_time() - start
print(repr([seconds, peak() - memory, peak()]))
"""
_MARK: Final = "-- from here"


@dataclass
class Measured:
    """Round by round: seconds of processor time, KiB that the peak of its memory grew by, and that peak itself."""

    seconds: list[float] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)

    def over(self, base: "Measured") -> float:
        """How many times as long it takes, by the least of each."""
        return min(self.seconds) / min(base.seconds)


@dataclass(frozen=True)
class Side:
    """What a process does, and where it finds its modules."""

    work: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def run(self, *options: str) -> tuple[list[Any], str]:
        """Do it in a process of its own: seconds, KiB added, KiB at the peak; and what it wrote on stderr."""
        program = _PROGRAM.format(before=list(self.before), after=list(self.after), work=self.work, mark=_MARK)
        done = subprocess.run(  # noqa: S603 - our own interpreter, our own program
            [sys.executable, "-I", "-S", *options, "-c", program],
            env={**scenes.environment(), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.work.partition(';')[0]} failed:\n{done.stderr[-2000:]}")
        *_logs, last = done.stdout.splitlines()
        figures: list[Any] = json.loads(last)
        return figures, done.stderr


def functions() -> list[str]:
    """The modules below `lambdas` that have a handler."""
    lambdas = bundles.ROOT / "lambdas"
    found = (file for file in sorted(lambdas.rglob("*.py")) if _has_handler(ast.parse(file.read_text("utf-8"))))
    return [".".join(file.relative_to(lambdas).with_suffix("").parts) for file in found]


def run(say: Say) -> Result:
    """Measure all of them."""
    missing = set(functions()) ^ set(CLIENTS)
    if missing:
        raise RuntimeError(f"CLIENTS in benchmarks/init.py is to name every function, and no other: {sorted(missing)}")
    with tempfile.TemporaryDirectory() as directory:
        say("init: builds the code and the layer for this machine")
        sides = _sides(Path(directory))
        measured = _measure(sides, say)
        say("init: what each import costs")
        costs = {name: _import_costs(sides[name]) for name in CLIENTS}
    return result(measured, costs)


def _sides(directory: Path) -> dict[str, Side]:
    target = bundles.host()
    bundles.build_code(target, directory / "code")
    bundles.build_layer(bundles.export_requirements(), target, directory / "layer")
    deployed = (str(directory / "code"), str(directory / "layer" / "python"))
    works = {name: "; ".join((f"import lambdas.{name}", *making)) for name, making in CLIENTS.items()}
    ours = {name: Side(work, before=deployed) for name, work in {**works, **ALSO}.items()}
    stock = sysconfig.get_path("purelib")
    return {BASE: Side("import boto3; boto3.client('dynamodb')", after=(stock,)), **ours}


def _measure(sides: Mapping[str, Side], say: Say) -> dict[str, Measured]:
    measured = {name: Measured() for name in sides}
    for name in (BASE, "tasks.post_to_audience", "routes.authorizer"):
        sides[name].run()  # so that the disk's cache is as warm for the first as for the last
    for number in range(ROUNDS):
        say(f"init: round {number + 1} of {ROUNDS}")
        _round(number, [*sides, *[BASE] * (_BASE_TIMES - 1)], sides, measured)
    for number in range(ROUNDS, ROUNDS + MORE_ROUNDS):
        close = near(measured)
        if not close:
            break
        say(f"init: another round of what is near to its bound: {', '.join(close)}")
        _round(number, [*close, *[BASE] * _BASE_TIMES], sides, measured)
    return measured


def near(measured: Mapping[str, Measured]) -> list[str]:
    """The functions that are so near to what is required that a longer look is worth it, or beyond."""
    return [name for name in CLIENTS if measured[name].over(measured[BASE]) > NEAR * _required(name)]


def _required(name: str) -> float:
    return REQUIRED_OF.get(name, REQUIRED)


def _round(number: int, names: Iterable[str], sides: Mapping[str, Side], measured: Mapping[str, Measured]) -> None:
    order = list(names)
    random.Random(number).shuffle(order)  # noqa: S311 - who comes after whom is to be of no account
    for name in order:
        (seconds, added, peak), _ = sides[name].run()
        measured[name].seconds.append(seconds)
        measured[name].added.append(added)
        measured[name].peak.append(peak)


def _import_costs(side: Side) -> dict[str, float]:
    _, report = side.run("-X", "importtime")
    return import_costs(report.splitlines())


def import_costs(report: Iterable[str]) -> dict[str, float]:
    """Milliseconds by package, the dearest first: what `-X importtime` says of modules themselves, in sum."""
    costs: dict[str, float] = defaultdict(float)
    lines = iter(report)
    for line in lines:
        if line == _MARK:
            break
    for line in lines:
        label, _, row = line.partition(":")
        numbers = row.split("|")
        if label == "import time" and len(numbers) == 3 and numbers[0].strip().isdigit():
            costs[numbers[2].strip().partition(".")[0]] += int(numbers[0]) / 1000
    return dict(sorted(costs.items(), key=lambda cost: cost[1], reverse=True))


def result(measured: Mapping[str, Measured], costs: Mapping[str, Mapping[str, float]]) -> Result:
    """What comes of it: of each side what was measured, and of each function the milliseconds of its imports."""
    ratios = {name: round(side.over(measured[BASE]), 3) for name, side in measured.items()}
    return Result(
        name="init",
        what="A cold start's own work: imports and clients of every function, against `import boto3` and one client",
        tables=(
            Table(
                "Init and memory",
                ("function", "ratio", "least (ms)", "median (ms)", "most (ms)", "adds (MB)", "peak memory (MB)"),
                tuple(_row(name, side, ratios[name]) for name, side in measured.items()),
                note=(
                    "Processor time. The ratio is that of the least of each: what else this machine does only adds. "
                    "Memory is the process's peak, in the median, most of it what Python has at its start."
                ),
            ),
            Table(
                "What each import costs",
                ("function", f"its {DEAREST} dearest packages (ms)"),
                tuple((name, _dearest(cost)) for name, cost in costs.items()),
                note=(
                    "Modules' own time, by package, in one run; Python measures it by the clock, and makes it more "
                    "than it is by that. Clients that are made at an import count for the module that makes them."
                ),
            ),
        ),
        ratios=tuple(
            Ratio(f"cold start of {name}, in times of boto3 with one client", ratios[name], _required(name), "at most")
            for name in CLIENTS
        ),
        plots=(
            Plot(
                "init",
                "Init of the functions, in times of `import boto3` and one client",
                "function",
                "times",
                {"init": [ratios[name] for name in CLIENTS]},
                labels=tuple(CLIENTS),
            ),
        ),
        not_measured=(
            "Lambda's own part of a cold start: to fetch code and layer, to start the environment and Python.",
            f"Python 3.13 on Graviton: this is {sys.version_info.major}.{sys.version_info.minor} on this machine.",
            (
                "The keys of an authorizer that has them from a URL: it imports no more than the one here, since PyJWT "
                "brings HTTP along, but makes a TLS handshake and a request with the first token."
            ),
        ),
        details={
            "base_ms": round(min(measured[BASE].seconds) * 1000, 1),
            "seconds": {name: [round(seconds, 4) for seconds in side.seconds] for name, side in measured.items()},
            "imports_ms": {
                name: {package: round(ms, 1) for package, ms in cost.items()} for name, cost in costs.items()
            },
        },
    )


def _row(name: str, side: Measured, ratio: float) -> tuple[str | float, ...]:
    return (
        name,
        ratio,
        *(round(of(side.seconds) * 1000) for of in (min, median, max)),
        round(median(side.added) / 1024, 1),
        round(median(side.peak) / 1024, 1),
    )


def _dearest(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{package} {ms:.1f}" for package, ms in list(costs.items())[:DEAREST])


def _has_handler(module: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "handler" for node in module.body)
