"""`python -m tests.operations.aws_command SERVICE OPERATION --option value …`: the AWS CLI, as the runbook uses it.

The real one pins a botocore of its own, which is not the one that is locked here. Options come from botocore's models,
as the CLI's do, so a name that AWS does not have is refused here, too.
"""

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main(arguments: Sequence[str]) -> None:
    """Make one call and write its answer."""
    service, operation, *rest = arguments
    words, options = _read(rest)
    query, output = _only(options.pop("query", [])), _only(options.pop("output", [])) or "json"
    if (service, operation) == ("logs", "tail"):
        sys.stdout.writelines(f"{line}\n" for line in _tail(words[0], options))
        return
    client = botocore.session.get_session().create_client({"events": "events"}.get(service, service))
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {xform_name(name, "-"): (name, member) for name, member in (shape.members if shape else {}).items()}
    request: dict[str, Any] = {}
    for option, values in options.items():
        positive = option.removeprefix("no-")
        if positive not in members:
            sys.exit(f"aws {service} {operation}: unknown option --{option}")
        name, member = members[positive]
        request[name] = _value(member, values, negated=option != positive)
    if client.can_paginate(method) and "Limit" not in request:
        answer: Any = client.get_paginator(method).paginate(**request).build_full_result()
    else:
        answer = getattr(client, method)(**request)
    answer.pop("ResponseMetadata", None)
    if (service, operation) == ("lambda", "invoke"):
        Path(words[0]).write_bytes(answer.pop("Payload").read())
    found = jmespath.search(query, answer) if query else answer
    sys.stdout.write(_text(found) if output == "text" else json.dumps(found, default=str, indent=2) + "\n")


def _read(arguments: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What is not an option's, and the options with their values; the CLI's one that takes a file comes last."""
    words: list[str] = []
    options: dict[str, list[str]] = {}
    into = words
    for argument in arguments:
        if argument.startswith("--"):
            into = options.setdefault(argument[2:], [])
        elif argument.startswith("/dev/"):
            words.append(argument)
        else:
            into.append(argument)
    return words, options


def _only(values: list[str]) -> str | None:
    return values[0] if values else None


def _value(shape: Any, values: list[str], *, negated: bool) -> Any:
    match shape.type_name:
        case "boolean":
            return not negated
        case "integer" | "long":
            return int(values[0])
        case "blob":
            return Path(values[0].removeprefix("fileb://")).read_bytes()
        case "list" if not values[0].startswith("["):
            return values
        case "list" | "structure" | "map":
            return json.loads(values[0])
        case _:
            return values[0]


def _text(found: Any) -> str:
    match found:
        case None:
            return "None\n"
        case list():
            nested = any(isinstance(each, list) for each in found)
            if nested:
                return "".join("\t".join(str(part) for part in each) + "\n" for each in found)
            return "\t".join(str(each) for each in found) + "\n"
        case _:
            return f"{found}\n"


def _tail(group: str, options: dict[str, list[str]]) -> Iterator[str]:
    since = _only(options.get("since", [])) or "10m"
    number, unit = re.fullmatch(r"(\d+)([smhd])", since).groups()  # type: ignore[union-attr]
    request: dict[str, Any] = {
        "logGroupName": group,
        "startTime": int((time.time() - int(number) * _UNITS[unit]) * 1000),
    }
    if pattern := _only(options.get("filter-pattern", [])):
        request["filterPattern"] = pattern
    client = botocore.session.get_session().create_client("logs")
    for page in client.get_paginator("filter_log_events").paginate(**request):
        yield from (event["message"] for event in page["events"])


if __name__ == "__main__":
    main(sys.argv[1:])
