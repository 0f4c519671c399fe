"""A certificate authority that exists for a moment, and certificates of it: for TLS on this machine."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_AUTHORITY = "An authority for a moment"
_DAY = timedelta(days=1)


class Certificate(NamedTuple):
    """A certificate and its key, as files."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What the server secures its connections with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


class Authority:
    """Signs certificates, and keeps what it makes in a directory.

    Args:
        directory: an empty one, that exists.
    """

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "authority.pem"
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        made = self._signed(_AUTHORITY, self._key.public_key(), now - _DAY, now + _DAY, is_authority=True)
        self.certificate.write_bytes(made.public_bytes(Encoding.PEM))

    def server(self, *names: str, valid_for: timedelta = _DAY) -> "Certificate":
        """What a server with these names, or addresses, shows.

        Args:
            names: the first one is what it is called.
            valid_for: from now on; of one that is over, less than nothing.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        signed = self._signed(names[0], key.public_key(), now - 2 * _DAY, now + valid_for, names=names)
        made = Certificate(self._directory / "server.pem", self._directory / "server.key")
        made.chain.write_bytes(signed.public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def client(self) -> ssl.SSLContext:
        """What a client secures its connections with who trusts this authority, and no other."""
        return ssl.create_default_context(cafile=self.certificate)

    def _signed(
        self,
        subject: str,
        key: ec.EllipticCurvePublicKey,
        begins: datetime,
        ends: datetime,
        *,
        names: tuple[str, ...] = (),
        is_authority: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(_AUTHORITY))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=is_authority,
                    crl_sign=is_authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
