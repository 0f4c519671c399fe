"""What the functions consist of, as files: our own code, and one layer of dependencies. Knows nothing of the CDK.

Python keeps what it has compiled beside the source, where it may write; a function may write neither into its code nor
into a layer, and would compile all it imports at every cold start. So both are compiled here. A compiled file usually
holds the time of its source; a deployed one has another time (the CDK's archives are of 1980), and such a file would
be thrown away. Ours say that they are to be taken without a look at the source, which changes with them.
"""

import gzip
import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from uv import find_uv_bin

ROOT: Final = Path(__file__).resolve().parent.parent

SERVICES: Final = (
    "apigatewaymanagementapi",
    "dynamodb",
    "events",
    "lambda",
    "secretsmanager",
    "sqs",
    "stepfunctions",
)
"""The services that functions call, by botocore's names. The layer's botocore knows no other: who calls one adds it
here. Paginators and waiters, which no function uses, are left out as well: `_KEPT` names what stays."""

_CODE: Final = ("lambdas", "ringback")  # Python's files below these two folders and nothing else
_KEPT: Final = ("service-2", "endpoint-rule-set-1")
# Where Lambda has them. A compiled file names its source, and Python need not mend the name where it is right.
_CODE_IN_LAMBDA: Final = "/var/task"
_LAYER_IN_LAMBDA: Final = "/opt/python"


class BundlingError(Exception):
    """The dependency layer could not be built."""


@dataclass(frozen=True)
class Target:
    """What the layer is built for, and the functions run on. ``python`` and ``architecture`` are Lambda's names."""

    name: str
    architecture: str
    python: str
    uv_arguments: tuple[str, ...]


AWS: Final = Target(
    name="aarch64-manylinux_2_28-cp313",
    architecture="arm64",
    python="3.13",
    uv_arguments=("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.13"),
)


def host() -> Target:
    """This machine: MiniStack runs the handlers with the interpreter that runs this."""
    machine = platform.machine().lower()
    return Target(
        name=f"{sys.platform}-{machine}-{sys.implementation.cache_tag}",
        architecture="arm64" if machine in {"arm64", "aarch64"} else "x86_64",
        python=_version(),
        uv_arguments=("--python", sys.executable),
    )


def export_requirements() -> str:
    """The functions' dependencies as uv.lock pins them, with versions and hashes."""
    return _uv("export", "--frozen", "--only-group", "lambdas", "--no-header", "--no-annotate", "--quiet")


def layer_hash(requirements: str, target: Target) -> str:
    """Names the layer by all that goes into it, and by how it is made."""
    return _hash(target.name, requirements, *_making(target))


def code_hash(target: Target) -> str:
    """Names the code by all that goes into it, and by how it is made."""
    files = ((str(file.relative_to(ROOT)), file.read_text("utf-8")) for file in _sources())
    return _hash(target.python, *_making(target), *(text for file in files for text in file))


def build_layer(requirements: str, target: Target, directory: Path) -> None:
    """Install the requirements for the target into a layer's folder, with no more of botocore than functions use.

    Raises:
        BundlingError: uv could not; says why.
    """
    packages = directory / "python"
    command = (
        # Copies: what uv links, it shares with its cache, and we change some of it.
        *("pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy"),
        *("--target", str(packages), *target.uv_arguments, "--requirements", "-"),
    )
    try:
        _uv(*command, "--offline", stdin=requirements)
    except BundlingError:  # not in uv's cache yet
        _uv(*command, stdin=requirements)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # commands, which nobody calls there
    (packages / ".lock").unlink(missing_ok=True)
    if (packages / "botocore").exists():
        cut_models(packages / "botocore" / "data")
    _compile(packages, target, _LAYER_IN_LAMBDA)


def build_code(target: Target, directory: Path) -> None:
    """Copy the functions' code, and compile it for the target."""
    for file in _sources():
        copy = directory / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    _compile(directory, target, _CODE_IN_LAMBDA)


