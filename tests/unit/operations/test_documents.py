"""The commands in the documents for operators: what no test can run is at least something that AWS has."""

import re
from collections.abc import Iterator

import botocore.session
import pytest
from botocore import xform_name

from local.settings import ROOT
from tests.operations import runbook

GLOBAL_OPTIONS = {"query", "output"}
# They are the command line's own, and in no model.
OF_THE_COMMAND_LINE = {("logs", "tail"), ("dynamodb", "wait")}
DOCUMENTS = ("runbook.md", "upgrade.md", "restore.md")


def commands(document: str) -> Iterator[tuple[str, str, set[str]]]:
    """Service, operation and options of each `aws` in a document."""
    text = (ROOT / "docs" / document).read_text("utf-8").replace("\\\n", " ")
    for found in re.finditer(r"\baws ([a-z0-9-]+) ([a-z-]+)((?:\s[^`\n]*)?)", text):
        rest = found[3].split("$(")[0] if "$(aws" in found[3] else found[3]
        yield found[1], found[2], set(re.findall(r"--([a-z][a-z-]+)", rest))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_aws_has_each_operation_and_option(document: str) -> None:
    session = botocore.session.get_session()
    found = [each for each in commands(document) if each[:2] not in OF_THE_COMMAND_LINE]
    assert found
    for service, operation, options in found:
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, f"aws {service} {operation}"
        shape = model.operation_model(operations[operation]).input_shape
        known = {xform_name(name, "-") for name in (shape.members if shape else {})}
        assert options <= known | GLOBAL_OPTIONS | {f"no-{name}" for name in known}, f"aws {service} {operation}"


def test_an_entrys_blocks_and_commands_are_found() -> None:
    assert runbook.blocks("DeadLetters") == ["ringback dead-letters list\nringback dead-letters show ID\n"]
    assert runbook.commands("DeadLetters") == ["ringback dead-letters redrive ID", "ringback dead-letters purge ID"]
    assert runbook.PREAMBLE.startswith("STACK=")
