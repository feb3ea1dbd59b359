"""The simulated DigitalOcean keeps the real one's habits, in the loop's time."""

import math
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import httpx
import pytest

from deploy.local.simulators.digitalocean import (
    DigitalOceanCloud,
    Droplet,
    DropletLimits,
    DropletTimings,
)
from tests.simulators.digitalocean_calls import PUBLIC_KEY, Panel
from tests.support import virtual_time

T = TypeVar("T")


def run(test: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test in virtual time, a day at most."""
    return virtual_time.run(test, limit_seconds=86_400)


class Hooks:
    """Notes what boots and what halts."""

    def __init__(self, cloud: DigitalOceanCloud) -> None:
        self.seen: list[tuple[str, int, str]] = []
        cloud.on_boot, cloud.on_halt = self.boot, self.halt

    async def boot(self, droplet: Droplet, user_data: str) -> None:
        """Note a boot."""
        self.seen.append(("boot", droplet.id, user_data))

    async def halt(self, droplet: Droplet) -> None:
        """Note a halt."""
        self.seen.append(("halt", droplet.id, ""))


def message(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and words."""
    return answer.status_code, answer.json()["message"]


def test_a_droplet_comes_step_by_step() -> None:
    """202 is only accepted: first new, then addresses, then active and its action completed."""

    async def life() -> list[tuple[str, int, str]]:
        cloud = DigitalOceanCloud(timings=DropletTimings(address_seconds=10, create_seconds=30))
        panel = Panel(cloud)
        answer = await panel.create()
        assert 202 == answer.status_code
        number = answer.json()["droplet"]["id"]
        action = answer.json()["links"]["actions"][0]["id"]
        seen = []
        for _ in range(3):
            droplet = await panel.get(number)
            status = (await panel.client.get(f"/actions/{action}")).json()["action"]["status"]
            seen.append((droplet["status"], len(droplet["networks"]["v4"]), status))
            await anyio.sleep(15.5)
        return seen

    assert [
        ("new", 0, "in-progress"),
        ("new", 2, "in-progress"),
        ("active", 2, "completed"),
    ] == run(life)


def test_addresses_may_come_last() -> None:
    """A droplet can be active and not have its addresses yet."""

    async def life() -> list[int]:
        cloud = DigitalOceanCloud(timings=DropletTimings(address_seconds=9, create_seconds=3))
        panel = Panel(cloud)
        number = await panel.made()
        await anyio.sleep(4)
        active = await panel.get(number)
        assert "active" == active["status"]
        await anyio.sleep(6)
        later = await panel.get(number)
        return [len(droplet["networks"]["v4"]) for droplet in (active, later)]

    assert [0, 2] == run(life)


def test_power_and_the_hooks() -> None:
    """Each boot brings the user data to the hook, and each loss of power is told."""

    async def life() -> list[tuple[str, str]]:
        cloud = DigitalOceanCloud()
        hooks, panel = Hooks(cloud), Panel(cloud)
        number = await panel.made(user_data="#cloud-config")
        await anyio.sleep(10)
        for kind in ("reboot", "shutdown", "power_on", "power_off"):
            answer = await panel.act(number, kind)
            assert 201 == answer.status_code
            await anyio.sleep(10)
        assert "off" == (await panel.get(number))["status"]
        assert 204 == (await panel.client.delete(f"/droplets/{number}")).status_code
        await anyio.sleep(10)
        assert 404 == (await panel.client.get(f"/droplets/{number}")).status_code
        assert {number} == {of for _, of, _ in hooks.seen}
        return [(what, data) for what, _, data in hooks.seen]

    boot, halt = ("boot", "#cloud-config"), ("halt", "")
    assert [boot, halt, boot, halt, boot, halt, halt] == run(life)


def test_a_hook_that_fails_is_the_droplets_own_trouble() -> None:
    """What user data does wrong changes nothing about the droplet."""

    async def life() -> str:
        cloud = DigitalOceanCloud()

        async def broken(_: Droplet, __: str) -> None:
            raise OSError("no such shell")

        cloud.on_boot = broken
        panel = Panel(cloud)
        number = await panel.made()
        await anyio.sleep(10)
        status: str = (await panel.get(number))["status"]
        return status

    assert "active" == run(life)


def test_shutdown_may_do_nothing() -> None:
    """The action completes, the droplet runs on, and only power_off ends that."""

    async def life() -> list[str]:
        cloud = DigitalOceanCloud()
        cloud.ignored_shutdowns = 1.0
        panel, seen = Panel(cloud), list[str]()
        number = await panel.made()
        await anyio.sleep(10)
        for kind in ("shutdown", "power_off"):
            action = (await panel.act(number, kind)).json()["action"]["id"]
            await anyio.sleep(10)
            done = (await panel.client.get(f"/droplets/{number}/actions/{action}")).json()
            seen += [done["action"]["status"], (await panel.get(number))["status"]]
        return seen

    assert ["completed", "active", "completed", "off"] == run(life)


def test_one_thing_at_a_time() -> None:
    """While an action is under way others are refused, and so is what makes no sense."""

    async def life() -> list[tuple[int, str]]:
        cloud = DigitalOceanCloud()
        panel = Panel(cloud)
        number = await panel.made()
        refusals = [
            await panel.act(number, "power_off"),
            await panel.client.delete(f"/droplets/{number}"),
        ]
        await anyio.sleep(10)
        refusals += [await panel.act(number, "power_on"), await panel.act(number, "explode")]
        refusals.append(await panel.act(number + 1000, "power_on"))
        return [message(answer) for answer in refusals]

    pending = (422, "Droplet already has a pending event.")
    assert [
        pending,
        pending,
        (422, "Droplet is already powered on."),
        (422, "You specified an invalid type for the Droplet action."),
        (404, "The resource you requested could not be found."),
    ] == run(life)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "not a host"}, "Only valid hostname characters"),
        ({"region": "atlantis"}, "invalid region for Droplet creation"),
        ({"size": "huge"}, "invalid size for Droplet creation"),
        ({"image": "dos-3"}, "invalid image for Droplet creation"),
        ({"region": "nyc1"}, "not available in this region"),
        ({"user_data": "x" * (64 * 1024 + 1)}, "User data is too long"),
        ({"tags": ["two words"]}, "Tags may only contain"),
        ({"ssh_keys": [1]}, "1 are invalid key identifiers for Droplet creation."),
    ],
)
def test_what_is_refused_is_not_made(wrong: dict[str, object], words: str) -> None:
    """A 422 says why, and leaves nothing behind."""

    async def life() -> tuple[int, str]:
        cloud = DigitalOceanCloud()
        cloud.full_regions = {"nyc1"}
        answer = await Panel(cloud).create(**wrong)
        assert not cloud.droplets
        return message(answer)

    status, said = run(life)

    assert 422 == status
    assert words in said