def cut_models(data: Path) -> None:
    """Leave of botocore's data what clients of `SERVICES` need, in the form that is read fastest.

    Of each service that is the newest model without its documentation (most of it, and read at every cold start) and
    the rules for its endpoints, both unpacked; of the endpoints of all services, those of these.

    Raises:
        BundlingError: botocore knows no such service.
    """
    for folder in _folders(data):
        if folder.name not in SERVICES:
            shutil.rmtree(folder)
    prefixes = {_cut_service(data / service) for service in SERVICES}
    endpoints = json.loads((data / "endpoints.json").read_text("utf-8"))
    for partition in endpoints["partitions"]:
        partition["services"] = {name: value for name, value in partition["services"].items() if name in prefixes}
    _write(data / "endpoints.json", endpoints)


def _cut_service(folder: Path) -> str:
    """Cut one service; answers what its endpoints are listed under."""
    if not folder.is_dir():
        raise BundlingError(f"botocore knows no service {folder.name!r}; SERVICES in cdk_app/bundles.py names it.")
    *older, newest = sorted(_folders(folder))
    for version in older:
        shutil.rmtree(version)
    for file in list(newest.iterdir()):
        if not file.name.startswith(_KEPT):
            file.unlink()
        elif file.suffix == ".gz":
            _write(file.with_suffix(""), _without_documentation(json.loads(gzip.decompress(file.read_bytes()))))
            file.unlink()
    model = json.loads((newest / "service-2.json").read_bytes())
    return str(model["metadata"]["endpointPrefix"])


def _without_documentation(value: Any) -> Any:
    match value:
        case dict():
            # A text is one; anything else is a member of that name.
            return {
                name: _without_documentation(part)
                for name, part in value.items()
                if not (name == "documentation" and isinstance(part, str))
            }
        case list():
            return [_without_documentation(part) for part in value]
        case _:
            return value


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, separators=(",", ":")), "utf-8")


def _sources() -> Iterator[Path]:
    return (file for folder in _CODE for file in sorted((ROOT / folder).rglob("*.py")))


def _compile(folder: Path, target: Target, place: str) -> None:
    """Compile all of it, if there is a Python to do it with.

    What cannot be compiled is left for Lambda to try, and stderr says why.
    """
    python = compiler(target.python)
    if not python:
        return
    done = subprocess.run(  # noqa: S603 - a Python that we have asked for its version
        [
            *(python, "-I", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", place, str(folder)),
        ],
        stdout=subprocess.PIPE,  # where it says what is wrong with a file
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        _say_once(
            f"Not all of the functions' code could be compiled, and each cold start will take longer. "
            f"Python {target.python} says:\n{done.stdout}"
        )


@cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr)


@cache
def compiler(version: str) -> str | None:
    """A Python of this version, as ``3.13``: the one that runs this, or one that uv finds on this machine.

    None if there is none: then functions compile what they import, at each cold start, and stderr says so once.
    """
    if _version() == version and sys.version_info.releaselevel == "final":
        return sys.executable
    try:
        found = _uv(
            "python", "find", "--offline", "--no-python-downloads", "--no-project", f"cpython@{version}"
        ).strip()
        # Another release level may compile into another form.
        told = subprocess.run(  # noqa: S603 - uv's answer
            [found, "-I", "-c", "import sys; print(sys.version_info.releaselevel)"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (BundlingError, OSError, subprocess.CalledProcessError):
        found = ""
    else:
        found = found if told.stdout.strip() == "final" else ""
    if not found:
        print(
            f"There is no Python {version} here to compile the functions with, and each cold start in AWS will take "
            f"longer. `uv python install {version}` gets one.",
            file=sys.stderr,
        )
    return found or None


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _making(target: Target) -> tuple[str, str]:
    """How it is made: compiled or not, and by this module."""
    return str(compiler(target.python) is not None), Path(__file__).read_text("utf-8")


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _uv(*arguments: str, stdin: str = "") -> str:
    result = subprocess.run(  # noqa: S603 - our own tool, our own arguments
        [find_uv_bin(), *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BundlingError(f"`uv {' '.join(arguments[:2])}` failed, and nothing else is tried:\n{result.stderr}")
    return result.stdout
