"""What the functions consist of, as the CDK's assets. No Docker anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from cdk_app import bundles
from cdk_app.bundles import ROOT, Target

__all__ = ["ROOT", "architecture", "function_code", "layer_code"]

_ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}


def architecture(target: Target) -> lambda_.Architecture:
    """The processor that functions run on."""
    return _ARCHITECTURES[target.architecture]


def function_code(target: Target) -> lambda_.Code:
    """The code of all functions."""
    return _code(bundles.code_hash(target), lambda directory: bundles.build_code(target, directory))


def layer_code(target: Target) -> lambda_.Code:
    """The dependencies of all functions, as uv.lock pins them."""
    requirements = bundles.export_requirements()
    return _code(
        bundles.layer_hash(requirements, target),
        lambda directory: bundles.build_layer(requirements, target, directory),
    )


def _code(asset_hash: str, build: Callable[[Path], None]) -> lambda_.Code:
    """An asset that is built if there is none with this hash yet, which therefore names all that goes into it."""
    return lambda_.Code.from_asset(
        str(Path(__file__).parent),  # of no use: all that goes into it is found by `build`
        asset_hash=asset_hash,
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(image=DockerImage.from_registry("docker-is-never-used"), local=_LocalBundling(build)),
    )


@jsii.implements(ILocalBundling)
class _LocalBundling:
    """Builds on this machine. It raises where that fails: False would make the CDK start Docker."""

    def __init__(self, build: Callable[[Path], None]) -> None:
        self._build = build

    def try_bundle(self, output_dir: str, *_args: Any, **_options: Any) -> bool:
        self._build(Path(output_dir))
        return True