def test_the_limit_of_droplets() -> None:
    """The team's limit is kept, and names are no names: both droplets of one name exist."""

    async def life() -> tuple[int, tuple[int, str]]:
        cloud = DigitalOceanCloud()
        panel = Panel(cloud)
        cloud.team_of("ada@example.com").droplet_limit = 2
        await panel.made()
        await panel.made()
        return len(cloud.droplets), message(await panel.create())

    text = "creating this/these droplet(s) will exceed your droplet limit"
    assert (2, (422, text)) == run(life)


def test_lists_are_late_and_stale() -> None:
    """A tag shows late, and a list may be some mutations old; asking by id tells the truth."""

    async def life() -> list[int]:
        cloud = DigitalOceanCloud(timings=DropletTimings(tag_seconds=5))
        panel = Panel(cloud)
        counts = []
        number = await panel.made()
        counts.append(len(await panel.listed(tag_name="invoker:u1")))
        counts.append(len(await panel.listed()))
        await anyio.sleep(10)
        counts.append(len(await panel.listed(tag_name="invoker:u1")))
        counts.append(len(await panel.listed(tag_name="invoker:u2")))
        await panel.made(name="second")
        cloud.stale_lists = 1
        counts.append(len(await panel.listed()))
        assert number == (await panel.get(number))["id"]
        return counts

    assert [0, 1, 1, 0, 1] == run(life)


