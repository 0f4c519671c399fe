"""The real CDK command against MiniStack, with an app that stands in for ours and takes no time."""

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import cloud, deployment
from local.cloud import Cloud
from local.errors import DeploymentFailed

STACK = "Stand-in"
# An app is whatever writes a cloud assembly.
APP = """
    import json, os
    from pathlib import Path

    context = json.loads(os.environ["CDK_CONTEXT_JSON"])
    seen = {name: context[name] for name in ("stage", "settings")}
    seen["environment"] = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    out = Path(os.environ["CDK_OUTDIR"])
    template = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}}, "Seen": {"Value": json.dumps(seen)}},
    }
    (out / "template.json").write_text(json.dumps(template))
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/unknown-region",
        "properties": {"templateFile": "template.json", "stackName": "Stand-in"},
        "displayName": "Stand-in",
    }
    (out / "manifest.json").write_text(json.dumps({"version": "36.0.0", "artifacts": {"Stand-in": stack}}))
"""


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[Cloud]:
    with cloud.running(tmp_path) as running:
        yield running


@pytest.fixture
def app(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "app.py"
    file.write_text(textwrap.dedent(APP))
    return (sys.executable, str(file))


def test_deploys_and_deploys_again(own_cloud: Cloud, app: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    reported: list[str] = []

    outputs = deployment.deploy(own_cloud, {"token": {"issuer": "x"}}, report=reported.append, app=app, stacks=[STACK])

    assert reported == ["cdk bootstrap", "cdk deploy Stand-in"]
    assert outputs["QueueUrl"].startswith(own_cloud.endpoint)
    seen = json.loads(outputs["Seen"])
    assert seen["stage"] == "local"
    assert json.loads(seen["settings"]) == {"local_endpoint_url": own_cloud.endpoint, "token": {"issuer": "x"}}
    assert "AWS_PROFILE" not in seen["environment"]
    assert seen["environment"]["AWS_ENDPOINT_URL"] == own_cloud.endpoint

    reported.clear()
    again = deployment.deploy(own_cloud, {"token": {"issuer": "y"}}, report=reported.append, app=app, stacks=[STACK])

    assert reported == ["cdk deploy Stand-in"]
    assert again["QueueUrl"] == outputs["QueueUrl"]
    assert json.loads(json.loads(again["Seen"])["settings"])["token"] == {"issuer": "y"}


def test_failure_shows_the_log(own_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "_is_bootstrapped", lambda _: True)  # takes longer than the failure
    app = (sys.executable, "-c", "raise SystemExit('there is no such setting')")

    with pytest.raises(DeploymentFailed, match=r"(?s)`cdk deploy` failed \(exit code 1\).*there is no such setting"):
        deployment.deploy(own_cloud, {}, report=lambda _: None, app=app, stacks=[STACK])
