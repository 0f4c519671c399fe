"""What the check of the supply chain finds: each kind of thing that can be wrong, planted."""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.supply_chain import ROOT, audit, bill, licences, locks, secrets

PACKAGE = json.loads((ROOT / "package.json").read_text("utf-8"))


def test_the_lock_files_are_right() -> None:
    assert list(locks.wrong_in_python(locks.python_lock())) == []
    assert list(locks.wrong_in_npm(locks.npm_lock(), PACKAGE)) == []


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda package: package.update(source={"registry": "https://mirror.example/simple"}), "not from PyPI"),
        (lambda package: package["wheels"][0].pop("hash"), "no SHA-256"),
        (lambda package: package["wheels"][0].update(url="https://mirror.example/x.whl"), "from mirror.example"),
        (lambda package: (package.pop("wheels"), package.pop("sdist", None)), "has no files"),
    ],
)
def test_a_python_package_from_elsewhere_is_found(plant: Callable[[Any], object], said: str) -> None:
    lock = copy.deepcopy(locks.python_lock())
    plant(next(package for package in lock["package"] if package.get("wheels")))
    (wrong,) = locks.wrong_in_python(lock)
    assert said in wrong


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda entry: entry.pop("integrity"), "no SHA-512"),
        (lambda entry: entry.update(integrity="sha1-abc"), "no SHA-512"),
        (lambda entry: entry.update(resolved="https://mirror.example/preact.tgz"), "from mirror.example"),
        (lambda entry: entry.update(resolved="git+ssh://git@example.com/a/b.git"), "from git@example.com"),
    ],
)
def test_an_npm_package_from_elsewhere_is_found(plant: Callable[[Any], object], said: str) -> None:
    lock = copy.deepcopy(locks.npm_lock())
    plant(lock["packages"]["node_modules/preact"])
    (wrong,) = locks.wrong_in_npm(lock, PACKAGE)
    assert said in wrong


def test_a_package_that_is_not_locked_or_not_pinned_is_found() -> None:
    package = {**PACKAGE, "dependencies": {**PACKAGE["dependencies"], "preact": "^11.0.0"}}
    assert len(list(locks.wrong_in_npm(locks.npm_lock(), package))) == 2


def test_a_requirement_without_a_hash_is_found() -> None:
    with_one = "pydantic==2.12.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert list(locks.wrong_in_requirements(with_one)) == []
    assert list(locks.wrong_in_requirements(with_one + "pyjwt==2.10\n")) == ["the layer: no hash for pyjwt==2.10"]


@pytest.mark.parametrize(
    ("expression", "deployed", "anywhere"),
    [
        ("MIT", True, True),
        ("MPL-2.0", False, True),
        ("MIT AND MPL-2.0", False, True),
        ("GPL-3.0-only OR MIT", True, True),
        ("GPL-3.0-only", False, False),
        ("MIT AND GPL-3.0-only", False, False),
        ("Proprietary", False, False),
        ("", False, False),
    ],
)
def test_licences(expression: str, deployed: bool, anywhere: bool) -> None:  # noqa: FBT001
    assert licences.is_allowed(expression, licences.DEPLOYED) is deployed
    assert licences.is_allowed(expression, licences.ANYWHERE) is anywhere


def test_a_licence_that_is_not_allowed_or_not_known_is_found() -> None:
    found = {"a": "MIT", "b": None, "c": "MPL-2.0", "d": "AGPL-3.0-only", "pygal": "LGPL-3.0-or-later"}
    wrong = list(licences.wrong(found, deployed=frozenset({"c"})))
    assert [text.partition(":")[0] for text in wrong] == ["b", "c", "d"]
    assert list(licences.wrong({"pygal": "LGPL-3.0-or-later"}, deployed=frozenset({"pygal"})))


def test_a_licence_that_is_said_otherwise_than_when_it_was_read_is_found() -> None:
    assert list(licences.changed()) == []
    (wrong,) = licences.changed({"sympy": licences.Review("BSD-3-Clause", "says BSD", "0" * 16)})
    assert wrong.startswith("sympy: says otherwise")


def planted(*parts: str) -> str:
    """A secret that this file does not hold in one piece."""
    return "".join(parts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tests/a.py", planted('KEY = "AKIA', 'QWERTYUIOPASDFGH"')),
        ("tests/b.pem", planted("-----BEGIN RSA PRI", "VATE KEY-----")),
        ("lambdas/a.py", planted("PASS", 'WORD = "correct-horse-9"')),
        ("docs/a.md", planted('token: "', "c3VwZXJsb25nc3RyaW5nc2hvdWxkY2F1c2Vlbm91Z2hlbnRyb3B5", '"')),
    ],
)
def test_a_planted_secret_is_found_and_not_told(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(f"x = 1\n{text}\n", "utf-8")
    found = list(secrets.found_in([name], tmp_path))
    assert found
    assert all(each.startswith(f"{name}:2: ") for each in found)
    assert text.partition('"')[2].strip('"') not in "".join(found) or not text.partition('"')[2]


def test_the_layer_and_the_page_make_a_bill() -> None:
    made = bill.make(locks.npm_lock(), licences.of_python)
    assert bill.wrong(made) is None
    by_name = {component["name"]: component for component in made["components"]}
    assert by_name.keys() >= {"pydantic", "pyjwt", "botocore", "preact", "@dagrejs/dagre"}
    assert not by_name.keys() & {"pytest", "moto", "typescript"}
    assert all(component["licenses"] for component in made["components"])


def test_what_is_no_bill_is_found() -> None:
    made = bill.make(locks.npm_lock(), licences.of_python)
    made["components"][0]["type"] = "nothing"
    assert bill.wrong(made)


def answering(text: str, status: int = 0, errors: str = "") -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.stderr.write({errors!r}); sys.exit({status})"]


def test_an_audit_says_what_it_found_or_that_there_was_no_answer() -> None:
    assert audit.of_python(answering("{}")) == audit.Audit("uv.lock")
    assert audit.of_python(answering('{"vulnerabilities": [1]}', 1)).found
    assert audit.of_python(answering("", 2, "error sending request for url (https://api.osv.dev/)")).unreachable
    (wrong,) = audit.of_python(answering("", 2, "error: unexpected argument '--frozen'")).found
    assert "unexpected argument" in wrong
    good = {"auditReportVersion": 2, "vulnerabilities": {}}
    assert audit.of_npm(answering(json.dumps(good))) == audit.Audit("package-lock.json")
    bad = {**good, "vulnerabilities": {"ws": {"severity": "high"}}}
    assert audit.of_npm(answering(json.dumps(bad), 1)).found == ("ws: high",)
    refused = audit.of_npm(answering('{"message": "405 Method Not Allowed"}', 1))
    assert refused.unreachable == "405 Method Not Allowed no answer"
    assert audit.of_npm(answering('{"message": "no lock file"}', 1)).found


@pytest.mark.parametrize("errors", ["", "Missing: async-timeout@4.0.3 from lock file", "networkx 3.503 is not locked"])
def test_what_is_out_of_date_is_not_taken_for_a_network_that_is_down(errors: str) -> None:
    assert not locks.tells_of_network(errors)
