"""Tokens and kubeconfigs."""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crds.access import AccessToken, AccessTokens
from crds.store import Store
from tests.command.invoking import Invoker

Write = Callable[[Callable[[Store], Any]], Any]
SERVER = "https://api.example.com:6443"


def verified(write: Write, token: str) -> AccessToken | None:
    """What the store makes of a token."""

    async def verify(store: Store) -> AccessToken | None:
        return await AccessTokens(store).verify(token)

    found: AccessToken | None = write(verify)
    return found


def test_a_token_is_printed_once(invoker: Invoker, write: Write) -> None:
    """The secret goes to standard output alone; it opens what was asked for; no list shows it."""
    made = invoker("token", "create", "--name", "ci", "--role", "support", "--lifetime", "12h")
    secret = made.stdout.strip()
    listed = invoker("token", "list").output + str(invoker.json("token", "list"))
    kept = verified(write, secret)

    assert kept is not None
    assert ("ci", "support") == (kept.name, kept.role)
    assert timedelta(hours=12) == kept.expires_at - kept.created_at
    assert secret not in made.stderr
    assert secret not in listed
    assert kept.id in listed


def test_a_revoked_token_opens_nothing(invoker: Invoker, write: Write) -> None:
    """Revoking takes effect at once and shows in the list."""
    made = invoker.json("token", "create", "--name", "ci", "--role", "metrics")
    result = invoker("token", "revoke", made["id"])

    assert 0 == result.exit_code
    assert verified(write, made["token"]) is None
    assert "revoked" in invoker("token", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--role", "king"), 1, "role: must be one of platform-admin, support"),
        (("--role", "account-owner"), 1, "account: goes with the roles account-owner"),
        (("--role", "devops"), 1, "account: goes with the roles account-owner, devops"),
        (("--role", "support", "--account", "a"), 1, "account: goes with the roles"),
        (("--role", "support", "--lifetime", "soon"), 2, "--lifetime: must be a number of m, h"),
        (("--role", "support", "--lifetime", "999d"), 1, "lifetime: must be at most 365 days"),
    ],
)
def test_tokens_that_are_refused(
    invoker: Invoker, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """A token that breaks a rule is not made; the rule is told."""
    result = invoker("token", "create", "--name", "ci", *arguments)

    assert (code, "") == (result.exit_code, result.stdout)
    assert message in result.stderr


def test_revoking_nothing(invoker: Invoker) -> None:
    """A token that is not there is an error."""
    result = invoker("token", "revoke", "0123456789abcdef")

    assert (1, "invoker: token 0123456789abcdef does not exist\n") == (
        result.exit_code,
        result.stderr,
    )


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of a certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "invoker")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_kubeconfig_for_a_remote_api(
    invoker: Invoker, write: Write, authority: Path, tmp_path: Path
) -> None:
    """A file that kubectl takes, for its owner only, with the authority and a token that opens."""
    out = tmp_path / "config"
    result = invoker("kubeconfig", "--server", SERVER, "--ca", str(authority), "--out", str(out))
    config = yaml.safe_load(out.read_text())
    cluster = config["clusters"][0]["cluster"]

    assert (0, "") == (result.exit_code, result.stdout)
    assert 0o600 == stat.S_IMODE(out.stat().st_mode)
    assert "invoker" == config["current-context"]
    assert SERVER == cluster["server"]
    assert authority.read_bytes() == base64.b64decode(cluster["certificate-authority-data"])
    kept = verified(write, config["users"][0]["user"]["token"])
    assert kept is not None
    assert "platform-admin" == kept.role


def test_a_kubeconfig_keeps_the_rest(invoker: Invoker, tmp_path: Path) -> None:
    """A file that is there keeps its other contexts; an entry of our name is replaced."""
    out = tmp_path / "config"
    other = {"name": "other", "context": {"cluster": "other", "user": "other"}}
    old = {"name": "invoker", "user": {"token": "old"}}
    out.write_text(yaml.safe_dump({"contexts": [other], "users": [old], "preferences": {}}))
    invoker("kubeconfig", "--server", SERVER, "--out", str(out))
    config = yaml.safe_load(out.read_text())

    assert ["other", "invoker"] == [each["name"] for each in config["contexts"]]
    assert 1 == len(config["users"])
    assert "old" != config["users"][0]["user"]["token"]
    assert {} == config["preferences"]


def test_a_kubeconfig_to_standard_output(invoker: Invoker) -> None:
    """Without a file it is printed, and nothing else is."""
    result = invoker("kubeconfig", "--server", SERVER, "--role", "support")

    assert SERVER == yaml.safe_load(result.stdout)["clusters"][0]["cluster"]["server"]


def test_the_local_kubeconfig(tmp_path: Path) -> None:
    """Without a server it says where the local stack's own is."""
    missing = Invoker()("kubeconfig", "--state", str(tmp_path))
    (tmp_path / "kubeconfig").touch()
    found = Invoker()("kubeconfig", "--state", str(tmp_path))
    by_variable = Invoker(INVOKER_STATE=str(tmp_path))("kubeconfig")

    assert 1 == missing.exit_code
    assert (0, f"{tmp_path / 'kubeconfig'}\n") == (found.exit_code, found.stdout)
    assert found.stdout == by_variable.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ("", ("--server", "http://api.example.com"), "--server: must be an https:// URL"),
        ("no certificate", ("--server", SERVER, "--ca", "FILE"), "is not a certificate in PEM"),
        ("", ("--server", SERVER, "--ca", "FILE.gone"), "No such file or directory"),
        ("[1]", ("--server", SERVER, "--out", "FILE"), "is not a kubeconfig"),
        ("{", ("--server", SERVER, "--out", "FILE"), "is not YAML"),
        ("", ("--server", SERVER, "--out", "FILE/below"), "cannot be read"),
    ],
)
def test_kubeconfigs_that_are_refused(
    invoker: Invoker, tmp_path: Path, content: str, arguments: tuple[str, ...], message: str
) -> None:
    """What is wrong is told before a token is made."""
    path = tmp_path / "file"
    path.write_text(content)
    result = invoker("kubeconfig", *(argument.replace("FILE", str(path)) for argument in arguments))

    assert (2, "") == (result.exit_code, result.stdout)
    assert message in result.stderr
    assert [] == invoker.json("token", "list")
