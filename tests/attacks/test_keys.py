"""The authorizer where the keys come from an issuer's URL: a real server on this machine, whose keys change."""

import json
from collections.abc import Iterator

import pytest
from jwt.algorithms import ECAlgorithm

from lambdas.adapters import token_keys
from lambdas.routes import authorizer
from local.tokens import Keys
from tests.attacks.conftest import Case
from tests.attacks.forging import ABSENT, STRANGER, Forge, ecdsa
from tests.attacks.test_handshakes import SETTINGS, answer, event
from tests.builders import NOW
from tests.contract.conftest import Stage
from tests.integration.test_token_keys import Issuer, Timer, issuer, timer  # noqa: F401 - fixtures

LAYER = "handler"
SIGNED_AT = int(NOW.timestamp())
OLD, NEW = Forge(Keys.make(), "ana"), Forge(Keys.make(), "ana")
LET_IN = "101 ana chat 42"


def token(forge: Forge, kid: object = "old") -> str:
    claims = forge.claims(iat=SIGNED_AT, exp=SIGNED_AT + 600, scope="sockets")
    return forge.raw(forge.header(kid=kid), json.dumps(claims).encode())


def strangers(kid: str, **header: object) -> str:
    return OLD.token(OLD.header(kid=kid, **header), ecdsa(STRANGER), iat=SIGNED_AT, exp=SIGNED_AT + 600)


class Door:
    """A stage that asks this issuer for its keys, and counts its requests."""

    def __init__(self, stage: Stage, issuer: Issuer) -> None:  # noqa: F811 - the fixture
        self._stage = stage
        self.issuer = issuer

    def answer(self, text: str) -> str:
        return answer(self._stage, event({"Authorization": [f"Bearer {text}"]}))


@pytest.fixture
def door(stage: Stage, issuer: Issuer, timer: Timer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:  # noqa: F811
    issuer.publish(old=OLD.keys.private)
    stage.set(**SETTINGS, TOKEN_JWKS_URL=issuer.url + "/keys")
    real = token_keys.of
    monkeypatch.setattr(token_keys, "of", lambda settings: real(settings, clock=timer))
    authorizer.wired.cache_clear()
    yield Door(stage, issuer)
    authorizer.wired.cache_clear()
    assert "ERROR" not in stage.written()
    assert set(issuer.requests) <= {"/keys"}


def test_a_key_that_was_withdrawn(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    before = door.answer(token(OLD))
    door.issuer.publish(new=NEW.keys.private)
    timer.seconds += token_keys.FRESH_SECONDS
    after = [door.answer(token(OLD)), door.answer(token(OLD, "new")), door.answer(token(NEW, "new"))]
    case.answer([before, *after], [LET_IN, "401", "401", LET_IN])


def test_a_key_that_is_new(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    before = [door.answer(token(NEW, "new")), door.answer(token(OLD))]
    door.issuer.publish(old=OLD.keys.private, new=NEW.keys.private)
    timer.seconds += token_keys.RETRY_SECONDS
    after = [door.answer(token(NEW, "new")), door.answer(token(OLD))]
    case.answer([*before, *after], ["401", LET_IN, LET_IN, LET_IN])


def test_a_new_key_under_the_old_one_s_id(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    before = door.answer(token(OLD))
    door.issuer.publish(old=NEW.keys.private)
    timer.seconds += token_keys.RETRY_SECONDS
    case.answer([before, door.answer(token(NEW)), door.answer(token(OLD))], [LET_IN, LET_IN, "401"])


def test_a_flood_of_unknown_ids(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    """The issuer is asked every 30 seconds, however many there are; and who is known is let in meanwhile."""
    door.answer(token(OLD))
    answers = set()
    for number in range(300):
        timer.seconds += 0.2
        answers.add(door.answer(strangers(f"unknown-{number}")))
    case.answer(
        [sorted(answers), len(door.issuer.requests), door.answer(token(OLD))],
        [["401"], 1 + 60 // token_keys.RETRY_SECONDS, LET_IN],
    )


def test_a_flood_that_signs_with_a_known_id(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    door.answer(token(OLD))
    answers = {door.answer(strangers("old")) for _ in range(300)}
    case.answer([answers, len(door.issuer.requests)], [{"401"}, 1])


def test_a_flood_of_what_is_no_token_of_ours(case: Case, door: Door, timer: Timer) -> None:  # noqa: F811
    """Asks nobody: neither what is no token, nor one of another algorithm."""
    answers = {door.answer(text) for text in ["a.b.c", "x", OLD.token(OLD.header(alg="HS256"))] * 100}
    case.answer([answers, len(door.issuer.requests)], [{"401"}, 0])


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_a_token_that_names_another_url(case: Case, door: Door, member: str) -> None:
    door.issuer.publish(old=OLD.keys.private)
    answered = door.answer(strangers("old", **{member: door.issuer.url + "/mallory"}))
    case.answer([answered, "/mallory" in door.issuer.requests], ["401", False])


@pytest.mark.parametrize(
    "member",
    [
        {"use": "enc"},
        {"alg": "ES384"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"crv": "P-384"},
        {"x": "AA"},
    ],
    ids=str,
)
def test_a_key_set_with_a_key_that_is_not_for_this(
    case: Case,
    door: Door,
    timer: Timer,  # noqa: F811
    member: dict[str, str],
) -> None:
    """It is passed over, and the others count."""
    strange = {**ECAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True), "kid": "strange", **member}
    good = {**ECAlgorithm.to_jwk(OLD.public, as_dict=True), "kid": "old"}
    door.issuer.body = json.dumps({"keys": [strange, None, "x", good]}).encode()
    answers = [door.answer(strangers("strange")), door.answer(token(OLD)), door.answer(token(OLD, ABSENT))]
    case.answer(answers, ["401", LET_IN, LET_IN])


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b"[" * 100_000), (200, b'{"keys": {}}'), (302, b""), (404, b"{}"), (500, b"")],
    ids=["HTML", "deep", "no list", "a redirect", "not found", "failing"],
)
def test_an_issuer_that_answers_something_else(
    case: Case,
    door: Door,
    timer: Timer,  # noqa: F811
    status: int,
    body: bytes,
) -> None:
    """The keys in hand stay in use."""
    door.answer(token(OLD))
    door.issuer.status, door.issuer.body = status, body
    door.issuer.headers = {"Location": door.issuer.url + "/mallory"}
    timer.seconds += token_keys.FRESH_SECONDS
    case.answer([door.answer(token(OLD)), door.answer(strangers("x"))], [LET_IN, "401"])
