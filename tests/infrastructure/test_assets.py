"""What the functions consist of, as it would be uploaded: by the real bundling, without Docker."""

import json
import platform
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from cdk_app import assets
from tests.infrastructure.synthesis import Synthesis, synthesize
from tests.infrastructure.test_functions import MODULES

pytestmark = pytest.mark.xdist_group("infrastructure")

_ELF_AARCH64 = 183
_RUNTIME_MODULES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_IMPORT = """
import importlib, json, os, sys
path, functions = json.load(sys.stdin)
sys.path.extend(path)
common = dict(os.environ)
for module, variables in functions.items():
    os.environ.clear()
    os.environ.update(common | variables)
    handler = importlib.import_module(f"lambdas.{module}").handler
    assert callable(handler)
outside = [m.__file__ for m in list(sys.modules.values()) if "site-packages" in (getattr(m, "__file__", None) or "")]
print(json.dumps(outside))
"""


@pytest.fixture(scope="module")
def bundled_dev(outputs: Path) -> Synthesis:
    """A stage for AWS, with its layer."""
    return _bundled("dev", outputs / "bundled-dev")


@pytest.fixture(scope="module")
def bundled_local(outputs: Path) -> Synthesis:
    """The local stage, with its layer."""
    return _bundled("local", outputs / "bundled-local")


def _bundled(stage: str, directory: Path) -> Synthesis:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("UV_OFFLINE")  # the first time on a machine, wheels may have to be fetched
        return synthesize(stage, directory, bundling=True)


def _code(synthesis: Synthesis) -> Path:
    (key,) = {function["Code"]["S3Key"] for function in synthesis.functions.values()}
    return _asset(synthesis, key)


def _layer(synthesis: Synthesis) -> Path:
    (layer,) = synthesis.of_type("AWS::Lambda::LayerVersion")
    return _asset(synthesis, layer.properties["Content"]["S3Key"]) / "python"


def _asset(synthesis: Synthesis, key: str) -> Path:
    return synthesis.directory / f"asset.{key.removesuffix('.zip')}"


def test_the_code_is_the_python_of_two_folders(dev: Synthesis) -> None:
    code = _code(dev)
    files = {file.relative_to(code) for file in code.rglob("*") if file.is_file()}
    ours = {
        file.relative_to(assets.ROOT) for name in ("lambdas", "ringback") for file in (assets.ROOT / name).rglob("*.py")
    }
    assert files == ours


def test_what_the_runtime_has_is_not_in_the_layer() -> None:
    lines = [line for line in assets.export_requirements().splitlines() if not line.startswith(" ")]
    names = {line.partition("==")[0] for line in lines}
    assert {"aws-lambda-powertools", "aws-xray-sdk", "pydantic", "pydantic-core", "pyjwt", "cryptography"} <= names
    assert names.isdisjoint(assets.PROVIDED_BY_RUNTIME)


def test_every_requirement_is_pinned_with_its_hash() -> None:
    requirements = assets.export_requirements().replace("\\\n", "").splitlines()
    assert len(requirements) > 10
    assert all("==" in requirement and "--hash=sha256:" in requirement for requirement in requirements)


@pytest.mark.builds
def test_the_layer_for_aws_is_built_for_its_processor_and_python(bundled_dev: Synthesis) -> None:
    binaries = list(_layer(bundled_dev).rglob("*.so"))
    assert len(binaries) >= 3
    for binary in binaries:
        header = binary.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert int.from_bytes(header[18:20], "little") == _ELF_AARCH64, binary.name
        assert any(tag in binary.name for tag in (".cpython-313-aarch64-", ".abi3.")), binary.name


@pytest.mark.builds
def test_the_local_layer_is_for_this_machine(bundled_local: Synthesis) -> None:
    (layer,) = bundled_local.of_type("AWS::Lambda::LayerVersion")
    architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    assert layer.properties["CompatibleArchitectures"] == [architecture]
    assert {tuple(f["Architectures"]) for f in bundled_local.functions.values()} == {(architecture,)}


@pytest.mark.builds
def test_code_and_layer_alone_import_every_handler(bundled_local: Synthesis, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for module in _RUNTIME_MODULES:
        spec = util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (runtime / source.name).symlink_to(source)
    functions = {module: f["Environment"]["Variables"] for module, f in bundled_local.functions.items()}
    path = [str(_code(bundled_local)), str(_layer(bundled_local)), str(runtime)]
    result = subprocess.run(  # noqa: S603 - our own interpreter, our own code
        [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", _IMPORT],
        input=json.dumps([path, functions]),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "eu-central-1"},
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
    assert set(functions) == MODULES


@pytest.mark.builds
def test_bundling_changes_nothing_in_the_template(dev: Synthesis, bundled_dev: Synthesis) -> None:
    """So what the other tests, which skip it, see is what is deployed."""

    def without_paths(synthesis: Synthesis) -> object:
        resources = synthesis.json["Resources"].values()
        return [{name: part for name, part in resource.items() if name != "Metadata"} for resource in resources]

    assert without_paths(bundled_dev) == without_paths(dev)


def test_a_layer_that_cannot_be_built_is_an_error_and_not_a_case_for_docker(tmp_path: Path) -> None:
    with pytest.raises(assets.BundlingError, match="failed, and nothing else is tried"):
        assets.build_layer("no-such-package==0.0.1", assets.AWS, tmp_path)
