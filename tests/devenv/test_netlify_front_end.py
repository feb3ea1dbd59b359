"""The front end learns of every change by one build, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import httpx
import pytest

from controller.devenv.keys import make_keys
from controller.devenv.netlify import CURRENT, tell_front_end
from controller.devenv.tools import DevEnvScope, Known, Tools, Wait
from controller.engine import EventRecorder, Request
from controller.providers.netlify import Netlify, NewValue, NewVariable, SiteRef
from crds.account import Account, AccountSpec
from crds.connection import Keys
from crds.devenv import DevEnv, DevEnvSpec, NetlifySpec
from crds.errors import ConflictError
from crds.meta import ObjectMeta
from crds.store import LocalDoorbell, Store
from deploy.local.simulators.netlify import BuildTimings
from tests.providers.netlify_cloud import CALL, KEY, URL, Cloud
from tests.support.virtual_time import clock, run

T = TypeVar("T")
Fault = Literal["crash before", "crash after", "lost before", "lost after"]

KONG = "https://devenv-acme-erp-kong.fly.dev"
LIMIT_SECONDS = 4 * 3600.0


class Crash(Exception):  # noqa: N818 - no error, but the end of a process
    """The controller dies here; nothing that was not written is remembered."""


class Breaking(httpx.AsyncBaseTransport):
    """Passes on, and breaks at one request, before or after it takes effect."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.asked: list[str] = []
        self.at: int | None = None
        self.fault: Fault = "lost after"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, unless it is the one."""
        self.asked.append(request.method)
        if len(self.asked) != self.at:
            return await self.inner.handle_async_request(request)
        if self.fault.endswith("after"):
            await self.inner.handle_async_request(request)
        raise Crash if self.fault.startswith("crash") else httpx.ReadTimeout("x", request=request)


class House:
    """A dev environment, its front end's site, and a controller that does this one step."""

    def __init__(self, store: Store, cloud: Cloud) -> None:
        self.store = store
        self.cloud = cloud
        self.transport = Breaking(cloud.transport)
        self.netlify: Netlify | None = Netlify(self.transport, token=cloud.team.token)
        self.recorder = EventRecorder(store.events, store.clock)
        self.spec = DevEnvSpec(
            client="acme", app="erp", netlify=NetlifySpec(site=cloud.site, team=cloud.team.slug)
        )
        self.keys = self.new_keys()

    def new_keys(self) -> Keys:
        """Keys as a rotation makes them."""
        self.keys = make_keys(
            DevEnvSpec(client="acme", app="erp"), self.store.clock.now(), os.urandom
        )
        return self.keys

    def tools(self) -> Tools:
        """The outside world, as far as this step knows it."""
        return Tools(
            fly=None,  # type: ignore[arg-type]  # this step asks only Netlify
            secrets=None,  # type: ignore[arg-type]  # the same
            netlify=self.netlify,
            installation="test",
            public_url=lambda app: f"https://{app}.fly.dev",
            random=os.urandom,
            fingerprint=lambda value: hashlib.sha256(value).hexdigest(),
        )

    async def move_in(self) -> None:
        """Write the rows."""
        owner = AccountSpec(email="devops@acme.example", netlify_sites=[self.cloud.site])
        await self.store.create(Account(metadata=ObjectMeta(name="acme"), spec=owner))
        meta = ObjectMeta(name="erp", namespace="acme")
        await self.store.create(DevEnv(metadata=meta, spec=self.spec))

    async def row(self) -> DevEnv:
        """The row as it is."""
        found = await self.store.find(DevEnv, "erp", "acme")
        assert found is not None
        return found

    async def reconcile(self) -> Wait | None:
        """One reconcile; what it found is written, unless the controller dies."""
        row = await self.row()
        scope = DevEnvScope(self.store, self.recorder, row, Request(row.key))
        scope.known = Known()
        wait = await tell_front_end(scope, self.tools(), self.keys)
        await scope.save()
        return wait

    async def until_rest(self) -> None:
        """Reconcile when it is due, and again at once after a death, until nothing is due."""
        while True:
            try:
                wait = await self.reconcile()
            except Crash:
                continue
            if wait is None:
                return
            assert wait.seconds is not None
            await asyncio.sleep(wait.seconds)

    async def reason(self) -> tuple[str, str] | None:
        """The condition's value and reason."""
        found = (await self.row()).status.condition(CURRENT)
        return None if found is None else (found.status, found.reason)

    def seen(self) -> tuple[str | None, str | None]:
        """What visitors' browsers get: the address and the key in the published files."""
        published = self.cloud.team.published(self.cloud.site)
        baked = published.baked if published else {}
        return baked.get(URL), baked.get(KEY)

    def builds(self) -> int:
        """How many builds there were."""
        return len(self.cloud.team.deploys)


