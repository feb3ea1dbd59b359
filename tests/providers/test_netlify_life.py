"""The Netlify client against the simulated team, whose rate limits are on."""

import asyncio

import httpx
import pytest

from controller.providers import AlreadyExists, InvalidRequest, NotFound, RateLimited, Unavailable
from controller.providers.netlify import (
    Deploy,
    Fingerprints,
    Netlify,
    NewValue,
    NewVariable,
    SiteRef,
)
from deploy.local.simulators.netlify.team import TEAM
from tests.providers.clock import run
from tests.providers.netlify_cloud import CALL, KEY, URL, Cloud

OLD, NEW = "eyJold-key", "eyJnew-key"


async def finished(netlify: Netlify, deploy: str) -> Deploy:
    """Return a deploy when it is ready or has failed, as a reconciler would look for it."""
    found = await netlify.get_deploy(deploy, call=CALL)
    if found.ready or found.failed:
        return found
    await asyncio.sleep(10)
    return await finished(netlify, deploy)


async def provided(cloud: Cloud) -> None:
    """Give the site both of a front end's variables."""
    variables = [NewVariable(URL, (NewValue("https://kong"),)), NewVariable(KEY, (NewValue(OLD),))]
    await cloud.netlify.create_variables(cloud.ref, variables, call=CALL)


def test_a_build_after_the_write_has_the_new_key() -> None:
    """Rotation: the site shows the old key until a build that was triggered after the write."""

    async def act() -> list[str]:
        cloud = Cloud()
        netlify, seen = cloud.netlify, list[str]()

        async def look() -> None:
            published = cloud.team.published(cloud.site)
            seen.append(published.baked[KEY] if published else "")

        await provided(cloud)
        await look()
        first = await netlify.trigger_build(cloud.site, call=CALL)
        await netlify.set_value(cloud.ref, KEY, NewValue(NEW), call=CALL)
        assert (await finished(netlify, first.deploy_id)).ready
        await look()
        second = await netlify.trigger_build(cloud.site, call=CALL)
        await look()
        assert (await finished(netlify, second.deploy_id)).ready
        await look()
        assert (await netlify.get_build(second.id, call=CALL)).done
        site = await netlify.get_site(cloud.site, call=CALL)
        assert site.published_deploy is not None
        assert (site.ref, site.published_deploy.id) == (cloud.ref, second.deploy_id)
        return seen

    assert ["", OLD, OLD, NEW] == run(act)


def test_stopping_blanks_or_removes_and_leaves_the_rest() -> None:
    """A blanked value stays as a name, a deleted one goes, and what others set is untouched."""

    async def act() -> tuple[dict[str, list[str | None]], dict[str, str]]:
        cloud = Cloud()
        netlify = cloud.netlify
        await provided(cloud)
        theirs = NewVariable("THEIRS", (NewValue("1", "dev"), NewValue("2", "production")))
        await netlify.create_variables(cloud.ref, [theirs], call=CALL)
        await netlify.set_value(cloud.ref, KEY, NewValue(""), call=CALL)
        await netlify.delete_variable(cloud.ref, URL, call=CALL)
        production = (await netlify.get_variable(cloud.ref, "THEIRS", call=CALL)).value(
            "production"
        )
        assert production is not None
        await netlify.delete_value(cloud.ref, "THEIRS", production.id, call=CALL)
        for gone in (
            netlify.delete_variable(cloud.ref, URL, call=CALL),
            netlify.set_value(cloud.ref, URL, NewValue("x"), call=CALL),
            netlify.delete_value(cloud.ref, "THEIRS", production.id, call=CALL),
        ):
            with pytest.raises(NotFound):
                await gone
        left = await netlify.list_variables(cloud.ref, call=CALL)
        build = await netlify.trigger_build(cloud.site, call=CALL)
        await finished(netlify, build.deploy_id)
        return {v.key: [value.value for value in v.values] for v in left}, cloud.team.deploys[
            build.deploy_id
        ].baked

    assert ({KEY: [""], "THEIRS": ["1"]}, {KEY: ""}) == run(act)


