"""Signature Version 4 for one shape of request, the post to a connection: POST, no query, a body of bytes.

botocore signs any request, and takes longer over one than all the rest of a post takes. What is the same in many posts
is made once here: the key for a day, the lines with the time for a second. A test holds the signatures equal.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "execute-api"
_BLOCK_BYTES = 64  # of SHA-256
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


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
    return f"{endpoint_path}/@connections/{_encoded(connection_id)}"


class Signer:
    """Makes posts to the connections of one endpoint, signed with one set of credentials.

    Args:
        credentials: who signs.
        region: where the API is.
        host: of the endpoint, with its port if that is not the scheme's own.
        path: of the endpoint; the stage, as a rule.
    """

    def __init__(self, credentials: Credentials, *, region: str, host: str, path: str) -> None:
        self._credentials = credentials
        self._region = region
        token = credentials.token
        signed_names = "host;x-amz-date;x-amz-security-token" if token else "host;x-amz-date"
        prefix = connection_path(path, "")
        self._request_line = f"POST {prefix}"
        self._host_line = f" HTTP/1.1\r\nHost: {host}\r\nX-Amz-Date: "
        self._token_header = f"\r\nX-Amz-Security-Token: {token}" if token else ""
        token_line = f"x-amz-security-token:{token}\n" if token else ""
        # The service encodes the path once more before it compares: what it gets is encoded already.
        self._canonical_start = f"POST\n{quote(prefix, safe='/~')}"
        self._canonical_host = f"\n\nhost:{host}\nx-amz-date:"
        self._canonical_end = f"\n{token_line}\n{signed_names}\n"
        self._signed_names = signed_names
        self._second: int | None = None
        self._day = ""

    def request(self, connection_id: str, body: bytes, second: int) -> bytes:
        """A whole post, as it goes over the wire.

        Args:
            connection_id: where it goes.
            body: the frame.
            second: the time since the epoch, which may differ from the service's by five minutes.
        """
        if second != self._second:
            self._renew(second)
        name = _encoded(connection_id)
        canonical = (
            f"{self._canonical_start}{name.replace('%', '%25')}{self._canonical_middle}"
            f"{hashlib.sha256(body).hexdigest()}"
        )
        # HMAC, from the state that it has after the key.
        inner = self._inner.copy()
        inner.update(f"{self._to_sign}{hashlib.sha256(canonical.encode()).hexdigest()}".encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        head = f"{self._request_line}{name}{self._head_end}{outer.hexdigest()}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _renew(self, second: int) -> None:
        """Make what is the same for all posts of this second."""
        self._second = second
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = timestamp[:8]
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        if day != self._day:
            self._day = day
            self._take_key_of(day)
        self._canonical_middle = f"{self._canonical_host}{timestamp}{self._canonical_end}"
        self._to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n"
        self._head_end = (
            f"{self._host_line}{timestamp}{self._token_header}\r\n"
            f"Authorization: {_ALGORITHM} Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={self._signed_names}, Signature="
        )

    def _take_key_of(self, day: str) -> None:
        key = f"AWS4{self._credentials.secret_key}".encode()
        for part in (day, self._region, _SERVICE, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))


def _encoded(connection_id: str) -> str:
    return quote(connection_id, safe="").replace(".", "%2E")
