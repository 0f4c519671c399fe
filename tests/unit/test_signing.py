"""Our signatures are those that botocore makes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from lambdas.adapters.signing import Credentials, Signer, connection_path

REGION = "eu-central-1"
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


class Request:
    """A request as it goes over the wire."""

    def __init__(self, request: bytes) -> None:
        head, _, self.body = request.partition(b"\r\n\r\n")
        self.line, *lines = head.decode("ascii").split("\r\n")
        pairs = [line.partition(": ") for line in lines]
        self.headers = {name.lower(): value for name, _, value in pairs}
        assert len(self.headers) == len(pairs)


def by_botocore(credentials: Credentials, url: str, body: bytes, now: datetime) -> dict[str, Any]:
    request = AWSRequest("POST", url, data=body)
    signer = SigV4Auth(
        BotocoreCredentials(credentials.access_key, credentials.secret_key, credentials.token), "execute-api", REGION
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: now.replace(tzinfo=None))
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    connection_id=TEXT,
    stage=st.from_regex(r"\A[A-Za-z0-9_-]{1,20}\Z"),
    host=st.sampled_from(["a1b2.execute-api.eu-central-1.amazonaws.com", "127.0.0.1:4600"]),
    body=st.binary(max_size=200),
    access_key=st.from_regex(r"\A[A-Z0-9]{16,20}\Z"),
    secret_key=TEXT,
    token=st.none() | TEXT,
    now=MOMENTS,
)
def test_a_signature_is_botocores(
    *,
    connection_id: str,
    stage: str,
    host: str,
    body: bytes,
    access_key: str,
    secret_key: str,
    token: str | None,
    now: datetime,
) -> None:
    credentials = Credentials(access_key, secret_key, token)
    path = connection_path(f"/{stage}", connection_id)
    scheme = "http" if ":" in host else "https"

    signer = Signer(credentials, region=REGION, host=host, path=f"/{stage}")
    ours = Request(signer.request(connection_id, body, int(now.timestamp())))

    assert (ours.line, ours.body) == (f"POST {path} HTTP/1.1", body)
    assert ours.headers.pop("host") == host
    assert ours.headers.pop("content-length") == str(len(body))
    assert ours.headers == by_botocore(credentials, f"{scheme}://{host}{path}", body, now)


def test_a_signer_goes_on_over_midnight() -> None:
    credentials = Credentials("AKID", "secret")
    signer = Signer(credentials, region=REGION, host="h.example", path="/v1")
    path = connection_path("/v1", "Sm9tZQ=")
    for moment in (NOON, NOON, NOON + timedelta(seconds=1), NOON + timedelta(hours=13), NOON):
        theirs = by_botocore(credentials, f"https://h.example{path}", b"x", moment)
        ours = Request(signer.request("Sm9tZQ=", b"x", int(moment.timestamp())))
        assert ours.headers["authorization"] == theirs["authorization"]


def test_a_connection_id_is_encoded() -> None:
    assert connection_path("/v1", "Sm9/+ZQ=") == "/v1/@connections/Sm9%2F%2BZQ%3D"
    assert connection_path("/v1", "..") == "/v1/@connections/%2E%2E"


def test_credentials_show_no_secret() -> None:
    assert repr(Credentials("AKID", "s3cr3t", "s3cr3t")) == "Credentials('AKID')"