def test_replacing_drops_the_contexts_that_are_not_given() -> None:
    """One PATCH keeps the other contexts' values, a PUT does not."""

    async def act() -> list[set[str]]:
        cloud = Cloud()
        netlify, seen = cloud.netlify, list[set[str]]()
        both = NewVariable("K", (NewValue("1", "dev"), NewValue("2", "production")))
        await netlify.create_variables(cloud.ref, [both], call=CALL)
        patched = await netlify.set_value(cloud.ref, "K", NewValue("3", "production"), call=CALL)
        seen.append({f"{v.context}={v.value}" for v in patched.values})
        whole = NewVariable("K", (NewValue("4", "production"),))
        put = await netlify.replace_variable(cloud.ref, whole, call=CALL)
        seen.append({f"{v.context}={v.value}" for v in put.values})
        return seen

    assert [{"dev=1", "production=3"}, {"production=4"}] == run(act)


def test_the_team_and_other_sites_are_never_touched() -> None:
    """Every write of the client stays on its site, though the team has the same names."""

    async def act() -> tuple[list[str], set[str], list[str]]:
        cloud = Cloud()
        netlify, other = cloud.netlify, cloud.team.add_site("other").id
        for site in (TEAM, other):
            await _by_hand(cloud, site)
        await provided(cloud)
        with pytest.raises(AlreadyExists):
            await provided(cloud)
        await netlify.set_value(cloud.ref, KEY, NewValue(NEW), call=CALL)
        await netlify.replace_variable(
            cloud.ref, NewVariable(URL, (NewValue("x", "dev"),)), call=CALL
        )
        await netlify.delete_variable(cloud.ref, KEY, call=CALL)
        untouched = [cloud.team.variables[site][KEY].values[0].value for site in (TEAM, other)]
        listed = [v.key for v in await netlify.list_variables(cloud.ref, call=CALL)]
        return untouched, {effect.app for effect in cloud.team.effects[2:]} - {cloud.site}, listed

    assert (["theirs", "theirs"], set(), [URL]) == run(act)


async def _by_hand(cloud: Cloud, site: str) -> None:
    async with httpx.AsyncClient(transport=cloud.transport) as client:
        body = [{"key": KEY, "values": [{"context": "all", "value": "theirs"}]}]
        answer = await client.post(
            f"https://api.netlify.com/api/v1/accounts/{cloud.team.account}/env",
            params={"site_id": site} if site else {},
            json=body,
            headers={"authorization": f"Bearer {cloud.team.token}"},
        )
        answer.raise_for_status()


def test_a_secret_is_compared_by_its_fingerprint_and_time() -> None:
    """Its value cannot be read; what others wrote over it shows in `updated_at`."""

    async def act() -> list[tuple[str | None, bool, bool]]:
        cloud = Cloud()
        netlify, prints = cloud.netlify, Fingerprints(b"k" * 32)
        secret = NewVariable("DB", (NewValue(OLD, "production"),), is_secret=True)
        made = (await netlify.create_variables(cloud.ref, [secret], call=CALL))[0]
        kept, at = prints.of(cloud.ref, "DB", OLD), made.updated_at
        seen = []

        async def look(wanted: str) -> None:
            read = await netlify.get_variable(cloud.ref, "DB", call=CALL)
            same = prints.matches(kept, cloud.ref, "DB", wanted)
            seen.append((read.values[0].value, same, read.updated_at == at))

        await look(OLD)
        await look(NEW)
        await asyncio.sleep(1)
        cloud.team.monkey_set(cloud.site, "DB", "theirs")
        await look(OLD)
        return seen

    assert [(None, True, True), (None, False, True), (None, True, False)] == run(act)


def test_a_lost_build_is_found_by_its_title() -> None:
    """A timeout leaves it open whether a build began; its title tells, and none is made twice."""

    async def act() -> tuple[bool, list[str], int]:
        cloud = Cloud()
        await provided(cloud)
        cloud.transport.lose = lambda request: request.url.path.endswith("/builds")
        with pytest.raises(Unavailable) as lost:
            await cloud.netlify.trigger_build(cloud.site, title="rotation 7", call=CALL)
        deploys = await cloud.netlify.list_deploys(cloud.site, most=5, call=CALL)
        return lost.value.outcome_unknown, [d.title for d in deploys], len(cloud.team.deploys)

    assert (True, ["rotation 7"], 1) == run(act)


