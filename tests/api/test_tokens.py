"""Whom an access token proves, and every way in which it proves nobody."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.api_jws import PyJWS

from api.keys import KeySet
from api.tokens import Caller, InvalidTokenError, Verifier, names
from tests.support.virtual_time import START, clock, run

ISSUER = "https://invoker.supabase.co/auth/v1"
SUBJECT = "3c3b5dc5-6f3c-4a3f-8e07-0d1a5b2f9c11"
SECRET = "a-shared-secret-of-more-than-32-bytes"
EC_KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())
EC_OTHER = ec.derive_private_key(0x7654321, ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
NOW = int(START.timestamp())

CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": SUBJECT,
    "aud": "authenticated",
    "role": "authenticated",
    "iat": NOW,
    "exp": NOW + 3600,
    "email": "alice@example.com",
    "user_metadata": {"first_name": "Alice", "last_name": "Liddell"},
    "is_anonymous": False,
}


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    """The public JWK of a key."""
    algorithm = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


JWKS = {"keys": [jwk(EC_KEY, "ec"), jwk(RSA_KEY, "rsa")]}


def token(
    claims: Mapping[str, Any] = CLAIMS,
    *,
    key: Any = EC_KEY,
    algorithm: str = "ES256",
    kid: Any = "ec",
    **headers: Any,
) -> str:
    """A signed token."""
    # Not by way of `jwt.encode`, which refuses to write some of the nonsense that we want.
    return PyJWS().encode(
        json.dumps(dict(claims)).encode(),
        key,
        algorithm=algorithm,
        headers={"kid": kid, **headers} if kid else headers,
    )


def forged(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes | None) -> str:
    """A token put together by hand, with an HMAC or no signature at all."""
    parts = [_segment(json.dumps(part).encode()) for part in (header, claims)]
    signed = ".".join(parts).encode()
    signature = hmac.new(secret, signed, hashlib.sha256).digest() if secret else b""
    return f"{signed.decode()}.{_segment(signature)}"


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def judge(text: str, *, secret: str | None = None, jwks: Any = None) -> Caller | str:
    """Whom the verifier sees, or why it refuses."""

    async def fetch() -> Any:
        return JWKS if jwks is None else jwks

    async def verdict() -> Caller | str:
        verifier = Verifier(KeySet(fetch), clock(), ISSUER, secret)
        try:
            return await verifier.verify(text)
        except InvalidTokenError as error:
            return str(error)

    return run(verdict, limit_seconds=10)


@pytest.mark.parametrize(
    "text",
    [
        token(),
        token(key=RSA_KEY, algorithm="RS256", kid="rsa"),
        token(CLAIMS | {"exp": NOW - 4}),
        token(CLAIMS | {"iat": NOW + 4}),
    ],
    ids=["ES256", "RS256", "expired just now", "issued in a moment"],
)
def test_valid_token(text: str) -> None:
    """A token of Supabase's names its user, a few seconds of clock skew included."""
    caller = judge(text)

    assert isinstance(caller, Caller)
    assert caller.account == SUBJECT
    assert caller.email == "alice@example.com"
    assert (caller.first_name, caller.last_name) == ("Alice", "Liddell")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example/auth/v1"},
        {"iss": ISSUER + "/"},
        {"iss": [ISSUER]},
        {"aud": "anon"},
        {"aud": ["authenticated", "other"]},
        {"aud": ["authenticated"]},
        {"role": "service_role"},
        {"role": "anon"},
        {"role": ["authenticated"]},
        {"exp": NOW - 5},
        {"exp": str(NOW + 3600)},
        {"exp": True},
        {"exp": 1e300},
        {"exp": float("inf")},
        {"iat": NOW + 6},
        {"nbf": NOW + 6},
        {"nbf": "never"},
        {"sub": "admin"},
        {"sub": SUBJECT.upper()},
        {"sub": SUBJECT.replace("-", "")},
        {"sub": "{" + SUBJECT + "}"},
        {"sub": 5},
        {"sub": ""},
    ],
)
def test_wrong_claims(changes: dict[str, Any]) -> None:
    """A validly signed token with a wrong claim proves nothing."""
    assert isinstance(judge(token(CLAIMS | changes)), str)


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "role", "iat", "exp"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_claims_that_must_be_there(claim: str, how: str) -> None:
    """A token that lacks a claim is refused by its name, or at least refused."""
    claims = {k: v for k, v in CLAIMS.items() if k != claim}
    if how == "null":
        claims[claim] = None

    assert isinstance(judge(token(claims)), str)


