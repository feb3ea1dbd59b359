"""Operators' tokens of an OpenID Connect issuer beside Supabase."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.access import Authenticator, UnauthenticatedError
from api.access.issuer import open_id_connect
from api.keys import KeysUnavailableError
from crds.access import AccessTokens
from tests.api.service import settings
from tests.kubernetes.doors import Door

pytestmark = pytest.mark.anyio

ISSUER = "https://login.example.com/realms/ops"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


class Issuer(httpx.AsyncBaseTransport):
    """An issuer: its discovery document and its keys."""

    down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as OpenID Connect Discovery says."""
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
        return httpx.Response(200, json={"keys": [{**public, "kid": "1", "alg": "ES256"}]})


def token(door: Door, key: ec.EllipticCurvePrivateKey = KEY, **claims: Any) -> str:
    """A token of the issuer."""
    now = int(door.store.clock.now().timestamp())
    basis = {"iss": ISSUER, "aud": "invoker", "sub": "u1", "iat": now, "exp": now + 600}
    return jwt.encode({**basis, **claims}, key, algorithm="ES256", headers={"kid": "1"})


@pytest.fixture
def issuer() -> Issuer:
    """The issuer."""
    return Issuer()


@pytest.fixture
async def authenticator(door: Door, issuer: Issuer) -> AsyncIterator[Authenticator]:
    """Who comes in by it; the group `sre` is our administrators'."""
    api = door.service.api
    chosen = settings(
        "postgresql://unused",
        oidc_issuer=ISSUER,
        oidc_roles={"sre": "platform-admin"},
    )
    async with open_id_connect(chosen, api.store.clock, issuer) as oidc:
        yield replace(api.authenticator, oidc=oidc, tokens=AccessTokens(api.store))


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["sre", "lunch"], "platform-admin"),
        ("sre", "platform-admin"),
        (["support"], "support"),
        (["metrics", "support"], "support"),
    ],
)
async def test_a_group_is_a_role(
    door: Door, authenticator: Authenticator, groups: object, role: str
) -> None:
    """A group stands for the role that the settings give it, or that it is named like."""
    identity = await authenticator.identify(token(door, groups=groups, aud=["invoker", "other"]))

    assert ("oidc:u1", role) == (identity.subject, identity.role)


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["lunch"]},
        {"groups": ["account-owner"]},
        {"groups": ["devops", "dev-worker", "clientele"]},
        {"groups": 7},
        {},
        {"groups": ["sre"], "aud": "somebody-else"},
        {"groups": ["sre"], "exp": 1},
        {"groups": ["sre"], "iss": "https://evil.example.com"},
    ],
)
async def test_what_names_no_role_or_is_not_for_us_is_refused(
    door: Door, authenticator: Authenticator, claims: dict[str, Any]
) -> None:
    """Neither a foreign group nor a foreign, expired or misdirected token opens anything."""
    with pytest.raises(UnauthenticatedError):
        await authenticator.identify(token(door, **claims))


async def test_another_key_proves_nothing(door: Door, authenticator: Authenticator) -> None:
    """Who signs with a key of their own is not the issuer."""
    with pytest.raises(UnauthenticatedError):
        await authenticator.identify(token(door, OTHER, groups=["sre"]))


async def test_an_issuer_that_is_down_is_said(
    door: Door, authenticator: Authenticator, issuer: Issuer
) -> None:
    """Without the issuer's keys nothing is said about a token, and our own go on working."""
    issuer.down = True
    with pytest.raises(KeysUnavailableError):
        await authenticator.identify(token(door, groups=["sre"]))

    assert (await authenticator.identify(door.admin)).role == "platform-admin"
