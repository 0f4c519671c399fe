"""Who is let in."""

from datetime import UTC, datetime

from websockets.exceptions import InvalidStatus

from local import tokens
from local.demo.scene import Scenes
from local.demo.stage import Finding, Stage

SCENES = Scenes()


@SCENES.scene("wrong, expired and unsigned tokens: refused")
def bad_tokens(stage: Stage, found: Finding) -> None:
    """Nobody gets in without a token that the stage trusts."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": "kim", "iat": now, "exp": now + 60}
    offered = {
        "none": "",
        "garbage": "not.a.token",
        "of another key": tokens.Keys.make().token("kim"),
        "expired": stage.keys.token("kim", ttl_seconds=-60),
        "unsigned": tokens.unsigned(claims),
        "of another issuer": stage.keys.sign({**claims, "iss": "https://elsewhere.example"}),
        "for another audience": stage.keys.sign({**claims, "aud": "elsewhere"}),
    }
    for kind, token in offered.items():
        client = stage.client("kim", token=token)
        try:
            client.connect()
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            found.expect(status == 401, f"a token {kind} is answered 401, not {status}")
        else:
            client.close()
            found.expect(False, f"a token {kind} is refused")  # noqa: FBT003
    found.expect(stage.rows(stage.client("kim"), "kim") == [], "nothing is stored")
    found.notes.append(f"{len(offered)} kinds of tokens")