@asynccontextmanager
async def housed(url: str, timings: BuildTimings | None = None) -> AsyncIterator[House]:
    """A house whose row is written."""
    async with Store.opened(url, clock=clock(), doorbell=LocalDoorbell()) as store:
        house = House(store, Cloud(timings))
        await house.move_in()
        yield house


def played(
    url: str, play: Callable[[House], Coroutine[Any, Any, T]], timings: BuildTimings | None = None
) -> T:
    """Run a play in a house on virtual time."""

    async def main() -> T:
        async with housed(url, timings) as house:
            return await play(house)

    return run(main, limit_seconds=LIMIT_SECONDS)


def test_a_change_is_one_build_with_the_new_values(database_url: str) -> None:
    """The first telling and each rotation end in one build, after which visitors get the key."""

    async def play(house: House) -> None:
        await house.until_rest()
        assert (house.builds(), house.seen()) == (1, (KONG, house.keys.anon_key))
        old, new = house.keys, house.new_keys()
        await house.until_rest()
        assert old.anon_key != new.anon_key
        assert (house.builds(), house.seen()) == (2, (KONG, new.anon_key))
        assert await house.reason() == ("True", "Deployed")

    played(database_url, play)


def test_nothing_is_asked_at_rest(database_url: str) -> None:
    """Once the build is deployed, reconciles ask Netlify nothing and write nothing."""

    async def play(house: House) -> tuple[int, int]:
        await house.until_rest()
        asked, version = len(house.transport.asked), (await house.row()).metadata.resource_version
        for _ in range(5):
            await house.reconcile()
        later = (await house.row()).metadata.resource_version
        return len(house.transport.asked) - asked, later - version

    assert played(database_url, play) == (0, 0)


def test_the_service_key_never_leaves(database_url: str) -> None:
    """The site gets two variables, neither secret nor worth it."""

    async def play(house: House) -> None:
        await house.until_rest()
        held = house.cloud.team.variables[house.cloud.site]
        values = {key: [value.value for value in held[key].values] for key in held}
        assert values == {URL: [KONG], KEY: [house.keys.anon_key]}
        assert not any(variable.is_secret for variable in held.values())
        assert house.keys.service_role_key not in repr(house.cloud.team.effects[:])

    played(database_url, play)


@pytest.mark.parametrize("fault", ["crash before", "crash after", "lost before", "lost after"])
def test_whatever_breaks_there_is_one_build_a_change(database_url: str, fault: Fault) -> None:
    """A death or a lost answer at any request, before or after its effect, repeats no build."""

    async def play(house: House) -> int:
        await house.until_rest()
        requests, at = len(house.transport.asked), 0
        for at in range(1, requests + 1):
            house.new_keys()
            house.transport.asked.clear()
            house.transport.at, house.transport.fault = at, fault
            await house.until_rest()
            house.transport.at = None
            assert (at, house.builds()) == (at, at + 1)
            assert house.seen() == (KONG, house.keys.anon_key)
            assert await house.reason() == ("True", "Deployed")
        return at

    assert played(database_url, play) > 5


def test_without_a_token_it_is_said_and_nothing_waits(database_url: str) -> None:
    """The environment runs all the same; the condition tells why the front end does not know."""

    async def play(house: House) -> None:
        house.netlify = None
        assert await house.reconcile() is None
        assert await house.reason() == ("False", "NoToken")

    played(database_url, play)


def test_a_site_that_is_not_there_is_named_and_looked_for_again(database_url: str) -> None:
    """Its owner may make it later; until then it is asked for every ten minutes."""

    async def play(house: House) -> None:
        site = house.cloud.team.sites.pop(house.cloud.site)
        wait = await house.reconcile()
        assert wait is not None
        assert wait.seconds == 600
        assert await house.reason() == ("False", "SiteNotFound")
        house.cloud.team.sites[site.id] = site
        await house.until_rest()
        assert await house.reason() == ("True", "Deployed")

    played(database_url, play)


