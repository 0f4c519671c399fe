"""Secrets in tracked files: detect-secrets, and what was looked at and is none."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

from tests.supply_chain import ROOT

# Have the form of a certain kind of secret.
_BY_FORM = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *(
        "DiscordBotTokenDetector",
        "GitHubTokenDetector",
        "GitLabTokenDetector",
        "IbmCloudIamDetector",
    ),
    *(
        "JwtTokenDetector",
        "MailchimpDetector",
        "NpmDetector",
        "OpenAIDetector",
        "PrivateKeyDetector",
        "PypiTokenDetector",
    ),
    *("SendGridDetector", "SlackDetector", "SoftlayerDetector", "SquareOAuthDetector", "StripeDetector"),
    *("TelegramBotTokenDetector", "TwilioKeyDetector"),
)
# Look like chance, or have a telling name. Tests are full of both, so they are not asked there.
_BY_LOOK = (
    {"name": "Base64HighEntropyString", "limit": 4.5},
    {"name": "HexHighEntropyString", "limit": 3.0},
    {"name": "KeywordDetector"},
)
_MADE_UP = ("tests/", "benchmarks/", "clients/js/tests/")
_FILTERS = tuple(
    f"detect_secrets.filters.heuristic.{name}"
    for name in (
        *("is_indirect_reference", "is_likely_id_string", "is_not_alphanumeric_string", "is_potential_uuid"),
        *("is_prefixed_with_dollar_sign", "is_sequential_string", "is_templated_secret"),
    )
)
_LOCKS = ("uv.lock", "package-lock.json")  # nothing but digests
_PICTURES = ".png"

REVIEWED: dict[str, str] = {
    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY": "AWS's own example, for signatures of the right length",
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": "the name of a managed policy",
    "local": "the local cloud's, which nobody checks",
}
"""What looks like a secret and is none, with why not."""


def tracked() -> list[str]:
    """The files of the repository, those included that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - the git on the path
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name for name in listed.split("\0") if _may_tell(name) and (ROOT / name).is_file()]


def _may_tell(name: str) -> bool:
    return bool(name) and name not in _LOCKS and not name.endswith(_PICTURES)


def found_in(names: Iterable[str], root: Path = ROOT) -> Iterator[str]:
    """Where there is something like a secret, and of what kind; never the secret."""
    names = list(names)
    made_up = [name for name in names if name.startswith(_MADE_UP)]
    for some, plugins in (
        (made_up, [{"name": name} for name in _BY_FORM]),
        ([name for name in names if name not in set(made_up)], [*({"name": name} for name in _BY_FORM), *_BY_LOOK]),
    ):
        with transient_settings({"plugins_used": plugins, "filters_used": [{"path": path} for path in _FILTERS]}):
            for name in some:
                for secret in scan_file(str(root / name)):
                    if secret.secret_value not in REVIEWED:
                        yield f"{name}:{secret.line_number}: {secret.type}"