def test_pages() -> None:
    """A list is cut as asked, says its total, and links to what follows."""

    async def life() -> list[tuple[int, set[str], int]]:
        cloud = DigitalOceanCloud(timings=DropletTimings.instant())
        panel = Panel(cloud)
        cloud.team_of("ada@example.com").droplet_limit = 5
        for _ in range(5):
            await panel.made()
        seen = []
        for page in ("1", "2", "3"):
            query = {"page": page, "per_page": "2", "tag_name": "invoker:u1"}
            body = (await panel.client.get("/droplets", params=query)).json()
            links = set(body["links"].get("pages", {}))
            seen.append((len(body["droplets"]), links, body["meta"]["total"]))
        return seen

    forward, backward = {"next", "last"}, {"first", "prev"}
    assert [(2, forward, 5), (2, forward | backward, 5), (1, backward, 5)] == run(life)


def test_teams_do_not_see_each_other() -> None:
    """Another team's droplet is not there at all, listed, asked for, acted on or deleted."""

    async def life() -> list[int]:
        cloud = DigitalOceanCloud()
        ada, eve = Panel(cloud), Panel(cloud, email="eve@example.com")
        number = await ada.made()
        assert [] == await eve.listed()
        answers = [
            await eve.client.get(f"/droplets/{number}"),
            await eve.act(number, "power_off"),
            await eve.client.delete(f"/droplets/{number}"),
            await eve.client.get(f"/droplets/{number}/actions"),
        ]
        return [answer.status_code for answer in answers]

    assert [404] * 4 == run(life)


def test_who_may_not() -> None:
    """A dead or strange token is 401, and a token that only reads changes nothing."""

    async def life() -> list[int]:
        cloud = DigitalOceanCloud()
        reader, writer = Panel(cloud, scope="read"), Panel(cloud)
        strange = {"authorization": "Bearer no"}
        statuses = [(await reader.create()).status_code, (await writer.create()).status_code]
        statuses.append((await writer.client.get("/account", headers=strange)).status_code)
        writer.grant.expires_at = cloud.now()
        statuses.append((await writer.client.get("/account")).status_code)
        return statuses

    assert [403, 202, 401, 401] == run(life)


def test_the_minutes_limit_says_when() -> None:
    """The 251st call of a minute is refused with `retry-after`, and after that time passes."""

    async def life() -> list[tuple[int, str | None, str]]:
        cloud = DigitalOceanCloud(limits=DropletLimits(enabled=True))
        panel, seen = Panel(cloud), []

        async def ask() -> None:
            answer = await panel.client.get("/account")
            head = answer.headers
            seen.append((answer.status_code, head.get("retry-after"), head["ratelimit-remaining"]))

        for _ in range(251):
            await ask()
        await anyio.sleep(60.5)
        await ask()
        return [seen[0], seen[249], seen[250], seen[251]]

    assert [
        (200, None, "4999"),
        (200, None, "0"),
        (429, "60", "0"),
        (200, None, "4749"),
    ] == run(life)


def test_the_hours_limit_only_says_when_it_resets() -> None:
    """Past the hour's limit there is no `retry-after`: the reset says when the oldest expires."""

    async def life() -> tuple[int, bool, int]:
        limits = DropletLimits(enabled=True, an_hour=5)
        cloud = DigitalOceanCloud(limits=limits)
        panel = Panel(cloud)
        expires = math.ceil(cloud.now() + 3600)
        for _ in range(6):
            answer = await panel.client.get("/account")
            await anyio.sleep(30)
        told = int(answer.headers["ratelimit-reset"])
        return answer.status_code, "retry-after" in answer.headers, told - expires

    assert (429, False, 0) == run(life)


