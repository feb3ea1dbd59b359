"""What the DigitalOcean client makes of answers; every answer here is written by hand."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog

from controller.providers import (
    AlreadyExists,
    Breaker,
    Call,
    CircuitOpen,
    Forbidden,
    Gear,
    InsufficientCapacity,
    InvalidRequest,
    NotFound,
    NotReady,
    Priority,
    ProviderError,
    QuotaReached,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnclassifiedConflict,
)
from controller.providers.digitalocean import (
    AlreadyInState,
    Connection,
    DigitalOcean,
    Droplet,
    UnknownKey,
)
from tests.providers.clock import now, run
from tests.providers.fakes import Script, ample, reply

TOKEN = "doo_v1_verysecret"
OF = Connection("connection-1", TOKEN)
OTHER = Connection("connection-2", "doo_v1_another")
CALL = Call(Priority.USER)
DATE = "Sat, 21 Nov 2026 08:00:00 GMT"
EIGHT = 1795248000
ACCOUNT = {"account": {"uuid": "u1", "email": "a@example.com", "droplet_limit": 10}}


def client(*replies: Any, breaker: Breaker | None = None) -> tuple[DigitalOcean, Script]:
    """Return a client over a script, with a budget that never waits."""
    script = Script(*replies)
    gear = Gear(budget=ample(), breaker=breaker or Breaker())
    return DigitalOcean(script, gear=gear), script


def refusal(status: int, message: str, **headers: str) -> httpx.Response:
    """Return a refusal in DigitalOcean's shape."""
    return reply(status, {"id": "unprocessable_entity", "message": message}, **headers)


