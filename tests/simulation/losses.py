"""What seems lost and is not, and what is lost: when a user's disk is given up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx

from tests.simulation.faults import FLY
from tests.simulation.monkeys import back_to_running, destroy
from tests.simulation.scenarios import BIG, Scenario, sign_up
from tests.simulation.world import World

NOT_FOUND, UNPROCESSABLE = 404, 422
REST = timedelta(minutes=5)
# Longer than any loss takes to be believed, and than the collector's grace.
AFTERWARDS = timedelta(minutes=30)
LOST = {"AppLost", "VolumeLost", "MachineLost"}
VOLUMES = re.compile(r"/v1/orgs/[^/]+/volumes$")


def _false_404(request: httpx.Request) -> httpx.Response | None:
    """Everything in any app is said not to exist; to make one anew, its name is taken."""
    if request.url.host != FLY:
        return None
    if request.url.path.startswith("/v1/apps/"):
        return httpx.Response(NOT_FOUND, json={"error": "not found"}, request=request)
    if request.url.path == "/v1/apps" and request.method == "POST":
        words = {"error": "Name has already been taken"}
        return httpx.Response(UNPROCESSABLE, json=words, request=request)
    return None


@contextmanager
def interposed(
    world: World, answer: Callable[[httpx.Request], httpx.Response | None]
) -> Iterator[None]:
    """Let somebody answer in the providers' place."""
    world.plan.interpose = answer
    try:
        yield
    finally:
        world.plan.interpose = lambda _: None


async def _false_404s(world: World, span: timedelta) -> None:
    await sign_up(world)
    await world.pass_time(REST)
    before = (await world.app_name(), await world.volume_id(), await world.instance_id())
    with interposed(world, _false_404):
        await world.wish(size=BIG)
        await world.until_condition("Missing")
        await world.pass_time(span)
    await back_to_running(world)
    await world.until_no_condition("Missing")
    await world.pass_time(AFTERWARDS)
    await world.until_answered()
    await back_to_running(world)
    assert (await world.app_name(), await world.volume_id(), await world.instance_id()) == before
    assert not LOST & await world.events()
    assert set(world.watchman.apps()) == {before[0]}


async def minute_of_404s(world: World) -> None:
    """A minute in which Fly denies everything and refuses the name costs nobody their disk."""
    await _false_404s(world, timedelta(minutes=1))


async def long_404s(world: World) -> None:
    """However long direct reads deny a thing that the lists show: it is not given up."""
    await _false_404s(world, timedelta(minutes=20))


async def one_404(world: World) -> None:
    """One 404 on the volume, while its machine is made anew, does not cost the disk."""
    await sign_up(world)
    await world.pass_time(REST)
    volume, denied = await world.volume_id(), [False, False]

    def deny_once(request: httpx.Request) -> httpx.Response | None:
        creation = request.method == "POST" and request.url.path.endswith("/machines")
        reading = request.method == "GET" and request.url.path.endswith(f"/volumes/{volume}")
        for number, hit in enumerate((creation, reading)):
            if hit and not denied[number]:
                denied[number] = True
                return httpx.Response(NOT_FOUND, json={"error": "not found"}, request=request)
        return None

    with interposed(world, deny_once):
        await destroy(world)
        await world.until_event("MachineLost")
        await back_to_running(world)
    assert denied == [True, True]
    await world.pass_time(AFTERWARDS)
    assert await world.volume_id() == volume
    assert volume in world.fly.volumes


async def lists_with_errors(world: World) -> None:
    """A volume that is gone is not given up on the word of a list that lacks regions."""
    await sign_up(world)
    volume = await world.volume_id()

    def incomplete(request: httpx.Request) -> httpx.Response | None:
        if not VOLUMES.search(request.url.path):
            return None
        answer = {"volumes": [], "next_cursor": "", "error_regions": ["iad"]}
        return httpx.Response(200, json=answer, request=request)

    with interposed(world, incomplete):
        await destroy(world)
        world.fly.monkey_delete_volume(volume)
        await world.until_condition("Missing")
        await world.pass_time(AFTERWARDS)
        assert await world.volume_id() == volume
    await world.until_event("VolumeLost")
    await back_to_running(world)
    assert await world.volume_id() != volume


LOSSES: dict[str, Scenario] = {
    loss.__name__: loss for loss in (minute_of_404s, long_404s, one_404, lists_with_errors)
}
