"""`python -m tests.operations.next_version [failing]`: the app as its next version will be, for the CDK command.

Every function has other code: each message frame says which release posted it. `failing` adds what CloudFormation
cannot make, after what the runs lean on, so that the deployment fails half-way.
"""

import sys
from pathlib import Path
from typing import Any

from aws_cdk import App, CfnResource

from cdk_app import bundles
from cdk_app.app import make_app
from cdk_app.bundles import Target

RELEASE = "next"

_FRAMES = Path("lambdas") / "core" / "frames.py"
_BEFORE = '"kind": "message"'
_AFTER = f'"kind": "message", "release": "{RELEASE}"'


def main() -> None:
    """Synthesize it."""
    code_hash, build_code = bundles.code_hash, bundles.build_code

    def next_hash(target: Target) -> str:
        return f"{code_hash(target)}-{RELEASE}"

    def build_next(target: Target, directory: Path) -> None:
        build_code(target, directory)
        frames = directory / _FRAMES
        text = frames.read_text("utf-8")
        if text.count(_BEFORE) != 1:
            raise SystemExit(f"{_FRAMES}: {_BEFORE} is not there exactly once any more; mend this test")
        frames.write_text(text.replace(_BEFORE, _AFTER), "utf-8")
        for compiled in directory.rglob("frames.*.pyc"):  # it would be taken without a look at its source
            compiled.unlink()

    patched: Any = bundles
    patched.code_hash, patched.build_code = next_hash, build_next
    app = make_app()
    if "failing" in sys.argv[1:]:
        _add_what_cannot_be_made(app)
    app.synth()


def _add_what_cannot_be_made(app: App) -> None:
    stack: Any = app.node.find_child(f"Ringback-{app.node.try_get_context('stage')}")
    impossible = CfnResource(stack, "Impossible", type="AWS::Nowhere::Nothing", properties={})
    impossible.node.add_dependency(stack.delivery, stack.wake)


if __name__ == "__main__":
    main()
