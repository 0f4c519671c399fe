"""JSON values with something in them changed, as strangers, old versions and mistakes change them.

All of it is decided by a `random.Random`, or by what looks like one: Hypothesis's shrinks.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Path = tuple[str | int, ...]
Place = tuple[str | int | None, ...]
"""Where in a value; None is any item of a list, or any field."""

SECRET = "s3cr3t"
"""What must be written nowhere. No mutation takes it to another field: some of those are logged for good reason."""

# Names that a program may trip over, of fields that nobody has.
_NAMES = (
    "",
    "x",
    "__class__",
    "constructor",
    "$ref",
    "Id",
    "ID",
    "id ",
    "ünï",
    "\u202e",
    "\ud800",
    "a" * 300,
    "#",
    "M",
)
ODD_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\n",
        "\t",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\ud800",
        "\udfff",
        "\uffff",
    ),
    *("e\u0301", "İ", "ß", "ﬁ", "Ⅷ", "٣", "²", "\uff11", "\U0001d7d9", "👩\u200d👩\u200d👧", "\U0010ffff", "\u0430na"),
    *("#", "a#b", "user#ana", "chat#42#x", "%", "%25", "%00", "../..", "/", "\\", '"', "'", "{{", "${x}", "{% x %}"),
    *("null", "true", "false", "NaN", "Infinity", "-0", "1e999", "0x10", "1_000", " 1", "+1", "9" * 5000),
    *(
        "{",
        "[",
        "]",
        "{}",
        "[]",
        '{"a":1,"a":2}',
        "[" * 100_000,
        '"\\ud800"',
        '{"id":',
        "x" * 129,
        "x" * 300,
        "ü" * 1025,
    ),
    *("2030-02-30T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2030-01-31T24:00:00Z", "2030-W05-4"),
)
ODD_NUMBERS = (
    *(0, 1, -1, 2, 100, 101, 2**31, 2**53, 2**53 + 1, -(2**63), 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1.0, 1.5, 1e16, 1e308, -1e308, 5e-324, float("inf")),
)
ODD_VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, {"S": "x"}, {"N": "x"}, {"M": {}})
_DEPTHS = (1, 2, 10, 99, 100, 101, 200)
_DEEPEST = 12  # what is below that is not changed on its own


def mutated(value: Any, random: Random, places: Sequence[Place] = ((),), *, most: int = 3) -> Any:
    """A copy of a value with one to ``most`` changes below these places, each of which may be replaced itself."""
    value = _copy(value)
    for _ in range(random.randint(1, most)):
        there = [path for place in places for path in _paths(value, place)]
        if not there:
            break
        value = _changed_at(value, random.choice(there), random)
    return value


def mutated_json(text: str, random: Random) -> str:
    """JSON with something changed in what it says, or (seldom) in how it is written."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return mutated_text(text, random)
    if random.random() < 0.15:
        return mutated_text(text, random)
    changed = mutated(value, random)
    return json.dumps(changed, ensure_ascii=random.random() < 0.5)


def mutated_text(text: str, random: Random) -> str:
    """A text with something changed in it."""
    at = random.randint(0, len(text))
    match random.randint(0, 6):
        case 0:
            return text[:at]
        case 1:
            return text[at:]
        case 2:
            return text[:at] + random.choice(ODD_TEXTS) + text[at:]
        case 3:
            return text[:at] + random.choice(ODD_TEXTS) + text[at + 1 :]
        case 4:
            return text + text if len(text) < 100_000 else text
        case 5:
            return text.swapcase()
    return random.choice(ODD_TEXTS)


def batch_of(records: Sequence[Any], random: Random, *, most: int = 10) -> list[Any]:
    """So many of these records at most, in any order, some of them twice, some left out; perhaps none."""
    return [_copy(random.choice(records)) for _ in range(random.randint(0, most))]


def odd_value(random: Random) -> Any:
    """A value that is right nowhere, or in surprising places."""
    kind: Sequence[Any] = random.choice([ODD_TEXTS, ODD_NUMBERS, ODD_VALUES])
    return _copy(random.choice(kind))


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _paths(value: Any, place: Place, deepest: int = _DEEPEST) -> Iterator[Path]:
    """All paths below a place, its own included."""
    if not place:
        yield ()
    if not deepest:
        return
    for name, item in _items(value):
        if not place or place[0] is None or place[0] == name:
            yield from ((name, *rest) for rest in _paths(item, place[1:], deepest - 1))


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _changed_at(value: Any, path: Path, random: Random) -> Any:
    if not path:
        return _other(value, value, random)
    parent = value
    for name in path[:-1]:
        parent = parent[name]
    name = path[-1]
    match random.randint(0, 9):
        case 0:
            del parent[name]
        case 1 if isinstance(parent, list):
            at = int(name)
            parent[at:at] = [_copy(parent[at])] * random.choice([1, 2, 10, 101])
        case 1 | 2 if isinstance(parent, dict):
            parent[random.choice(_NAMES)] = _copy(parent[name])
        case 3:
            parent[random.choice(_NAMES) if isinstance(parent, dict) else 0] = odd_value(random)
        case _:
            parent[name] = _other(parent[name], value, random)
    return value


def _other(value: Any, whole: Any, random: Random) -> Any:
    """Something else in the place of a value."""
    match random.randint(0, 7):
        case 0 | 1:
            return odd_value(random)
        case 2:
            return _deeper(value, random)
        case 3:
            return _retyped(value, random)
        case 4:
            return _from_elsewhere(value, whole, random)
    if isinstance(value, str):
        looks_like_json = value[:1] in ("{", "[")
        return mutated_json(value, random) if looks_like_json else mutated_text(value, random)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return random.choice([-value, value + 1, value * 10, value // 2, *ODD_NUMBERS])
    return _retyped(value, random)


def _deeper(value: Any, random: Random) -> Any:
    wrap: Callable[[Any], Any] = random.choice([lambda inner: [inner], lambda inner: {"x": inner}])
    for _ in range(random.choice(_DEPTHS)):
        value = wrap(value)
    return value


def _retyped(value: Any, random: Random) -> Any:
    forms: list[Callable[[Any], Any]] = [
        lambda it: [it],
        lambda it: [it, it],
        lambda it: {"value": it},
        lambda it: json.dumps(it),
        lambda it: list(it.values()) if isinstance(it, dict) else [],
        lambda it: dict(enumerate(map(str, it))) if isinstance(it, list) else None,
        lambda it: bool(it),
        lambda it: float(it) if isinstance(it, int) and abs(it) < 2**60 else str(it),
        lambda it: len(it) if isinstance(it, str | list | dict) else 0,
    ]
    made = random.choice(forms)(value)
    # The names of a mapping are texts, as they are in JSON.
    return {str(name): item for name, item in made.items()} if isinstance(made, dict) else made


def _from_elsewhere(value: Any, whole: Any, random: Random) -> Any:
    paths = list(_paths(whole, ()))
    found = whole
    for name in random.choice(paths):
        found = found[name]
    if SECRET in json.dumps(found):
        return value
    return _copy(found)
