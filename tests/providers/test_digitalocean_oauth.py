"""How grants are given, renewed and ended."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog

from controller.providers import (
    Call,
    Gear,
    InvalidRequest,
    Priority,
    ProviderError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from controller.providers.digitalocean import Connection, DigitalOcean, DigitalOceanOAuth, Grant
from deploy.local.simulators.digitalocean import (
    API_HOST,
    OAUTH_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.clock import run
from tests.providers.fakes import Script, ample, reply

CALL = Call(Priority.USER)
REDIRECT = "http://127.0.0.1:8080/auth/do/callback"


def oauth(transport: httpx.AsyncBaseTransport, *, secret: str = "") -> DigitalOceanOAuth:
    """Return a client of the simulator's application."""
    return DigitalOceanOAuth(
        transport,
        client_id="sim-digitalocean-client",
        client_secret=secret or "sim-digitalocean-secret",
        redirect_uri=REDIRECT,
        gear=Gear(budget=ample()),
    )


def simulated(cloud: DigitalOceanCloud) -> SimulatorTransport:
    """Return the way to a cloud."""
    api = DigitalOceanAPI(cloud)
    return SimulatorTransport(hosts={API_HOST: api, OAUTH_HOST: api})


class LosesOne(httpx.AsyncBaseTransport):
    """Passes a request on and loses its answer; or loses the request itself."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, delivers: bool) -> None:
        self.inner = inner
        self.delivers = delivers
        self.armed = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Lose once, then pass on."""
        if not self.armed:
            return await self.inner.handle_async_request(request)
        self.armed = False
        if self.delivers:
            await self.inner.handle_async_request(request)
        raise httpx.ReadTimeout("lost", request=request)


async def works(transport: httpx.AsyncBaseTransport, token: str) -> bool:
    """Return whether an access token is in force."""
    digitalocean = DigitalOcean(transport, gear=Gear(budget=ample()))
    try:
        await digitalocean.get_account(Connection("c", token), call=CALL)
    except Unauthorized:
        return False
    return True


def test_a_code_becomes_a_grant() -> None:
    """The grant names its owner and lasts 30 days; its code is good for one use."""

    async def ask() -> Grant:
        cloud = DigitalOceanCloud()
        transport = simulated(cloud)
        code = cloud.consent("ada@example.com", "read write", REDIRECT)
        grant = await oauth(transport).exchange(code, call=CALL)
        assert await works(transport, grant.access_token.get_secret_value())
        with pytest.raises(Unauthorized):
            await oauth(transport).exchange(code, call=CALL)
        return grant

    grant = run(ask)

    assert ("ada@example.com", 30 * 24 * 3600) == (grant.info.email, grant.expires_in)
    assert "v1_" not in repr(grant)


def test_a_refresh_token_is_good_for_one_use() -> None:
    """A refresh kills both former tokens; using the refresh token again is refused."""

    async def ask() -> list[bool]:
        cloud = DigitalOceanCloud()
        transport, old = simulated(cloud), cloud.grant("ada@example.com")
        access, refresh = old.access, old.refresh
        new = await oauth(transport).refresh(refresh, subject="c", call=CALL)
        with pytest.raises(Unauthorized):
            await oauth(transport).refresh(refresh, subject="c", call=CALL)
        return [await works(transport, t) for t in (access, new.access_token.get_secret_value())]

    assert [False, True] == run(ask)


@pytest.mark.parametrize("delivers", [False, True])
def test_a_refresh_whose_answer_is_lost(*, delivers: bool) -> None:
    """It is not repeated; the old access token tells whether the refresh token is still good."""

    async def ask() -> tuple[bool, bool]:
        cloud = DigitalOceanCloud()
        transport, old = simulated(cloud), cloud.grant("ada@example.com")
        access, refresh = old.access, old.refresh
        losing = oauth(LosesOne(transport, delivers=delivers))
        with pytest.raises(Unavailable) as caught:
            await losing.refresh(refresh, subject="c", call=CALL)
        assert caught.value.outcome_unknown
        unused = await works(transport, access)
        try:
            await losing.refresh(refresh, subject="c", call=CALL)
        except Unauthorized:
            return unused, False
        return unused, True

    assert (not delivers, not delivers) == run(ask)


def test_revoking_is_the_end() -> None:
    """Access and refresh token die together, and revoking twice is as good as once."""

    async def ask() -> bool:
        cloud = DigitalOceanCloud()
        transport, grant = simulated(cloud), cloud.grant("ada@example.com")
        for _ in range(2):
            await oauth(transport).revoke(grant.access, subject="c", call=CALL)
        with pytest.raises(Unauthorized):
            await oauth(transport).refresh(grant.refresh, subject="c", call=CALL)
        return await works(transport, grant.access)

    assert run(ask) is False


def test_a_wrong_secret_of_ours_condemns_no_grant() -> None:
    """`invalid_client` comes with a 401 as well, and is our mistake: never `Unauthorized`."""

    async def ask() -> Grant:
        cloud = DigitalOceanCloud()
        transport, grant = simulated(cloud), cloud.grant("ada@example.com")
        with pytest.raises(InvalidRequest):
            await oauth(transport, secret="wrong").refresh(grant.refresh, subject="c", call=CALL)
        return await oauth(transport).refresh(grant.refresh, subject="c", call=CALL)

    assert run(ask).refresh_token.get_secret_value().startswith("dor_v1_")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(429, {}, retry_after="3"), RateLimited),
        (reply(503), Unavailable),
        (reply(200, {"access_token": "doo_v1_a"}), Unavailable),
        (reply(401, {"error": "invalid_grant"}), Unauthorized),
        (reply(401, {}), InvalidRequest),
    ],
)
def test_refusals_of_a_refresh(answer: httpx.Response, kind: type[ProviderError]) -> None:
    """Only `invalid_grant` ends a grant; half an answer leaves the outcome unknown."""

    async def ask() -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await oauth(Script(answer)).refresh("dor_v1_old", subject="c", call=CALL)
        return caught.value

    error = run(ask)

    assert kind is type(error)
    assert (kind is Unavailable) == getattr(error, "outcome_unknown", False)


@pytest.fixture
def captured() -> Iterator[list[Any]]:
    """Everything that is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_no_secret_shows(captured: list[Any]) -> None:
    """Neither the log, an error nor an address has a code, a token or our secret.

    The server repeats to each call everything that the call sent.
    """
    secrets = ["the-code", "dor_v1_old", "doo_v1_old", "sim-digitalocean-secret"]

    def repeating(request: httpx.Request) -> httpx.Response:
        return reply(400, {"error": "x", "error_description": request.content.decode()})

    async def ask() -> list[str]:
        script = Script(repeating)
        client = oauth(script)
        told = [repr(client._form("x", "/x", {"code": "the-code"}, "c", bearer="doo_v1_old"))]
        for call in (
            client.exchange("the-code", call=CALL),
            client.refresh("dor_v1_old", subject="c", call=CALL),
            client.revoke("doo_v1_old", subject="c", call=CALL),
        ):
            with pytest.raises(InvalidRequest) as caught:
                await call
            told += [str(caught.value), repr(caught.value)]
        return told + [str(request.url) for request in script.asked]

    said = " ".join([*run(ask), str(captured)])

    assert 3 == len(captured)
    assert not [secret for secret in secrets if secret in said]
