"""The lock files: whether they say everything that is installed, from where, and with which content."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from uv import find_uv_bin

from tests.supply_chain import ROOT

PYPI = "https://pypi.org/simple"
PYPI_FILES = "files.pythonhosted.org"
NPM = "registry.npmjs.org"
# As uv and npm tell it, and what stands between here and there.
_NETWORK = re.compile(
    r"error sending request|dns error|[Ff]ailed to (lookup|fetch)|timed out|[Cc]onnection (refused|reset)|tunnel error|"
    r"npm error network|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|\b(40[357]|429|50[0234]) [A-Z][a-z]"
)


def python_lock() -> dict[str, Any]:
    """uv.lock."""
    return tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))


def npm_lock() -> dict[str, Any]:
    """package-lock.json."""
    lock: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text("utf-8"))
    return lock


def wrong_in_python(lock: dict[str, Any]) -> Iterator[str]:
    """What is not from PyPI, or has no hash."""
    for package in lock["package"]:
        name = package["name"]
        source = package["source"]
        if source == {"editable": "."}:
            continue
        if source != {"registry": PYPI}:
            yield f"uv.lock: {name} is not from PyPI: {source}"
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        if not files:
            yield f"uv.lock: {name} has no files"
        for file in files:
            url = urlsplit(file.get("url", ""))
            if (url.scheme, url.netloc) != ("https", PYPI_FILES):
                yield f"uv.lock: {name} comes from {url.netloc or 'nowhere'}"
            if not file.get("hash", "").startswith("sha256:"):
                yield f"uv.lock: a file of {name} has no SHA-256"


def wrong_in_npm(lock: dict[str, Any], package: dict[str, Any]) -> Iterator[str]:
    """What has no digest, is from elsewhere, or is not what package.json asks for."""
    if lock.get("lockfileVersion") != 3:
        yield "package-lock.json: not of version 3"
    for field in ("dependencies", "devDependencies"):
        if lock["packages"][""].get(field, {}) != package.get(field, {}):
            yield f"package-lock.json: other {field} than in package.json; run `npm install --package-lock-only`"
        for name, version in package.get(field, {}).items():
            if not version[:1].isdigit():
                yield f"package.json: {name} is not pinned: {version}"
    for path, entry in lock["packages"].items():
        if not path:
            continue
        if not entry.get("integrity", "").startswith("sha512-"):
            yield f"package-lock.json: {path} has no SHA-512"
        resolved = urlsplit(entry.get("resolved", f"https://{NPM}/"))  # without one it is the registry that npm has
        if (resolved.scheme, resolved.netloc) != ("https", NPM):
            yield f"package-lock.json: {path} comes from {resolved.netloc or resolved.scheme}"


def wrong_in_requirements(requirements: str) -> Iterator[str]:
    """What the dependency layer would install without comparing a hash."""
    for requirement in requirements.replace("\\\n", " ").splitlines():
        if requirement.strip() and "--hash=sha256:" not in requirement:
            yield f"the layer: no hash for {requirement.split()[0]}"


def out_of_date() -> Iterator[tuple[str, bool]]:
    """What the tools find in a lock that does not go with what it locks, and whether they only reached no registry."""
    commands = (
        ([find_uv_bin(), "lock", "--check"], "uv.lock", "uv lock"),
        (["npm", "ci", "--dry-run", "--ignore-scripts", "--no-audit"], "package-lock.json", "npm install"),
    )
    for command, file, remedy in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our tools
        if done.returncode:
            yield (
                f"{file}: run `{remedy}` and look at what it changes\n{done.stderr[-1000:]}",
                tells_of_network(done.stderr),
            )


def tells_of_network(errors: str) -> bool:
    """Whether what a tool wrote says that it did not come through."""
    return _NETWORK.search(errors) is not None
