"""What the functions consist of, as it would be uploaded: by the real bundling, without Docker."""

import ast
import gzip
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import EndpointVariantError, UnknownServiceError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from cdk_app import bundles
from tests.infrastructure.synthesis import Synthesis, synthesize
from tests.infrastructure.test_functions import MODULES

pytestmark = pytest.mark.xdist_group("infrastructure")

_MODELS = Path(botocore.__file__).parent / "data"
_ELF_AARCH64 = 183
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


def _python(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*.py")}


@pytest.mark.builds
def test_the_code_is_the_python_of_two_folders(bundled_local: Synthesis) -> None:
    code = _code(bundled_local)
    ours = {Path(name, file) for name in ("lambdas", "ringback") for file in _python(bundles.ROOT / name)}
    assert _python(code) == ours
    assert {file.suffix for file in code.rglob("*") if file.is_file()} == {".py", ".pyc"}


def test_the_layer_has_an_sdk_of_its_own_and_of_boto3_nothing() -> None:
    lines = [line for line in bundles.export_requirements().splitlines() if not line.startswith(" ")]
    names = {line.partition("==")[0] for line in lines}
    assert {"aws-lambda-powertools", "botocore", "urllib3", "pydantic", "pyjwt", "cryptography"} <= names
    assert names.isdisjoint({"boto3", "s3transfer", "aws-xray-sdk"})


def test_every_requirement_is_pinned_with_its_hash() -> None:
    requirements = bundles.export_requirements().replace("\\\n", "").splitlines()
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
def test_code_and_layer_alone_import_every_handler(bundled_local: Synthesis) -> None:
    """With nothing of what Lambda's runtime has: what it has today, it may not have tomorrow."""
    chat = Synthesis(f"{bundled_local.stack}-Chat", bundled_local.directory)
    made = {**bundled_local.functions, **chat.functions}
    functions = {module: function["Environment"]["Variables"] for module, function in made.items()}
    path = [str(_code(bundled_local)), str(_layer(bundled_local))]
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
    assert set(functions) == MODULES | set(chat.functions)
    assert len(chat.functions) == 5


@pytest.mark.builds
def test_every_module_is_compiled_to_be_taken_without_a_look_at_its_source(bundled_local: Synthesis) -> None:
    """A file's time does not outlive an upload. The number that stands for these is 0b01: by hash, and unchecked."""
    for folder in (_code(bundled_local), _layer(bundled_local)):
        compiled = {file: Path(importlib.util.cache_from_source(str(file))) for file in folder.rglob("*.py")}
        missing = {file for file, cache in compiled.items() if not cache.exists()}
        assert missing == set()
        assert {cache.read_bytes()[4:8] for cache in compiled.values()} == {b"\x01\0\0\0"}


@pytest.mark.builds
def test_of_the_sdk_there_is_what_our_services_need(bundled_local: Synthesis) -> None:
    data = _layer(bundled_local) / "botocore" / "data"
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == sorted(bundles.SERVICES)
    files = {file.name for file in data.rglob("*") if file.is_file()}
    assert files == {
        "_retry.json",
        "endpoints.json",
        "partitions.json",
        "sdk-default-configuration.json",
        "service-2.json",
        "service-2.sdk-extras.json",
        "endpoint-rule-set-1.json",
    }


@pytest.mark.builds
def test_bundling_changes_nothing_in_the_template(dev: Synthesis, bundled_dev: Synthesis) -> None:
    """So what the other tests, which skip it, see is what is deployed."""

    def without_paths(synthesis: Synthesis) -> object:
        resources = synthesis.json["Resources"].values()
        return [{name: part for name, part in resource.items() if name != "Metadata"} for resource in resources]

    assert without_paths(bundled_dev) == without_paths(dev)


def test_a_layer_that_cannot_be_built_is_an_error_and_not_a_case_for_docker(tmp_path: Path) -> None:
    with pytest.raises(bundles.BundlingError, match="failed, and nothing else is tried"):
        bundles.build_layer("no-such-package==0.0.1", bundles.AWS, tmp_path)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """botocore's data as the layer has it."""
    data = tmp_path_factory.mktemp("botocore") / "data"
    data.mkdir()
    for name in bundles.SERVICES + tuple(file.name for file in _MODELS.glob("*.json")):
        copy = shutil.copytree if (_MODELS / name).is_dir() else shutil.copyfile
        copy(_MODELS / name, data / name)
    bundles.cut_models(data)
    return data


def _load(data: Path, service: str, part: str) -> Any:
    return Loader(extra_search_paths=[str(data)], include_default_search_paths=False).load_service_model(service, part)


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for file in (bundles.ROOT / "lambdas").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield file, node


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def test_the_services_are_those_that_functions_call() -> None:
    everything = {folder.name for folder in _MODELS.iterdir() if folder.is_dir()}
    called = {
        argument.value
        for _, call in _calls()
        if _name(call).endswith("client")
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant) and argument.value in everything
    }
    called |= {"lambda"}  # by `ringback.publisher`, with which the chat sends
    assert called == set(bundles.SERVICES), "SERVICES in cdk_app/bundles.py is to name these services"


