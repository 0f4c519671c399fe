"""Signature Version 4 for one shape of request, the post to a connection: POST, no query, a body of bytes.

botocore signs any request, and takes longer over one than all the rest of a post takes. A test holds the two equal.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "execute-api"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs. A role's credentials have a token, and end."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        """Leave the secrets out."""
        return f"Credentials({self.access_key!r})"


def connection_path(endpoint_path: str, connection_id: str) -> str:
    """The path of a connection as it goes over the wire; the `=` of its id is encoded, and dots, which lead away."""
    return f"{endpoint_path}/@connections/{quote(connection_id, safe='').replace('.', '%2E')}"


class Signer:
    """Signs posts with one set of credentials, to one host. The key of the day is derived once a day."""

    def __init__(self, credentials: Credentials, *, region: str, host: str) -> None:
        self.credentials = credentials
        self._region = region
        self._host = host
        token = credentials.token
        self._signed_names = "host;x-amz-date;x-amz-security-token" if token else "host;x-amz-date"
        self._token_line = f"x-amz-security-token:{token}\n" if token else ""
        self._second: int | None = None
        self._day = ""
        self._key = b""

    def headers(self, path: str, body: bytes, now: datetime) -> dict[str, str]:
        """The headers of a post, with its signature.

        Args:
            path: as it goes over the wire.
            body: the frame.
            now: the time, which may differ from the service's by five minutes.
        """
        if (second := int(now.timestamp())) != self._second:
            self._renew(now, second)
        # The service encodes the path once more before it compares: what it gets is encoded already.
        canonical = (
            f"POST\n{quote(path, safe='/~')}\n\nhost:{self._host}\nx-amz-date:{self._timestamp}\n{self._token_line}\n"
            f"{self._signed_names}\n{hashlib.sha256(body).hexdigest()}"
        )
        to_sign = f"{self._to_sign}{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        headers = {
            "Host": self._host,
            "X-Amz-Date": self._timestamp,
            "Authorization": f"{self._authorization}{signature}",
        }
        if self.credentials.token:
            headers["X-Amz-Security-Token"] = self.credentials.token
        return headers

    def _renew(self, now: datetime, second: int) -> None:
        self._second = second
        self._timestamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        day = self._timestamp[:8]
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        if day != self._day:
            key = f"AWS4{self.credentials.secret_key}".encode()
            for part in (day, self._region, _SERVICE, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day, self._key = day, key
        self._to_sign = f"{_ALGORITHM}\n{self._timestamp}\n{scope}\n"
        self._authorization = (
            f"{_ALGORITHM} Credential={self.credentials.access_key}/{scope}, "
            f"SignedHeaders={self._signed_names}, Signature="
        )
