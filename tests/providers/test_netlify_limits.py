"""How fast Netlify is asked, and when it is left alone."""

import pytest

from controller.providers import Call, Priority, RateLimited, Unavailable
from controller.providers.netlify import Netlify, SiteRef
from tests.providers.clock import now, run
from tests.providers.fakes import TOKEN, Script, reply
from tests.providers.test_netlify_client import netlify, refusal

pytestmark = pytest.mark.anyio

CALL = Call(Priority.ROLLOUT)
SITE = SiteRef("team", "s-1")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x_ratelimit_reset": "1372700873", "date": "Mon, 01 Jul 2013 17:47:13 GMT"}, 40),
        ({"x_ratelimit_reset": "1372700873", "date": "Mon, 01 Jul 2013 17:48:13 GMT"}, 1),
        ({"x_ratelimit_reset": "1372700873"}, 60),
        ({"x_ratelimit_reset": "soon", "date": "Mon, 01 Jul 2013 17:47:13 GMT"}, 60),
        ({"x_ratelimit_reset": "1372700873", "date": "yesterday"}, 60),
        ({"retry_after": "7"}, 7),
        ({}, 60),
    ],
)
async def test_the_end_of_a_limit_is_told_by_netlifys_own_clock(
    headers: dict[str, str], seconds: float
) -> None:
    """The reset is unix time; the answer's date, and no clock of ours, makes seconds of it."""
    with pytest.raises(RateLimited) as caught:
        await netlify(Script(refusal(429, "slow", **headers))).get_site("s-1", call=CALL)

    assert seconds == caught.value.retry_after


def test_a_429_stops_every_request_but_builds() -> None:
    """Requests are counted together; deploys have a limit of their own on each site."""
    script = Script(refusal(429, "slow"), reply(200, {"id": "b"}))

    async def act() -> tuple[float | None, str]:
        client = netlify(script)
        with pytest.raises(RateLimited):
            await client.list_variables(SITE, call=CALL)
        with pytest.raises(RateLimited) as second:
            await client.get_site("other", call=CALL)
        return second.value.retry_after, (await client.trigger_build("s-1", call=CALL)).id

    assert (60, "b") == run(act)
    assert len(script.asked) == 2


def test_the_budget_stays_below_netlifys_limit() -> None:
    """However many ask, fewer than 500 requests leave in a minute."""
    script = Script(reply(200, {"id": "s-1", "account_id": "a"}))
    sent = list[float]()

    async def act() -> None:
        client = Netlify(script, token=TOKEN)
        for _ in range(600):
            await client.get_site("s-1", call=CALL)
            sent.append(now())

    run(act)
    busiest = max(sum(at <= other < at + 60 for other in sent) for at in sent[::50])
    assert 400 < busiest < 500


def test_builds_of_one_site_are_spaced() -> None:
    """Never more than three in a minute, and other sites do not wait for it."""
    script = Script(reply(200, {"id": "b"}))

    async def act() -> list[float]:
        client = Netlify(script, token=TOKEN)
        at = []
        for site in ("a", "a", "b", "a", "a"):
            await client.trigger_build(site, call=CALL)
            at.append(now())
        return at

    assert [0, 0, 0, 60, 120] == pytest.approx(run(act))


def test_a_netlify_that_is_down_is_left_alone() -> None:
    """After failures over two sites nothing is sent until the cool-down ends."""
    script = Script(refusal(503, "no"))

    async def act() -> list[str]:
        client = netlify(script)
        for site in ("a", "b") * 3:
            with pytest.raises(Unavailable):
                await client.trigger_build(site, call=CALL)
        with pytest.raises(Unavailable) as last:
            await client.trigger_build("a", call=CALL)
        return [last.value.kind]

    assert ["CircuitOpen"] == run(act)
    assert len(script.asked) == 5
