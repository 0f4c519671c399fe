"""What the functions consist of: our own code as it is, and its dependencies as one layer. No Docker anywhere."""

import hashlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, IgnoreMode, ILocalBundling
from aws_cdk import aws_lambda as lambda_
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent

# Python's files below these two folders and nothing else, so that only a change in them changes the asset.
_CODE = ("lambdas", "ringback")
_NOT_CODE = [
    "*",
    *(f"!/{folder}/" for folder in _CODE),
    *(f"!/{folder}/**/" for folder in _CODE),
    *(f"!/{folder}/**/*.py" for folder in _CODE),
    "__pycache__/",
]
# boto3 and all that it needs: the Python runtime of Lambda has them.
PROVIDED_BY_RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")


class BundlingError(Exception):
    """The dependency layer could not be built."""


@dataclass(frozen=True)
class Target:
    """What the layer is built for, and the functions run on."""

    name: str
    architecture: lambda_.Architecture
    uv_arguments: tuple[str, ...]


AWS = Target(
    name="aarch64-manylinux_2_28-cp313",
    architecture=lambda_.Architecture.ARM_64,
    uv_arguments=("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.13"),
)


def host() -> Target:
    """This machine: MiniStack runs the handlers with the interpreter that runs this."""
    machine = platform.machine().lower()
    is_arm = machine in {"arm64", "aarch64"}
    return Target(
        name=f"{sys.platform}-{machine}-{sys.implementation.cache_tag}",
        architecture=lambda_.Architecture.ARM_64 if is_arm else lambda_.Architecture.X86_64,
        uv_arguments=("--python", sys.executable),
    )


def function_code() -> lambda_.Code:
    """The code of all functions."""
    return lambda_.Code.from_asset(str(ROOT), exclude=_NOT_CODE, ignore_mode=IgnoreMode.GIT)


def layer_code(target: Target) -> lambda_.Code:
    """The dependencies of all functions, as uv.lock pins them."""
    requirements = export_requirements()
    return lambda_.Code.from_asset(
        # The source is of no use: the requirements are all there is, and they are in the hash.
        str(Path(__file__).parent),
        asset_hash=hashlib.sha256(f"{target.name}\n{requirements}".encode()).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("docker-is-never-used"), local=_LocalBundling(requirements, target)
        ),
    )


def export_requirements() -> str:
    """The functions' dependencies without what the runtime has, with versions and hashes."""
    not_provided = (argument for name in PROVIDED_BY_RUNTIME for argument in ("--no-emit-package", name))
    return _uv(
        "export", "--frozen", "--only-group", "lambdas", "--no-header", "--no-annotate", "--quiet", *not_provided
    )


def build_layer(requirements: str, target: Target, directory: Path) -> None:
    """Install the requirements for the target into a layer's folder.

    Raises:
        BundlingError: uv could not; says why.
    """
    packages = directory / "python"
    command = (
        *("pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"),
        *("--target", str(packages), *target.uv_arguments, "--requirements", "-"),
    )
    try:
        _uv(*command, "--offline", stdin=requirements)
    except BundlingError:  # not in uv's cache yet
        _uv(*command, stdin=requirements)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # commands, which nobody calls there
    (packages / ".lock").unlink(missing_ok=True)


def _uv(*arguments: str, stdin: str = "") -> str:
    result = subprocess.run(  # noqa: S603 - our own tool, our own arguments
        [find_uv_bin(), *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BundlingError(f"`uv {' '.join(arguments[:2])}` failed, and nothing else is tried:\n{result.stderr}")
    return result.stdout


@jsii.implements(ILocalBundling)
class _LocalBundling:
    """Builds the layer on this machine. It raises where it fails: False would make the CDK start Docker."""

    def __init__(self, requirements: str, target: Target) -> None:
        self._requirements = requirements
        self._target = target

    def try_bundle(self, output_dir: str, *_args: Any, **_options: Any) -> bool:
        build_layer(self._requirements, self._target, Path(output_dir))
        return True
