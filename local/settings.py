"""Where a local run lives, and the environments its processes get. Nothing else here reads the environment.

Whatever the developer has set up for the real AWS (profiles, credentials, endpoints, proxies) must never reach
these processes, and nothing they do may reach the real AWS. So MiniStack gets an environment built from nothing,
and the CDK the developer's own (it runs uv, which may need a package index or certificates) without anything of AWS.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DIRECTORY = BUILD / "local"
INSTALLATION_FILE = BUILD / "local.json"
# Python and node; not resolved, or it would be the base interpreter's folder.
TOOLS = Path(sys.executable).parent

MINISTACK_VERSION = "1.5.33"
HOST = "127.0.0.1"
DEFAULT_PORT = 4600
# Beside MiniStack's own paths, and under none of AWS: what its runs do, told as it happens (`local.feed`).
RUNS_PATH = "/_ringback/runs"

ACCOUNT = "000000000000"
REGION = "us-east-1"
# MiniStack asks for a signature, not for a secret.
ACCESS_KEY_ID = "local"
SECRET_ACCESS_KEY = "local"  # noqa: S105 - no secret: nobody checks it

# Handlers are processes here. What they call is MiniStack again, one process, so more than a few at once only wait.
WORKERS_PER_FUNCTION = max(2, min(4, os.cpu_count() or 2))

# MiniStack imports a service when it is first asked for. What is not named here cannot be asked for, and so cannot
# open a port of its own, as its databases, brokers and SFTP server would, on all addresses.
_SERVICES = (
    "apigateway,cloudformation,dynamodb,dynamodbstreams,ecr,events,iam,kms,lambda,logs,monitoring,pipes,s3,scheduler,"
    "secretsmanager,sns,sqs,ssm,states,sts"
)

_PASSED_TO_CLOUD = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
_KEPT_FROM_CDK = ("AWS_", "AMAZON_", "BOTO_", "CDK_", "LAMBDA_", "LOCALSTACK_", "MINISTACK_", "NODE_OPTIONS", "PYTHON")


def cloud_environment(*, port: int, temporary: Path, enforce_iam: bool = False) -> dict[str, str]:
    """For MiniStack and, through it, for every handler.

    With `enforce_iam`, handlers have sessions of their roles; whoever has the key above is the account's root.
    """
    return {
        **{name: os.environ[name] for name in _PASSED_TO_CLOUD if name in os.environ},  # noqa: TID251
        **_aws(),
        "PATH": _path(),
        "PYTHONUNBUFFERED": "1",  # so the log is complete when the process dies
        "TMPDIR": str(temporary),  # handlers are unpacked here; it goes when the run goes
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": HOST,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "SERVICES": _SERVICES,
        "AUTH": "true" if enforce_iam else "false",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It would remove the containers of any other MiniStack on this machine.
        "DOCKER_HOST": "unix:///nowhere",
        # Callers wait for a worker (see corrections), so nobody need be refused.
        "LAMBDA_ACCOUNT_CONCURRENCY": "0",
    }


def cdk_environment(*, endpoint: str) -> dict[str, str]:
    """For the CDK command and the app it runs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_FROM_CDK)}  # noqa: TID251
    return {
        **inherited,
        **_aws(),
        "PATH": _path(),
        "AWS_ENDPOINT_URL": endpoint,
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CI": "true",  # plain lines, no questions
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def _aws() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _path() -> str:
    """The virtualenv first: its node runs the CDK, its python the app."""
    return os.pathsep.join([str(TOOLS), os.environ.get("PATH", os.defpath)])  # noqa: TID251


def chosen_browser() -> str | None:
    """The Chromium that the developer names, if any: a path, or a command."""
    return os.environ.get("CHROMIUM") or None  # noqa: TID251


def in_ci() -> bool:
    """Whether this runs in CI, where nothing may be skipped."""
    return bool(os.environ.get("CI"))  # noqa: TID251
