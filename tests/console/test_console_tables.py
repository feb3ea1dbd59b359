"""The first page and the tables: numbers, search, order, pages."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import httpx
import pytest

from crds.platform import PLATFORM
from crds.workspace import WORKSPACE, Workspace
from tests.console.house import House, names_of, opened, text_of
from tests.console.seeds import Citizen, citizens, phase, settle, warn

pytestmark = pytest.mark.anyio

ALICE = Citizen("alice")
OBJECT = f"{ALICE.account}/{WORKSPACE}"
WORKSPACES, MACHINE = f"/console/workspaces/{OBJECT}", f"/console/machines/{OBJECT}"
ACCOUNT = f"/console/accounts/-/{ALICE.account}"
PLATFORM_PAGE = f"/console/platforms/-/{PLATFORM}"


class TestFleet:
    async def test_numbers(self, database_url: str) -> None:
        """Counts by phase, what waits, spend against its cap, queues, providers and warnings."""
        metrics = (
            '# TYPE invoker_workqueue_depth gauge\ninvoker_workqueue_depth{name="machine"} 5\n'
            "# TYPE invoker_provider_breaker_state gauge\n"
            'invoker_provider_breaker_state{provider="fly",state="open"} 1\n'
        )
        transport = httpx.MockTransport(lambda _: httpx.Response(200, text=metrics))
        async with (
            opened(database_url, metrics_urls=["http://c:1"], metrics=transport) as house,
            house.browser("support") as browser,
        ):
            town = citizens(house.store.clock.now())
            await settle(house.store, town)
            await warn(house.store, town[0], "Crashed", "exited with code 137", 3)
            answer = await browser.open("/console")

        kinds, numbers = text_of(answer, "kinds"), text_of(answer, "numbers")
        assert "Workspace 16 Running 5 Asleep 2 Crashed 1" in kinds
        assert "Not converged 12" in numbers
        assert "16 / 100" in numbers
        assert "$93.44 / $500.00" in numbers
        assert "Queue depth 5" in numbers
        assert "fly open" in text_of(answer, "providers")
        assert "Crashed \N{MULTIPLICATION SIGN}3 Machine main exited with code 137" in text_of(
            answer, "warnings"
        )
        assert "priya@example.com" in text_of(answer, "waiting")

    async def test_times(self, house: House) -> None:
        """Time to ready is what passed between not ready and ready, by the controllers' word."""
        await settle(house.store, [ALICE])
        await phase(house.store, ALICE, "Starting")
        workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        since = workspace.status.conditions[0].last_transition_time
        workspace.status.set_condition(
            "Ready", True, "Running", now=since + timedelta(seconds=42), generation=1
        )  # fmt: skip
        await house.store.update_status(workspace)
        async with house.browser("support") as browser:
            answer = await browser.open("/console")

        assert "Time to ready 42.0 s" in text_of(answer, "numbers")

    async def test_honest(self, database_url: str) -> None:
        """When no controller answers, the page says so instead of showing zeros."""
        transport = httpx.MockTransport(lambda _: httpx.Response(503))
        async with (
            opened(database_url, metrics_urls=["http://c:9"], metrics=transport) as house,
            house.browser("support") as browser,
        ):
            answer = await browser.open("/console")

        assert "Queue depth unknown no controller is reachable" in text_of(answer, "numbers")
        assert "c:9: answers 503" in text_of(answer, "queues")
        assert "Unknown" in text_of(answer, "providers")

    async def test_broken_platform(self, house: House) -> None:
        """A platform row broken by plain SQL does not take the page away."""
        await house.store.database.execute(
            "UPDATE objects SET spec = '{\"caps\": 7}' WHERE kind = 'Platform'"
        )
        async with house.browser("support") as browser:
            answers = [await browser.open(path) for path in ("/console", PLATFORM_PAGE)]

        assert [200, 200] == [answer.status_code for answer in answers]