PUBLIC_PEM = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
FORGERIES = {
    "none": forged({"alg": "none", "kid": "ec"}, CLAIMS, None),
    "None": forged({"alg": "None", "kid": "ec"}, CLAIMS, None),
    "no alg": forged({"kid": "ec"}, CLAIMS, None),
    "alg is a list": forged({"alg": ["ES256"], "kid": "ec"}, CLAIMS, None),
    "HS256 with the EC public key": forged({"alg": "HS256", "kid": "ec"}, CLAIMS, PUBLIC_PEM),
    "HS256 with the RSA public key": forged({"alg": "HS256", "kid": "rsa"}, CLAIMS, RSA_PEM),
    "HS256 with the JWK": forged({"alg": "HS256"}, CLAIMS, json.dumps(JWKS["keys"][0]).encode()),
    "HS256 with nothing": forged({"alg": "HS256"}, CLAIMS, b"\0"),
    "HS384": jwt.encode(CLAIMS, SECRET * 2, algorithm="HS384"),
    "another key": token(key=EC_OTHER),
    "another algorithm": token(key=RSA_KEY, algorithm="RS512", kid="rsa"),
    "PS256": token(key=RSA_KEY, algorithm="PS256", kid="rsa"),
    "key of another type": token(key=RSA_KEY, algorithm="RS256", kid="ec"),
    "no kid": token(kid=None),
    "unknown kid": token(kid="other"),
    "kid is a path": token(kid="../../ec"),
    "own key in the header": token(key=EC_OTHER, jwk=jwk(EC_OTHER, "ec")),
    "own keys by address": token(key=EC_OTHER, jku="https://evil.example/jwks"),
    "critical extension": token(crit=["exp"]),
    "empty": "",
    "dots": "..",
    "words": "not a token",
    "unicode": "\xfc.\xfc.\xfc",
    "too long": token(CLAIMS | {"x": "x" * 16384}),
    "no signature": token().rpartition(".")[0] + ".",
    "another's payload": ".".join(
        (token().split(".")[0], token(CLAIMS | {"sub": "x"}).split(".")[1], token().split(".")[2])
    ),
}


@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize("text", FORGERIES.values(), ids=FORGERIES)
def test_forgeries(text: str, secret: str | None) -> None:
    """No trick with algorithms, keys or key ids gets in, whether HS256 is on or off."""
    verdict = judge(text, secret=secret)

    assert isinstance(verdict, str)
    assert text == "" or text not in verdict


def test_hs256_only_with_a_secret() -> None:
    """A project of old signs with its secret, and only then HS256 is accepted."""
    text = jwt.encode(CLAIMS, SECRET, algorithm="HS256")

    assert isinstance(judge(text, secret=SECRET, jwks={"keys": []}), Caller)
    assert isinstance(judge(text, jwks={"keys": []}), str)
    assert isinstance(judge(text, secret=SECRET + "x", jwks={"keys": []}), str)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_changed_tokens_are_refused(data: st.DataObject) -> None:
    """Whatever character of a token is changed, it is no longer valid, and nothing breaks."""
    text = token()
    place = data.draw(st.integers(0, len(text) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0\xe9"
    character = data.draw(st.sampled_from(alphabet))
    changed = text[:place] + character + text[place + 1 :]
    verdict = judge(changed)

    assert changed == text or isinstance(verdict, str) or _same_bytes(changed, text)


def _same_bytes(left: str, right: str) -> bool:
    # The last character of a segment has bits that say nothing.
    def decoded(text: str) -> list[bytes]:
        return [base64.urlsafe_b64decode(part + "==") for part in text.split(".")]

    return decoded(left) == decoded(right)


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip", "jku"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    ),
    claims=st.dictionaries(st.sampled_from(sorted(CLAIMS)), st.none() | st.integers() | st.text()),
)
@settings(max_examples=200, deadline=None)
def test_arbitrary_headers_are_refused(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Arbitrary unsigned headers and claims are refused without breaking anything."""
    assert isinstance(judge(forged(header, CLAIMS | claims, None), secret=SECRET), str)


NAMES = st.sampled_from(["full_name", "name", "first_name", "last_name"])


@given(st.dictionaries(NAMES, st.text()))
def test_names_fit_the_row(metadata: dict[str, Any]) -> None:
    """Whatever users wrote at Supabase, names are printable and short."""
    for name in names(metadata):
        assert len(name) <= 100
        assert name.isprintable()


def test_names_of_google() -> None:
    """Google's full name is taken apart."""
    assert names({"full_name": "Ada King Lovelace"}) == ("Ada", "King Lovelace")
    assert names({"first_name": 5}) == ("", "")
