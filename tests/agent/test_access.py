"""Who gets into a machine."""

from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.agent.conftest import ISSUER, MACHINE_TOKEN, OWNER, STRANGER, Outside

pytestmark = pytest.mark.anyio

LONG_AGO, FAR_AWAY = 1_000_000_000, 4_000_000_000


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_owner_gets_in(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """The owner's token and the edge's word for them open the machine."""
    response = await agent.get("/api/identity", headers=owner)

    assert response.status_code == 200
    assert response.json()["user"] == OWNER
    assert response.json()["email"] == "alice@example.com"


@pytest.mark.parametrize("path", ["/", "/api/identity", "/api/tasks", "/health/", "/no/such"])
async def test_nobody_gets_in(agent: httpx.AsyncClient, path: str) -> None:
    """Without a token everything that is not health is 401, also what does not exist."""
    response = await agent.get(path)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": LONG_AGO},
        {"exp": None},
        {"iss": "http://other.test/auth/v1"},
        {"iss": None},
        {"aud": "anon"},
        {"aud": None},
        {"role": "anon"},
        {"role": None},
        {"sub": None},
        {"nbf": FAR_AWAY},
    ],
    ids=str,
)
async def test_bad_claims(
    agent: httpx.AsyncClient, outside: Outside, changes: dict[str, Any]
) -> None:
    """A token whose claims are wrong or missing is 401, although it is the owner's."""
    response = await agent.get("/api/identity", headers=_bearer(outside.token(**changes)))

    assert response.status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer no.jwt.this"])
async def test_bad_header(agent: httpx.AsyncClient, header: str) -> None:
    """An Authorization header that is no bearer token is 401."""
    response = await agent.get("/api/identity", headers={"Authorization": header})

    assert response.status_code == 401


async def test_stranger(agent: httpx.AsyncClient, outside: Outside) -> None:
    """Another user's valid token is 403, not 401: signing in again would not help."""
    response = await agent.get("/api/identity", headers=_bearer(outside.token(sub=STRANGER)))

    assert response.status_code == 403


async def test_algorithms_are_pinned(agent: httpx.AsyncClient, outside: Outside) -> None:
    """A token cannot choose its algorithm: neither none, nor HMAC under the known key id."""
    claims = jwt.decode(outside.token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", "none", {"kid": "user-1"})
    secret = "a secret that is long enough for any rule"
    symmetric = jwt.encode(claims, secret, "HS256", {"kid": "user-1"})

    for token in (unsigned, symmetric):
        assert (await agent.get("/api/identity", headers=_bearer(token))).status_code == 401


async def test_rsa_issuer(agent: httpx.AsyncClient, outside: Outside) -> None:
    """An issuer that signs with RSA is understood as well."""
    outside.keys["rsa"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    response = await agent.get("/api/identity", headers=_bearer(outside.token(kid="rsa")))

    assert response.status_code == 200


async def test_rotation(agent: httpx.AsyncClient, outside: Outside, app: Any) -> None:
    """A new key of the issuer is asked for, at most every 30 s however many unknown ones come."""
    assert (await agent.get("/", headers=_bearer(outside.token()))).status_code == 200
    keys = app.user_middleware[0].kwargs["verifier"]._keys
    outside.keys["user-2"] = ec.generate_private_key(ec.SECP256R1())
    new = _bearer(outside.token(kid="user-2"))

    early = [(await agent.get("/", headers=new)).status_code for _ in range(3)]
    keys._asked_at -= 30
    late = [(await agent.get("/", headers=new)).status_code for _ in range(3)]

    assert early == [401, 401, 401]
    assert late == [200, 200, 200]
    assert outside.key_requests == 2


async def test_issuer_goes_away(agent: httpx.AsyncClient, outside: Outside, app: Any) -> None:
    """Known keys stay good while the issuer is away; without any, 503 asks to try again."""
    outside.issuer_is_up = False
    assert (await agent.get("/", headers=_bearer(outside.token()))).status_code == 503

    outside.issuer_is_up = True
    keys = app.user_middleware[0].kwargs["verifier"]._keys
    keys._asked_at -= 1
    assert (await agent.get("/", headers=_bearer(outside.token()))).status_code == 200

    outside.issuer_is_up = False
    keys._asked_at -= 3600
    keys._fetched_at -= 3600
    assert (await agent.get("/", headers=_bearer(outside.token()))).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": STRANGER},
        {"aud": "44444444-4444-4444-8444-444444444444"},
        {"iss": ISSUER},
        {"exp": LONG_AGO},
        {"exp": None},
    ],
    ids=str,
)
async def test_bad_identity(
    agent: httpx.AsyncClient, outside: Outside, changes: dict[str, Any]
) -> None:
    """The edge's word must be its own, fresh, for this machine and for the owner."""
    headers = _bearer(outside.token()) | {"x-invoker-identity": outside.identity(**changes)}
    response = await agent.get("/api/identity", headers=headers)

    assert response.status_code == 401


async def test_identity_of_another_key(agent: httpx.AsyncClient, outside: Outside) -> None:
    """Whoever is not the edge cannot speak for it."""
    outside.edge_key = ec.generate_private_key(ec.SECP256R1())
    headers = _bearer(outside.token()) | {"x-invoker-identity": outside.identity()}

    assert (await agent.get("/api/identity", headers=headers)).status_code == 401


async def test_identity_alone(agent: httpx.AsyncClient, outside: Outside) -> None:
    """The edge's word is no substitute for the user's token."""
    headers = {"x-invoker-identity": outside.identity()}

    assert (await agent.get("/api/identity", headers=headers)).status_code == 401


async def test_shared_secret_projects_get_in_through_the_edge(
    agent: httpx.AsyncClient, outside: Outside
) -> None:
    """A token that only the edge can verify opens the machine with the edge's word, not without."""
    claims = {"sub": OWNER, "iss": ISSUER, "aud": "authenticated", "exp": FAR_AWAY}
    token = jwt.encode(claims, "a shared secret of thirty-two bytes", algorithm="HS256")
    word = {"x-invoker-identity": outside.identity()}
    stranger = {"x-invoker-identity": outside.identity(sub=STRANGER)}

    alone = await agent.get("/api/identity", headers=_bearer(token))
    vouched = await agent.get("/api/identity", headers=_bearer(token) | word)
    other = await agent.get("/api/identity", headers=_bearer(token) | stranger)
    assert [401, 200, 403] == [answer.status_code for answer in (alone, vouched, other)]


@pytest.mark.parametrize("token", ["", "k1.wrong", MACHINE_TOKEN[:-1], MACHINE_TOKEN + "x"])
async def test_heartbeat_wants_the_machine_token(agent: httpx.AsyncClient, token: str) -> None:
    """Only the control plane may ask for a heartbeat."""
    response = await agent.post("/heartbeat", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 401


async def test_owner_is_not_the_control_plane(
    agent: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    """The owner's token does not pass for the machine's."""
    assert (await agent.post("/heartbeat", headers=owner)).status_code == 401