class TestTables:
    @pytest.fixture(autouse=True)
    async def town(self, house: House) -> None:
        """Everybody."""
        await settle(house.store)

    @pytest.mark.parametrize(
        ("path", "names"),
        [
            ("workspaces?q=ali", ["alice"]),
            ("workspaces?q=JONAS%40example", ["jonas"]),
            ("workspaces?q=asleep&sort=account", ["farid", "grace"]),
            ("workspaces?q=NoCapacity", ["jonas"]),
            ("workspaces?q=a%25", []),
            ("workspaces?q=_lice", []),
            ("machines?q=hiro", ["hiro"]),
            ("machines?phase=Crashed", ["katya"]),
            ("workspaces?only=retrying&sort=account", ["jonas", "liam"]),
            ("workspaces?only=attention&ready=False&q=otto", ["otto"]),
            ("routes?q=mallory", ["mallory"]),
            ("workspaces?sort=-subdomain&size=25&q=i%20example.com&ready=True", None),
        ],
    )
    async def test_search(self, house: House, path: str, names: list[str] | None) -> None:
        """Words are found in names, subdomains, addresses, phases and reasons, literally."""
        async with house.browser("support") as browser:
            found = names_of(await browser.open(f"/console/{path}"))

        if names is None:
            assert sorted(found, reverse=True) == found
            assert len(found) > 3
        else:
            assert sorted(names) == sorted(found)

    async def test_accounts_by_subdomain(self, house: House) -> None:
        """An account is found by the subdomain that is its."""
        route = f"/console/accounts?q={ALICE.subdomain}"
        async with house.browser("support") as browser:
            assert [ALICE.account] == names_of(await browser.open(route))

    @pytest.mark.parametrize("kind", ["accounts", "machines", "platforms", "routes", "workspaces"])
    async def test_every_column_sorts(self, house: House, kind: str) -> None:
        """Every heading's link sorts, upwards and downwards, by numbers as numbers."""
        async with house.browser("support") as browser:
            page = (await browser.open(f"/console/{kind}?wide=1")).text
            links = re.findall(rf'<th[^>]*><a href="/console/{kind}\?([^"]*)"', page)
            answers = [
                await browser.open(
                    f"/console/{kind}?{unescape(link).replace('sort=', f'sort={sign}')}"
                )
                for link in links
                for sign in ("", "-")
            ]

        assert {200} == {answer.status_code for answer in answers}
        assert len(links) > 4

    async def test_pages(self, house: House) -> None:
        """Pages follow each other without overlap, and one beyond the end is the last."""
        await settle(house.store, [Citizen(f"user{number}") for number in range(20)])
        async with house.browser("support") as browser:
            one = await browser.open("/console/workspaces?sort=subdomain")
            two = await browser.open("/console/workspaces?sort=subdomain&page=2")
            far = await browser.open("/console/workspaces?sort=subdomain&page=999999")

        assert (25, 11) == (len(names_of(one)), len(names_of(two)))
        assert len({*names_of(one), *names_of(two)}) == 36
        assert names_of(two) == names_of(far)
        assert "26\N{EN DASH}36 of 36" in text_of(two, "summary")
        assert 'rel="next"' in one.text
        assert 'rel="next"' not in two.text

    async def test_nothing(self, house: House) -> None:
        """A search that finds nothing says so and offers the way back."""
        async with house.browser("support") as browser:
            answer = await browser.open("/console/workspaces?q=nobody-of-this-name")

        assert "Nothing matches. Show all" in text_of(answer, "summary")

    async def test_find(self, house: House) -> None:
        """A search of everything shows all kinds."""
        async with house.browser("support") as browser:
            answer = await browser.open("/console/find?q=alice")

        assert {"found-accounts", "found-workspaces", "found-machines", "found-routes"} == set(
            re.findall(r'id="(found-\w+)"', answer.text)
        )

    async def test_find_one(self, house: House) -> None:
        """The only thing that a search finds is gone to."""
        async with house.browser("support") as browser:
            answer = await browser.open("/console/find?q=SpendCapReached%20Workspace")
            await house.store.database.execute("DELETE FROM objects WHERE kind <> 'Platform'")
            alone = await browser.open("/console/find?q=platform")

        assert 200 == answer.status_code
        assert (303, PLATFORM_PAGE) == (alone.status_code, alone.headers["location"])
