"""An agent with its issuer and its control plane, all in memory."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette

from deploy.agent.app import create
from deploy.agent.settings import Settings

OWNER = "11111111-1111-4111-8111-111111111111"
STRANGER = "22222222-2222-4222-8222-222222222222"
MACHINE = "33333333-3333-4333-8333-333333333333"
MACHINE_TOKEN = "k1.a-machine-token-of-some-length"
ISSUER = "http://auth.test/auth/v1"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def public_jwk(kid: str, key: Key) -> dict[str, Any]:
    """The public half of a key as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig"}


class Outside:
    """The issuer's keys and the control plane, as the agent sees them."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {"user-1": ec.generate_private_key(ec.SECP256R1())}
        self.edge_key = ec.generate_private_key(ec.SECP256R1())
        self.key_requests = 0
        self.heartbeats: list[httpx.Request] = []
        self.answers: list[httpx.Response] = []
        self.issuer_is_up = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer the agent."""
        if request.url.host == "auth.test":
            self.key_requests += 1
            if not self.issuer_is_up:
                return httpx.Response(502)
            keys = [public_jwk(kid, key) for kid, key in self.keys.items()]
            return httpx.Response(200, json={"keys": keys})
        self.heartbeats.append(request)
        if self.answers:
            return self.answers.pop(0)
        body = {"subdomain": "alice", "url": "http://alice.test", "next_heartbeat_seconds": 60}
        return httpx.Response(200, json=body)

    def token(self, *, kid: str = "user-1", **changes: Any) -> str:
        """A user's token; a claim that is changed to `None` is left out."""
        claims = {
            "iss": ISSUER,
            "aud": "authenticated",
            "exp": int(time.time()) + 600,
            "sub": OWNER,
            "role": "authenticated",
            "email": "alice@example.com",
        } | changes
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(_given(claims), key, algorithm, {"kid": kid})

    def identity(self, **changes: Any) -> str:
        """The edge's word for a user."""
        claims = {
            "iss": "invoker-edge",
            "aud": MACHINE,
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
            "sub": OWNER,
            "email": "alice@example.com",
        } | changes
        return jwt.encode(_given(claims), self.edge_key, "ES256", {"kid": "edge-1"})

    def environment(self, data_dir: Path) -> dict[str, str]:
        """What the controller puts into the machine's config."""
        return {
            "INVOKER_MACHINE_ID": MACHINE,
            "INVOKER_OWNER": OWNER,
            "INVOKER_API_URL": "http://api.test",
            "INVOKER_MACHINE_TOKEN": MACHINE_TOKEN,
            "INVOKER_JWKS_URL": f"{ISSUER}/.well-known/jwks.json",
            "INVOKER_JWT_ISSUER": ISSUER,
            "INVOKER_JWT_AUDIENCE": "authenticated",
            "INVOKER_EDGE_JWKS": json.dumps({"keys": [public_jwk("edge-1", self.edge_key)]}),
            "APP_VERSION": "1.2.3",
            "INVOKER_DATA_DIR": str(data_dir),
        }


def _given(claims: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if value is not None}


@pytest.fixture
def outside() -> Outside:
    """The agent's surroundings."""
    return Outside()


@pytest.fixture
def environment(outside: Outside, tmp_path: Path) -> dict[str, str]:
    """The agent's environment."""
    return outside.environment(tmp_path)


Caller = Callable[..., dict[str, str]]


@pytest.fixture
async def app(outside: Outside, environment: dict[str, str]) -> AsyncIterator[Starlette]:
    """A started agent."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(outside))
    agent = create(Settings.read(environment), client)
    async with agent.router.lifespan_context(agent):
        yield agent


@pytest.fixture
async def agent(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the agent, without credentials."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://alice.test") as client:
        yield client


@pytest.fixture
def owner(outside: Outside) -> dict[str, str]:
    """The owner's headers, as they come from the edge."""
    return {
        "Authorization": f"Bearer {outside.token()}",
        "x-invoker-identity": outside.identity(),
    }