def test_stopped_builds_are_told_in_netlifys_words(database_url: str) -> None:
    """The site's owner stopped them; when he lets them go on, there is one build."""

    async def play(house: House) -> str:
        house.cloud.team.sites[house.cloud.site].stop_builds = True
        wait = await house.reconcile()
        assert wait is not None
        assert wait.seconds == 600
        condition = (await house.row()).status.condition(CURRENT)
        assert condition is not None
        house.cloud.team.sites[house.cloud.site].stop_builds = False
        await house.until_rest()
        assert (house.builds(), house.seen()) == (1, (KONG, house.keys.anon_key))
        return condition.message

    assert "Builds are stopped" in played(database_url, play)


def test_a_build_that_fails_is_told_and_not_repeated(database_url: str) -> None:
    """Whoever owns the site mends it; the next change builds again."""

    async def play(house: House) -> None:
        house.cloud.team.fail_builds = ["Build script returned non-zero exit code: 2"]
        await house.until_rest()
        condition = (await house.row()).status.condition(CURRENT)
        assert condition is not None
        assert (condition.status, condition.reason) == ("False", "BuildFailed")
        assert "exit code: 2" in condition.message
        await house.until_rest()
        assert house.builds() == 1
        house.new_keys()
        await house.until_rest()
        assert (house.builds(), await house.reason()) == (2, ("True", "Deployed"))

    played(database_url, play)


def test_a_slow_build_is_looked_at_less_often(database_url: str) -> None:
    """It is waited for as long as it takes, and said to be slow."""

    async def play(house: House) -> set[tuple[str, str] | None]:
        reasons = set()
        while (wait := await house.reconcile()) is not None:
            reasons.add(await house.reason())
            await asyncio.sleep(wait.seconds or 0)
        return reasons

    slow = BuildTimings(building=7200)
    assert played(database_url, play, slow) == {("False", "BuildTriggered"), ("False", "BuildSlow")}


def test_what_others_set_for_other_contexts_stays(database_url: str) -> None:
    """Only what the site's own build sees is ours; a secret mark would fail that build."""

    async def play(house: House) -> tuple[dict[str, str], bool]:
        ref, netlify = SiteRef(house.cloud.team.account, house.cloud.site), house.cloud.netlify
        theirs = NewVariable(URL, (NewValue("local", "dev"), NewValue("old", "production")))
        hidden = NewVariable(KEY, (NewValue("old", "production"),), is_secret=True)
        await netlify.create_variables(ref, [theirs, hidden], call=CALL)
        await house.until_rest()
        held = house.cloud.team.variables[house.cloud.site]
        return {v.context: v.value for v in held[URL].values}, house.seen() == (
            KONG,
            house.keys.anon_key,
        )

    assert played(database_url, play) == ({"all": KONG, "dev": "local", "production": KONG}, True)


def test_an_unwished_front_end_is_forgotten(database_url: str) -> None:
    """Without one there is neither a condition nor anything on record."""

    async def play(house: House) -> None:
        await house.until_rest()
        row = await house.row()
        row.spec.netlify = None
        await house.store.update(row)
        assert await house.reconcile() is None
        assert ((await house.row()).status.netlify, await house.reason()) == (None, None)

    played(database_url, play)


def test_a_row_that_moved_is_not_built_for(database_url: str) -> None:
    """A wish that changed while the variables were written is looked at anew before a build."""

    async def play(house: House) -> int:
        row = await house.row()
        scope = DevEnvScope(house.store, house.recorder, row, Request(row.key))
        scope.known = Known()
        moved = await house.row()
        moved.spec.preview_url = "https://elsewhere.example"
        await house.store.update(moved)
        with pytest.raises(ConflictError):
            await tell_front_end(scope, house.tools(), house.keys)
        return house.builds()

    assert played(database_url, play) == 0


def test_nobody_leads_anothers_front_end_astray(database_url: str) -> None:
    """A site that is not the account's is asked nothing and told nothing, whoever names it."""

    async def play(house: House) -> int:
        owner = await house.store.get(Account, "acme")
        owner.spec.netlify_sites = ["another"]
        await house.store.update(owner)
        assert await house.reconcile() is None
        assert await house.reason() == ("False", "SiteNotTheirs")
        return house.builds()

    assert played(database_url, play) == 0