def test_keys() -> None:
    """A key is there once, has its fingerprint, and new droplets know it a little later."""

    async def life() -> list[int]:
        cloud = DigitalOceanCloud(timings=DropletTimings(key_seconds=5))
        panel = Panel(cloud)
        body = {"name": "ada", "public_key": PUBLIC_KEY}
        made = await panel.client.post("/account/keys", json=body)
        key = made.json()["ssh_key"]
        statuses = [made.status_code]
        statuses.append((await panel.client.post("/account/keys", json=body)).status_code)
        nonsense = {"name": "x", "public_key": "nonsense"}
        statuses.append((await panel.client.post("/account/keys", json=nonsense)).status_code)
        statuses.append((await panel.create(ssh_keys=[key["fingerprint"]])).status_code)
        await anyio.sleep(6)
        statuses.append((await panel.create(ssh_keys=[key["fingerprint"]])).status_code)
        for _ in range(2):
            gone = await panel.client.delete(f"/account/keys/{key['id']}")
            statuses.append(gone.status_code)
        return statuses

    assert [201, 422, 422, 422, 202, 204, 404] == run(life)


def test_what_was_saved_goes_on() -> None:
    """A restart boots what ran, finishes what was under way, and keeps tokens in force."""

    async def life() -> tuple[list[str], list[str]]:
        first = DigitalOceanCloud()
        panel = Panel(first)
        running = await panel.made(name="running", user_data="run")
        await anyio.sleep(10)
        await panel.client.post("/account/keys", json={"name": "a", "public_key": PUBLIC_KEY})
        under_way = await panel.made(name="under-way", user_data="begin")
        await first.aclose()
        second = DigitalOceanCloud(rng=random.Random(1))  # noqa: S311 - a seed is the point
        second.load(first.dump())
        hooks = Hooks(second)
        second.resume()
        await anyio.sleep(10)
        after = Panel(second)
        after.client.headers["authorization"] = f"Bearer {panel.grant.access}"
        statuses = [(await after.get(number))["status"] for number in (running, under_way)]
        assert 1 == len((await after.client.get("/account/keys")).json()["ssh_keys"])
        assert await after.made() not in {running, under_way}
        return statuses, [data for _, _, data in hooks.seen]

    assert (["active", "active"], ["run", "begin"]) == run(life)


def test_behind_our_back() -> None:
    """What the owner does in the control panel is simply so, and halts what ran."""

    async def life() -> tuple[str, int, list[str]]:
        cloud = DigitalOceanCloud(timings=DropletTimings.instant())
        hooks, panel = Hooks(cloud), Panel(cloud)
        number = await panel.made()
        await anyio.sleep(1)
        await cloud.monkey_power(number, "off")
        status = (await panel.get(number))["status"]
        await cloud.monkey_destroy(number)
        gone = await panel.client.get(f"/droplets/{number}")
        return status, gone.status_code, [what for what, _, _ in hooks.seen]

    assert ("off", 404, ["boot", "halt", "halt"]) == run(life)


def test_effects_are_noted_without_user_data() -> None:
    """Each success is in the log, refusals are not, and what may hold secrets is left out."""

    async def life() -> list[tuple[str, bool]]:
        cloud = DigitalOceanCloud()
        panel = Panel(cloud)
        number = await panel.made(user_data="GATEWAY_AUTH_TOKEN=x")
        await panel.act(number, "power_off")
        await anyio.sleep(10)
        await panel.act(number, "power_off")
        return [(e.operation, "user_data" in e.details) for e in cloud.effects]

    assert [("droplets.create", False), ("actions.create", False)] == run(life)


def test_failing_actions() -> None:
    """An accepted order may fail: its action says so, and nothing has changed."""

    async def life() -> tuple[str, str]:
        cloud = DigitalOceanCloud()
        panel = Panel(cloud)
        number = await panel.made()
        await anyio.sleep(10)
        cloud.failing_actions = {"power_off"}
        await panel.act(number, "power_off")
        await anyio.sleep(10)
        newest = (await panel.client.get(f"/droplets/{number}/actions")).json()["actions"][0]
        return newest["status"], (await panel.get(number))["status"]

    assert ("errored", "active") == run(life)