def test_a_lost_write_is_found_by_reading() -> None:
    """A write whose answer was lost took effect all the same, and was sent once."""

    async def act() -> tuple[bool, str | None, int]:
        cloud = Cloud()
        await provided(cloud)
        cloud.transport.lose = lambda request: request.method == "PATCH"
        with pytest.raises(Unavailable) as lost:
            await cloud.netlify.set_value(cloud.ref, KEY, NewValue(NEW), call=CALL)
        read = await cloud.netlify.get_variable(cloud.ref, KEY, call=CALL)
        sent = sum(request.method == "PATCH" for request in cloud.transport.asked)
        return lost.value.outcome_unknown, read.values[0].value, sent

    assert (True, NEW, 1) == run(act)


def test_a_build_can_fail() -> None:
    """The deploy says why, the build too, and the site stays as it was."""

    async def act() -> tuple[str, str, bool, str]:
        cloud = Cloud()
        await provided(cloud)
        good = await cloud.netlify.trigger_build(cloud.site, call=CALL)
        await finished(cloud.netlify, good.deploy_id)
        cloud.team.fail_builds = ["Build script returned non-zero exit code: 2"]
        build = await cloud.netlify.trigger_build(cloud.site, call=CALL)
        deploy = await finished(cloud.netlify, build.deploy_id)
        build = await cloud.netlify.get_build(build.id, call=CALL)
        published = cloud.team.published(cloud.site)
        assert published is not None
        assert published.id == good.deploy_id
        return deploy.state, deploy.error_message, build.done, build.error

    text = "Build script returned non-zero exit code: 2"
    assert ("error", text, True, text) == run(act)


def test_a_secret_in_the_sites_files_fails_the_build() -> None:
    """A `VITE_*` variable ends up in public files: it cannot be a secret."""

    async def act() -> str:
        cloud = Cloud()
        secret = NewVariable(KEY, (NewValue(OLD, "production"),), is_secret=True)
        await cloud.netlify.create_variables(cloud.ref, [secret], call=CALL)
        build = await cloud.netlify.trigger_build(cloud.site, call=CALL)
        return (await finished(cloud.netlify, build.deploy_id)).error_message

    assert run(act) == f"Secrets scanning found secrets in build output: {KEY}"


def test_a_site_whose_builds_are_stopped_says_so() -> None:
    """It shows before the trigger, and the trigger is refused for good."""

    async def act() -> bool:
        cloud = Cloud()
        cloud.team.sites[cloud.site].stop_builds = True
        with pytest.raises(InvalidRequest, match="stopped"):
            await cloud.netlify.trigger_build(cloud.site, call=CALL)
        site = await cloud.netlify.get_site(cloud.site, call=CALL)
        return site.build_settings.stop_builds

    assert run(act) is True


def test_absent_things_are_not_found() -> None:
    """Sites, variables of an absent site, builds and deploys."""

    async def act() -> None:
        cloud = Cloud()
        netlify = cloud.netlify
        nowhere = SiteRef(cloud.team.account, "none")
        for absent in (
            netlify.get_site("none", call=CALL),
            netlify.list_variables(nowhere, call=CALL),
            netlify.trigger_build("none", call=CALL),
            netlify.list_deploys("none", call=CALL),
            netlify.get_build("none", call=CALL),
            netlify.get_deploy("none", call=CALL),
        ):
            with pytest.raises(NotFound):
                await absent

    run(act)


def test_the_clients_own_budget_meets_no_429() -> None:
    """Seven hundred reads and six builds pass a Netlify that counts."""

    async def act() -> int:
        cloud = Cloud()
        for _ in range(700):
            await cloud.netlify.list_variables(cloud.ref, call=CALL)
        for _ in range(6):
            await cloud.netlify.trigger_build(cloud.site, call=CALL)
        return len(cloud.team.deploys)

    assert run(act) == 6


def test_a_limit_that_others_used_up_is_waited_for() -> None:
    """The pause ends when Netlify's window does, and the next request passes."""

    async def act() -> tuple[float, str]:
        cloud = Cloud()
        while cloud.team.limits.allows(cloud.team.now()):
            pass
        await asyncio.sleep(40)
        with pytest.raises(RateLimited) as refused:
            await cloud.netlify.get_site(cloud.site, call=CALL)
        assert refused.value.retry_after is not None
        return refused.value.retry_after, (await cloud.netlify.get_site(cloud.site, call=CALL)).name

    seconds, name = run(act)
    assert name == "silo-acme-erp"
    assert 20 <= seconds <= 22
