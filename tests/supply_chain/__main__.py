"""Check the supply chain: `python -m tests.supply_chain [--audit required|if-reachable]`.

Prints what is wrong, writes build/sbom.json, and exits with 1 if anything is wrong.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence

from cdk_app.bundles import export_requirements
from tests.supply_chain import ROOT, audit, bill, licences, locks, secrets

SBOM = ROOT / "build" / "sbom.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply_chain", description="Check the supply chain.")
    parser.add_argument(
        "--audit",
        choices=("required", "if-reachable"),
        default="required",
        help="whether it is an error that registries and databases of vulnerabilities cannot be reached (default: "
        "required)",
    )
    given = parser.parse_args(arguments)
    required = given.audit == "required"
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "lock files": lambda: _locks(required=required),
        "licences": _licences,
        "secrets": lambda: secrets.found_in(secrets.tracked()),
        "bill of materials": _bill,
        "vulnerabilities": lambda: _vulnerabilities(required=required),
    }
    failed = 0
    for name, check in checks.items():
        print(f"{name} …", file=sys.stderr, flush=True)
        wrong = list(check())
        failed += bool(wrong)
        for text in wrong:
            print(f"{name}: {text}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _locks(*, required: bool) -> Iterable[str]:
    yield from locks.wrong_in_python(locks.python_lock())
    yield from locks.wrong_in_npm(locks.npm_lock(), json.loads((ROOT / "package.json").read_text("utf-8")))
    yield from locks.wrong_in_requirements(export_requirements())
    for wrong, unreachable in locks.out_of_date():
        if unreachable and not required:
            print(f"\n*** NOT COMPARED: {wrong}\n", file=sys.stderr)
        else:
            yield wrong


def _licences() -> Iterable[str]:
    lock, npm_lock = locks.python_lock(), locks.npm_lock()
    names = {package["name"] for package in lock["package"]} - {"ringback"}
    found = {name: licences.of_python(name) for name in names}
    requirements = f"\n{export_requirements()}"
    layer = {name for name in names if f"\n{name}==" in requirements}
    yield from licences.wrong(found, deployed=frozenset(layer))
    yield from licences.changed()
    by_path = {path: entry.get("license") for path, entry in npm_lock["packages"].items() if path}
    deployed = {path for path, entry in npm_lock["packages"].items() if path and not entry.get("dev")}
    yield from licences.wrong(by_path, deployed=frozenset(deployed))


def _bill() -> Iterable[str]:
    made = bill.make(locks.npm_lock(), licences.of_python)
    if problem := bill.wrong(made):
        yield problem
        return
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    print(f"{SBOM.relative_to(ROOT)}: {len(made['components'])} components", file=sys.stderr)


def _vulnerabilities(*, required: bool) -> Iterable[str]:
    for audited in (audit.of_python(), audit.of_npm()):
        yield from (f"{audited.of}: {each}" for each in audited.found)
        if audited.unreachable:
            print(f"\n*** {audited.of}: VULNERABILITIES WERE NOT CHECKED: {audited.unreachable}\n", file=sys.stderr)
            if required:
                yield f"{audited.of}: not checked; try again where the database can be reached"


if __name__ == "__main__":
    sys.exit(main())
