"""SSH keys: which lines are taken for one, and by what they are known."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from crds.authorized_key import AuthorizedKey, AuthorizedKeySpec, fingerprint_of
from crds.errors import InvalidError
from crds.meta import ObjectMeta

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CURVES = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
SSH_KEYGEN = shutil.which("ssh-keygen")


def _part(value: bytes) -> bytes:
    """A string as SSH writes it (RFC 4251, 5)."""
    return len(value).to_bytes(4, "big") + value


def _line(type_: str, *parts: bytes, comment: str = "") -> str:
    """A public key's line of an `authorized_keys` file."""
    blob = b"".join(map(_part, (type_.encode(), *parts)))
    return f"{type_} {base64.b64encode(blob).decode()} {comment}".strip()


def _every_type() -> list[str]:
    """A key of every type that is taken."""
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    numbers = ec.generate_private_key(CURVES[0]).public_key()
    point = numbers.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys: tuple[ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey, ...] = (
        edwards,
        rsa.generate_private_key(65537, 2048).public_key(),
        *(ec.generate_private_key(curve).public_key() for curve in CURVES),
    )
    return [
        *(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() for key in keys),
        _line("sk-ssh-ed25519@openssh.com", edwards.public_bytes_raw(), b"ssh:"),
        _line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point, b"ssh:"),
    ]


def _by_ssh_keygen(lines: Sequence[str]) -> list[str]:
    """The fingerprints of lines as OpenSSH sees them."""
    assert SSH_KEYGEN is not None
    shown = subprocess.run(  # noqa: S603 - the lines are the test's own
        [SSH_KEYGEN, "-l", "-E", "sha256", "-f", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split()[1] for line in shown.stdout.splitlines()]


@pytest.mark.skipif(SSH_KEYGEN is None, reason="OpenSSH is not installed here")
def test_fingerprints_are_those_of_openssh() -> None:
    """For every type of key that is taken, users see what `ssh-keygen -l` shows them."""
    lines = _every_type()

    assert _by_ssh_keygen(lines) == [fingerprint_of(line) for line in lines]


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"[ -~]{0,40}", fullmatch=True))
def test_a_comment_makes_no_other_key(key: bytes, comment: str) -> None:
    """What stands behind a key, and around the line, changes nothing of whose it is."""
    plain = _line("ssh-ed25519", key)
    spec = AuthorizedKeySpec(vps="one", public_key=f"  {plain} {comment}\n")

    assert fingerprint_of(plain) == spec.fingerprint
    assert spec.public_key == spec.public_key.strip()


@given(st.text(max_size=80))
def test_what_is_no_key_is_refused_and_not_repeated(line: str) -> None:
    """A private key that was pasted by mistake must not come back in an error."""
    with pytest.raises(InvalidError) as caught:
        AuthorizedKey.parse(
            {"metadata": {"name": "a"}, "spec": {"vps": "one", "publicKey": f"hunter2{line}"}}
        )

    (cause,) = caught.value.causes
    assert "spec.publicKey" == cause.field
    assert "hunter2" not in cause.message


@pytest.mark.parametrize(
    "line",
    [
        "ssh-ed25519",
        "ssh-ed25519 not-base64",
        "ssh-dss AAAAB3NzaC1kc3M=",
        'command="sh" ' + _line("ssh-ed25519", bytes(32)),
        _line("ssh-ed25519", bytes(32)) + "\n" + _line("ssh-ed25519", bytes(32)),
        _line("ssh-rsa", b"\1", b"\2").replace("ssh-rsa", "ssh-ed25519"),
        "ssh-ed25519 ",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        _line("ssh-ed25519", bytes(32), comment="n\u00f6"),
    ],
)
def test_only_one_key_without_options_is_taken(line: str) -> None:
    """Options would run commands on the droplet, and a second line would be a second key."""
    with pytest.raises(InvalidError) as caught:
        AuthorizedKey.parse({"metadata": {"name": "a"}, "spec": {"vps": "a", "publicKey": line}})

    assert ["spec.publicKey"] == [cause.field for cause in caught.value.causes]


@pytest.mark.parametrize(
    ("type_", "after", "ends"),
    [
        ("user", None, None),
        ("user", 90 * DAY, 90 * DAY),
        ("support", timedelta(hours=1), timedelta(hours=1)),
        ("support", 2 * DAY, DAY),
    ],
)
def test_support_is_out_after_a_day(
    type_: str, after: timedelta | None, ends: timedelta | None
) -> None:
    """However late its end was set, or is put off, a key of support ends within 24 hours."""
    spec = {
        "vps": "one",
        "publicKey": _line("ssh-ed25519", bytes(32)),
        "type": type_,
        "expiresAt": after and NOON + after,
    }
    meta = ObjectMeta(name="a", creation_timestamp=NOON)
    key = AuthorizedKey(metadata=meta, spec=AuthorizedKeySpec.model_validate(spec))

    assert (ends and NOON + ends) == key.ends_at