def test_no_function_asks_for_a_paginator_or_a_waiter() -> None:
    asking = {(file.name, _name(call)) for file, call in _calls() if _name(call) in {"get_paginator", "get_waiter"}}
    assert asking == set(), "the layer has none: keep them by _KEPT in cdk_app/bundles.py, or do without"


@pytest.mark.parametrize("service", bundles.SERVICES)
def test_a_model_has_lost_its_documentation_and_nothing_else(cut: Path, service: str) -> None:
    (version,) = (cut / service).iterdir()
    assert version.name == max(folder.name for folder in (_MODELS / service).iterdir())
    for name in ("service-2.json", "endpoint-rule-set-1.json"):
        whole = json.loads(gzip.decompress((_MODELS / service / version.name / f"{name}.gz").read_bytes()))
        assert json.loads((version / name).read_text("utf-8")) == _undocumented(whole)


def _undocumented(value: Any) -> Any:
    if isinstance(value, list):
        return [_undocumented(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {k: _undocumented(v) for k, v in value.items() if k != "documentation" or not isinstance(v, str)}


def test_every_region_is_listed_with_every_endpoint_of_our_services(cut: Path) -> None:
    """In all partitions; a region that does not exist yet is as good as another."""
    resolvers = [EndpointResolver(json.loads((data / "endpoints.json").read_text("utf-8"))) for data in (cut, _MODELS)]
    models = [json.loads(file.read_text("utf-8")) for file in cut.rglob("service-2.json")]
    prefixes = [model["metadata"]["endpointPrefix"] for model in models]
    assert len(prefixes) == len(bundles.SERVICES)
    listed, whole = ([*_resolved(resolver, prefixes)] for resolver in resolvers)
    assert len(whole) > 1000
    assert listed == whole


def _resolved(resolver: EndpointResolver, prefixes: list[str]) -> Iterator[object]:
    document = json.loads((_MODELS / "partitions.json").read_text("utf-8"))
    regions = [region for partition in document["partitions"] for region in partition["regions"]]
    for prefix in prefixes:
        for partition in resolver.get_available_partitions():
            yield partition, resolver.get_available_endpoints(prefix, partition, allow_non_regional=True)
        for region in [*regions, "eu-east-9", "us-gov-north-9", "cn-west-9"]:
            for dual_stack, fips in product((False, True), repeat=2):
                try:
                    yield resolver.construct_endpoint(
                        prefix, region, use_dualstack_endpoint=dual_stack, use_fips_endpoint=fips
                    )
                except EndpointVariantError as error:
                    yield str(error)


@pytest.mark.parametrize("service", bundles.SERVICES)
def test_a_client_of_the_layer_calls_where_any_client_does(cut: Path, service: str) -> None:
    for region in ("eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1", "eu-east-9"):
        assert _client(cut, service, region).meta.endpoint_url == _client(_MODELS, service, region).meta.endpoint_url


def _client(data: Path, service: str, region: str) -> Any:
    session = botocore.session.Session()
    loader = Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
    session.register_component("data_loader", loader)
    session.set_credentials("AKIDEXAMPLE", "secret")
    return session.create_client(service, region_name=region)


def test_any_other_service_is_no_service(cut: Path) -> None:
    with pytest.raises(UnknownServiceError, match=r"Unknown service: 's3'.*stepfunctions"):
        _client(cut, "s3", "eu-central-1")


def test_a_service_that_botocore_does_not_know_is_an_error(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "SERVICES", ("dynamodb", "dynamo"))
    with pytest.raises(bundles.BundlingError, match="no service 'dynamo'; SERVICES in"):
        bundles.cut_models(shutil.copytree(cut, cut.parent / "misspelt"))


def test_without_a_python_to_compile_with_it_is_said_once_and_that_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles.compiler.cache_clear()
    target = replace(bundles.AWS, python="3.99")
    try:
        bundles.build_code(target, tmp_path)
        bundles.code_hash(target)
    finally:
        bundles.compiler.cache_clear()
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".py"}
    assert capsys.readouterr().err.count("There is no Python 3.99 here") == 1


def test_the_same_sources_make_the_same_asset_and_others_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("lambdas", "ringback"):
        shutil.copytree(bundles.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = bundles.code_hash(bundles.host())
    monkeypatch.setattr(bundles, "ROOT", tmp_path)
    assert bundles.code_hash(bundles.host()) == before
    (tmp_path / "lambdas" / "notes.txt").write_text("no code")
    assert bundles.code_hash(bundles.host()) == before
    (tmp_path / "lambdas" / "more.py").write_text("")
    assert bundles.code_hash(bundles.host()) != before


def test_what_is_made_in_another_way_is_another_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = bundles.host()
    before = bundles.code_hash(target), bundles.layer_hash("six==1", target)
    other = tmp_path / "bundles.py"
    other.write_text(Path(bundles.__file__).read_text("utf-8") + "# otherwise\n", "utf-8")
    monkeypatch.setattr(bundles, "__file__", str(other))
    after = bundles.code_hash(target), bundles.layer_hash("six==1", target)
    assert set(before).isdisjoint(after)


def test_what_cannot_be_compiled_is_said_and_goes_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    (source / "lambdas").mkdir(parents=True)
    (source / "lambdas" / "right.py").write_text("")
    (source / "lambdas" / "wrong.py").write_text("def")
    monkeypatch.setattr(bundles, "ROOT", source)
    bundles.build_code(bundles.host(), made)
    assert {file.name for file in made.rglob("*.py")} == {"right.py", "wrong.py"}
    assert [file.name.partition(".")[0] for file in made.rglob("*.pyc")] == ["right"]
    said = capsys.readouterr().err
    assert said.count("could be compiled") == 1
    assert "wrong.py" in said
    assert "SyntaxError" in said


def test_that_nothing_can_be_compiled_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho No module named compileall >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(bundles, "compiler", lambda _: str(broken))
    for name in ("one", "other"):
        bundles.build_code(bundles.host(), tmp_path / name)
        assert {file.suffix for file in (tmp_path / name).rglob("*") if file.is_file()} == {".py"}
    assert capsys.readouterr().err.count("No module named compileall") == 1


def test_a_layer_for_another_python_or_of_other_versions_is_another() -> None:
    names = {
        bundles.layer_hash(requirements, target)
        for requirements in ("six==1", "six==2")
        for target in (bundles.host(), replace(bundles.host(), name="other"))
    }
    assert len(names) == 4
