"""What checks the templates: cdk-nag, cfn-lint, and that the same input gives the same output."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack, aws_sqs
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint_by_config  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]
from constructs import IConstruct

from cdk_app import findings
from tests.infrastructure.synthesis import CHATS, STAGES, Synthesis, make, synthesize

pytestmark = pytest.mark.xdist_group("infrastructure")


def _violations(scope: IConstruct) -> set[str]:
    return {violation.rule_name for violation in AwsSolutionsChecks().validate_scope(scope).violations}


@pytest.mark.parametrize("name", [*STAGES, *CHATS])
def test_cdk_nag_finds_nothing(name: str, tmp_path: Path) -> None:
    assert _violations(make(name, tmp_path)) == set()


def test_cdk_nag_stops_a_synthesis_that_it_finds_something_in(tmp_path: Path) -> None:
    app = make("dev", tmp_path)
    stack = app.node.find_child("Ringback-dev")
    assert isinstance(stack, Stack)
    aws_sqs.Queue(stack, "Open")
    with pytest.raises(RuntimeError, match="ValidationFailed: ERROR The SQS queue"):
        app.synth()


@pytest.mark.parametrize("name", [*STAGES, *CHATS])
def test_every_finding_that_is_accepted_is_there_and_has_its_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: dict[str, str] = {}

    def note(_construct: IConstruct, finding: str, *, because: str) -> None:
        accepted[f"AwsSolutions-{finding}"] = because

    monkeypatch.setattr(findings, "accept", note)
    assert _violations(make(name, tmp_path)) == set(accepted)
    assert all(len(reason) > 40 for reason in accepted.values())


def _is_known(match: Any) -> bool:
    """What cfn-lint says although it is right: the CDK's own habit, and what cfn-lint does not know of JSONata."""
    is_habit = match.rule.id == "W3005"
    is_computed_timeout = (
        match.rule.id == "E3601"
        and "{% " in match.message
        and "/TimeoutSeconds'" in match.message
        and "is not of type 'number'" in match.message
    )
    return is_habit or is_computed_timeout


def _lint(templates: Sequence[Path]) -> list[str]:
    config = ManualArgs(templates=[str(path) for path in templates], regions=["eu-central-1"])
    return [str(match) for match in lint_by_config(config) if not _is_known(match)]


def test_cfn_lint_finds_nothing(
    dev: Synthesis,
    prod: Synthesis,
    local: Synthesis,
    everything: Synthesis,
    chat: Synthesis,
    chat_of_everything: Synthesis,
    local_chat: Synthesis,
) -> None:
    stages = (dev, prod, local, everything, chat, chat_of_everything, local_chat)
    assert _lint([stage.template_path for stage in stages]) == []


def test_cfn_lint_looks_into_the_state_machine(dev: Synthesis, tmp_path: Path) -> None:
    template = json.loads(dev.template_path.read_text("utf-8"))
    machine = next(r for r in template["Resources"].values() if r["Type"] == "AWS::StepFunctions::StateMachine")
    definition = json.loads(machine["Properties"]["DefinitionString"])
    definition["StartAt"] = "Nowhere"
    machine["Properties"]["DefinitionString"] = json.dumps(definition)
    broken = tmp_path / "broken.template.json"
    broken.write_text(json.dumps(template), "utf-8")
    assert any("Nowhere" in finding for finding in _lint([broken]))


def test_the_same_input_gives_the_same_template(dev: Synthesis, tmp_path: Path) -> None:
    again = synthesize("dev", tmp_path)
    assert again.template_path.read_bytes() == dev.template_path.read_bytes()
