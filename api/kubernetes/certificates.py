"""TLS for operators: an authority of the product's own, and the certificate it issues."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crds.credentials import SYSTEM
from crds.secrets import Secrets

SECRET: Final = "kubernetes-authority"  # noqa: S105 - the secret's name
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
AUTHORITY_AGE: Final = timedelta(days=3650)
# Clients refuse certificates of more than 398 days; a process that runs longer is restarted.
SERVER_AGE: Final = timedelta(days=397)
# Clocks of clients may be behind ours.
BEHIND: Final = timedelta(hours=1)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Authority:
    """The certificate authority of one installation, shared by its replicas.

    Attributes:
        certificate: Its certificate, which clients trust.
        key: Its key, which never leaves the database unencrypted.
    """

    certificate: x509.Certificate
    key: Key

    @classmethod
    async def load(cls, secrets: Secrets, now: datetime) -> Authority:
        """The installation's authority, made when there is none.

        Raises:
            SecretError: It cannot be decrypted with the configured keys.
        """
        made = _make(now)
        new = {"certificate": made.pem, "key": _key_pem(made.key)}
        held = json.loads(await secrets.ensure(SYSTEM, SECRET, json.dumps(new).encode()))
        key = serialization.load_pem_private_key(held["key"].encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not of an elliptic curve")
        return cls(x509.load_pem_x509_certificate(held["certificate"].encode()), key)

    @property
    def pem(self) -> str:
        """Its certificate as clients take it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, names: Iterable[str], now: datetime) -> tuple[str, str]:
        """A server's certificate and its key, in PEM.

        Args:
            names: Host names and addresses by which clients reach it, beside this machine's own.
            now: The wall time.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        every = dict.fromkeys((*LOCAL, *names))
        certificate = (
            _builder("invoker", self.certificate.subject, key, now, SERVER_AGE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_alternative(each) for each in every]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.replace(path)


def _make(now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "invoker authority")])
    certificate = (
        _builder("invoker authority", name, key, now, AUTHORITY_AGE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _builder(
    common_name: str, issuer: x509.Name, key: Key, now: datetime, age: timedelta
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEHIND)
        .not_valid_after(now + age)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
