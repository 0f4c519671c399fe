"""The bill of materials (CycloneDX 1.5) of what is deployed: the dependency layer, and what the page loads."""

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from uv import find_uv_bin

from tests.supply_chain import ROOT

LAYER_GROUP = "lambdas"


def make(npm_lock: dict[str, Any], licence_of: Callable[[str], str | None]) -> dict[str, Any]:
    """The bill, as JSON.

    Args:
        npm_lock: package-lock.json.
        licence_of: a Python package's licence in SPDX's words.
    """
    bill = _layer()
    for component in bill["components"]:
        if expression := licence_of(component["name"]):
            component["licenses"] = [{"expression": expression}]
    pages = [_from_npm(name, entry) for name, entry in deployed_npm(npm_lock).items()]
    bill["components"] += pages
    bill["dependencies"] += [{"ref": component["bom-ref"]} for component in pages]
    return bill


def wrong(bill: dict[str, Any]) -> str | None:
    """Why it is no bill by CycloneDX's schema; None if it is one."""
    found = JsonStrictValidator(SchemaVersion.V1_5).validate_str(json.dumps(bill))
    return None if found is None else str(found)


def deployed_npm(lock: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The packages that are more than tools, by their names."""
    return {
        path.rpartition("node_modules/")[2]: entry
        for path, entry in lock["packages"].items()
        if path and not entry.get("dev")
    }


def _layer() -> dict[str, Any]:
    exported = subprocess.run(  # noqa: S603 - our own tool
        [find_uv_bin(), "export", "--quiet", "--frozen", "--only-group", LAYER_GROUP, "--format", "cyclonedx1.5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    bill: dict[str, Any] = json.loads(exported.stdout)
    return bill


def _from_npm(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    purl = f"pkg:npm/{name.replace('@', '%40', 1)}@{entry['version']}"
    digest = base64.b64decode(entry["integrity"].removeprefix("sha512-")).hex()
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": entry["version"],
        "purl": purl,
        "hashes": [{"alg": "SHA-512", "content": digest}],
        "licenses": [{"expression": entry["license"]}],
    }
