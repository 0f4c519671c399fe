"""`ringback doctor`."""

import argparse
from functools import partial

from ringback.cli.output import Output
from ringback.cli.places import is_local, open_installation
from ringback.doctor import diagnose, find_stack_elsewhere
from ringback.installation import DEFAULT_STACK, Clients

_SIGNS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


def run(arguments: argparse.Namespace) -> int:
    """Check an installation; 1 if it has a problem."""
    out = Output(arguments.as_json)
    problems = warnings = 0
    elsewhere = None if is_local(arguments) else partial(_elsewhere, arguments)
    for finding in diagnose(partial(open_installation, arguments), stack_elsewhere=elsewhere):
        problems += finding.level == "problem"
        warnings += finding.level == "warning"
        out.result(finding, f"{_SIGNS[finding.level]}  {finding.check}: {finding.what}")
        if finding.what_to_do and not arguments.as_json:
            out.result(None, f"         → {finding.what_to_do}")
    out.note(f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    return 1 if problems else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _elsewhere(arguments: argparse.Namespace) -> list[str]:
    clients = Clients.of_aws(region=arguments.region, profile=arguments.profile)
    return find_stack_elsewhere(clients, arguments.stack or DEFAULT_STACK)