def droplet(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a droplet as the API shows it."""
    v4 = [
        {"ip_address": "10.0.0.2", "type": "private"},
        {"ip_address": "198.18.0.2", "type": "public"},
    ]
    return {
        "id": number,
        "name": "vps",
        "status": "active",
        "locked": False,
        "created_at": "2026-11-21T08:00:00Z",
        "size_slug": "s-1vcpu-1gb",
        "region": {"slug": "ams3", "name": "Amsterdam 3"},
        "networks": {"v4": v4, "v6": []},
        "tags": ["invoker:u1"],
        **more,
    }


def page(numbers: range, total: int, following: bool = False) -> httpx.Response:  # noqa: FBT001, FBT002 - reads as it is called
    """Return one page of droplets."""
    pages = {"pages": {"next": "https://api.digitalocean.com/v2/droplets?page=9"}}
    body = {
        "droplets": [droplet(number) for number in numbers],
        "links": pages if following else {},
        "meta": {"total": total},
    }
    return reply(200, body)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "Unable to authenticate you", Unauthorized),
        (403, "You are not authorized to perform this operation", Forbidden),
        (404, "The resource you requested could not be found.", NotFound),
        (409, "conflict", UnclassifiedConflict),
        (422, "Droplet already has a pending event.", NotReady),
        (422, "Droplet is already powered off.", AlreadyInState),
        (422, "Droplet is already powered on", AlreadyInState),
        (422, "creating this/these droplet(s) will exceed your droplet limit", QuotaReached),
        (422, "594 are invalid key identifiers for Droplet creation.", UnknownKey),
        (422, "SSH Key is already in use on your account", AlreadyExists),
        (422, "Size is not available in this region.", InsufficientCapacity),
        (422, "You specified an invalid size for Droplet creation.", InvalidRequest),
        (500, "Server Error", Unavailable),
        (503, "", Unavailable),
    ],
)
def test_refusals_are_typed(status: int, message: str, kind: type[ProviderError]) -> None:
    """Every recorded refusal becomes the one class that says what to do, with its request id."""

    async def ask() -> ProviderError:
        digitalocean, _ = client(refusal(status, message, x_request_id="r-1"))
        with pytest.raises(ProviderError) as caught:
            await digitalocean.power_off(OF, 1, call=CALL)
        return caught.value

    error = run(ask)

    assert (kind, status, "r-1") == (type(error), error.status, error.request_id)


def test_a_droplet_is_read() -> None:
    """The public address is told from the private one, and the slugs are plain."""

    async def ask() -> Droplet:
        return await client(reply(200, {"droplet": droplet()}))[0].get_droplet(OF, 1, call=CALL)

    seen = run(ask)

    assert ("198.18.0.2", "ams3", "s-1vcpu-1gb") == (seen.public_ipv4, seen.region, seen.size)
    assert ("invoker:u1",) == seen.tags


def test_an_odd_droplet_hides_no_other() -> None:
    """A status of tomorrow, a missing region and null lists leave a list readable."""
    odd = droplet(2, status="resting", region=None, tags=None, networks={"v4": None})

    async def ask() -> list[Droplet]:
        answer = reply(200, {"droplets": [droplet(), odd], "links": None, "meta": {"total": 2}})
        return await client(answer)[0].list_droplets(OF, call=CALL)

    first, second = run(ask)

    assert (1, "active") == (first.id, first.status)
    assert ("resting", "", (), None) == (
        second.status,
        second.region,
        second.tags,
        second.public_ipv4,
    )


def test_what_is_sent_to_create() -> None:
    """The user data goes along only where there is some, and the action's id comes back."""
    links = {"actions": [{"id": 7, "rel": "create", "href": "https://example.com"}]}

    async def ask() -> tuple[int | None, list[dict[str, Any]]]:
        young = droplet(status="new", networks={"v4": [], "v6": []})
        digitalocean, script = client(reply(202, {"droplet": young, "links": links}))
        common: dict[str, Any] = {
            "name": "vps",
            "region": "ams3",
            "size": "s-1vcpu-1gb",
            "image": "debian-12-x64",
            "tags": ["invoker:u1"],
            "call": CALL,
        }
        made = await digitalocean.create_droplet(OF, user_data="#!/bin/sh", **common)
        await digitalocean.create_droplet(OF, **common)
        assert made.droplet.public_ipv4 is None
        return made.action_id, [json.loads(request.content) for request in script.asked]

    action, (first, second) = run(ask)

    assert 7 == action
    assert "#!/bin/sh" == first["user_data"]
    assert "user_data" not in second


def test_pages_are_followed_to_the_last() -> None:
    """A list is complete, in the largest pages that there are, with its filter on each."""

    async def ask() -> tuple[list[int], list[str]]:
        digitalocean, script = client(
            page(range(200), 201, following=True), page(range(200, 201), 201)
        )
        found = await digitalocean.list_droplets(OF, tag="invoker:u1", call=CALL)
        return [d.id for d in found], script.lines

    numbers, lines = run(ask)

    assert list(range(201)) == numbers
    tagged = "GET /v2/droplets?tag_name=invoker%3Au1&page={}&per_page=200"
    assert [tagged.format(1), tagged.format(2)] == lines


def test_a_list_that_moved_is_no_list() -> None:
    """When a droplet vanishes between two pages another may have been skipped: say so."""

    async def ask() -> None:
        digitalocean, _ = client(page(range(200), 201, following=True), page(range(200, 200), 200))
        with pytest.raises(Unavailable, match="changed while it was read"):
            await digitalocean.list_droplets(OF, call=CALL)

    run(ask)


def test_a_list_without_its_entries_is_no_list() -> None:
    """An answer that lacks the list is an error, never an empty list that looks like absence."""

    async def ask() -> None:
        digitalocean, _ = client(reply(200, {"meta": {"total": 0}}))
        with pytest.raises(Unavailable, match="cannot be read"):
            await digitalocean.list_droplets(OF, call=CALL)

    run(ask)


@pytest.fixture
def captured() -> Iterator[list[Any]]:
    """Everything that is logged meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_the_token_shows_nowhere(captured: list[Any]) -> None:
    """Neither a representation nor an error nor the log has the token or the user data."""

    async def ask() -> list[str]:
        told = refusal(422, f"the token {TOKEN} may not do that")
        digitalocean, script = client(told)
        with pytest.raises(InvalidRequest) as caught:
            await digitalocean.create_droplet(
                OF,
                name="vps",
                region="ams3",
                size="s",
                image="i",
                tags=[],
                user_data="GATEWAY_AUTH_TOKEN=hidden",
                call=CALL,
            )
        assert f"Bearer {TOKEN}" == script.asked[0].headers["authorization"]
        error = caught.value
        frames = [repr(frame.frame.f_locals.get("ask")) for frame in caught.traceback]
        return [repr(OF), repr(digitalocean), str(error), repr(error), *frames]

    said = " ".join([*run(ask), str(captured)])

    assert captured
    assert "Ask(operation='droplets.create'" in said
    assert not [secret for secret in (TOKEN, "GATEWAY_AUTH_TOKEN") if secret in said]


def test_a_mutation_is_sent_once_and_its_outcome_unknown() -> None:
    """A create whose answer is lost is not repeated, because it would make a second droplet."""

    async def ask() -> tuple[int, list[bool]]:
        digitalocean, script = client(httpx.ReadTimeout("lost"), reply(502))
        unknown = []
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await digitalocean.reboot(OF, 1, call=CALL)
            unknown.append(caught.value.outcome_unknown)
        return len(script.asked), unknown

    assert (2, [True, True]) == run(ask)


def test_a_read_is_tried_again() -> None:
    """A 5xx to a question is asked again at once."""

    async def ask() -> int:
        digitalocean, script = client(reply(500), reply(502), reply(200, ACCOUNT))
        await digitalocean.get_account(OF, call=CALL)
        return len(script.asked)

    assert 3 == run(ask)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "17"}, 17.0),
        ({"date": DATE, "ratelimit_reset": str(EIGHT + 1200)}, 1200.0),
        ({"date": DATE, "ratelimit_reset": str(EIGHT + 90_000)}, 3600.0),
        ({"date": "yesterday", "ratelimit_reset": str(EIGHT)}, None),
        ({}, None),
    ],
)
def test_a_429_says_how_long(headers: dict[str, str], seconds: float | None) -> None:
    """The burst's answer says it in seconds, the hour's by the server's own two clocks."""

    async def ask() -> float | None:
        digitalocean, _ = client(refusal(429, "API Rate limit exceeded.", **headers))
        with pytest.raises(RateLimited) as caught:
            await digitalocean.get_account(OF, call=CALL)
        return caught.value.retry_after

    assert seconds == run(ask)


def test_one_connection_pauses_alone() -> None:
    """A user who is limited is not asked for until it ends, and the others do not notice."""

    async def ask() -> tuple[float, int]:
        limited = refusal(429, "API Rate limit exceeded.", retry_after="20")
        digitalocean, script = client(limited, reply(200, ACCOUNT))
        with pytest.raises(RateLimited):
            await digitalocean.get_account(OF, call=CALL)
        await digitalocean.get_account(OTHER, call=CALL)
        assert 0 == now()
        await digitalocean.get_account(OF, call=CALL)
        return now(), len(script.asked)

    assert (20.0, 3) == run(ask)


def test_a_long_pause_is_told_at_once() -> None:
    """Nobody sits out the rest of an hour: the call is refused unsent, with what is left."""

    async def ask() -> tuple[float | None, bool | None, int]:
        headers = {"date": DATE, "ratelimit_reset": str(EIGHT + 1800)}
        digitalocean, script = client(refusal(429, "API Rate limit exceeded.", **headers))
        for _ in range(2):
            with pytest.raises(RateLimited) as caught:
                await digitalocean.get_account(OF, call=CALL)
        return caught.value.retry_after, caught.value.sent, len(script.asked)

    assert (1800.0, False, 1) == run(ask)


def test_the_last_call_of_a_window_is_heeded() -> None:
    """Where an answer says that nothing remains, the next call is not spent on a refusal."""

    async def ask() -> tuple[float, int]:
        headers = {"date": DATE, "ratelimit_reset": str(EIGHT + 25), "ratelimit_remaining": "0"}
        digitalocean, script = client(reply(200, ACCOUNT, **headers), reply(200, ACCOUNT))
        await digitalocean.get_account(OF, call=CALL)
        await digitalocean.get_account(OF, call=CALL)
        return now(), len(script.asked)

    assert (25.0, 2) == run(ask)


def test_the_default_budget_keeps_within_the_limits() -> None:
    """Two hours of one hungry connection stay below 250 a minute and 5,000 an hour."""

    async def ask() -> list[float]:
        budget, times = DigitalOcean(Script()).budget, list[float]()
        while now() < 4000:
            await budget.take("api", OF.name, Priority.USER)
            times.append(now())
        return times

    times = run(ask)

    for window, most in ((60, 250), (3600, 5000)):
        assert most > max(sum(at <= t < at + window for t in times) for at in times[:: window // 3])


def test_the_breaker_is_of_the_provider() -> None:
    """When two users' calls find DigitalOcean down, a third is not even asked for."""

    async def ask() -> int:
        digitalocean, script = client(reply(500), breaker=Breaker(threshold=4))
        for of in (OF, OTHER, OF, OTHER):
            with pytest.raises(Unavailable):
                await digitalocean.delete_droplet(of, 1 if of is OF else 2, call=CALL)
        with pytest.raises(CircuitOpen):
            await digitalocean.get_account(Connection("connection-3", "t"), call=CALL)
        return len(script.asked)

    assert 4 == run(ask)


def test_the_guard_speaks_last() -> None:
    """Who lost the right to act sends nothing that changes anything."""

    def lost() -> None:
        raise RuntimeError("lost the shard")

    async def ask() -> int:
        digitalocean, script = client(reply(200, ACCOUNT))
        guarded = Call(Priority.USER, guard=lost)
        await digitalocean.get_account(OF, call=guarded)
        with pytest.raises(RuntimeError, match="lost the shard"):
            await digitalocean.delete_droplet(OF, 1, call=guarded)
        return len(script.asked)

    assert 1 == run(ask)
