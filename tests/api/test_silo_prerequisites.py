"""What has to be said and has to be there before a dev environment is made or started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import pytest

from crds.access import Role
from crds.devenv import DevEnv, cost_of
from crds.workspace import WORKSPACE, Workspace
from tests.api.service import Service, code_of, problem_of
from tests.api.silos import OTHER, OWN, Town

pytestmark = pytest.mark.anyio

NEW: Final = {"client": "acme", "app": "erp"}


@pytest.fixture
async def town(service: Service) -> Town:
    """Two accounts."""
    town = Town(service)
    await town.account(OWN)
    await town.account(OTHER)
    return town


def missing_of(body: dict[str, Any]) -> dict[str, str]:
    """What a refusal says is missing."""
    return {each["name"]: each["rule"] for each in body["missing"]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"silo_id": ""}, "silo_id"),
        ({"silo_id": "Acme"}, "silo_id"),
        ({"silo_id": 7}, "silo_id"),
        ({"silo_id": None}, "silo_id"),
        ({"account": "-"}, "account"),
        ({"client": "a_b"}, "client"),
        ({"client": "a" * 21}, "client"),
        ({"app": "-a"}, "app"),
        ({"region": "toronto"}, "region"),
        ({"region": 1}, "region"),
        ({"studio": "yes"}, "studio"),
        ({"rls_mode": "off"}, "rls_mode"),
        ({"auto_stop_minutes": 4}, "auto_stop_minutes"),
        ({"auto_stop_minutes": 1441}, "auto_stop_minutes"),
        ({"auto_stop_minutes": "30"}, "auto_stop_minutes"),
        ({"netlify": {"site": "s"}}, "netlify.team"),
        ({"netlify": {"site": "s/", "team": "t"}}, "netlify.site"),
        ({"preview_url": "javascript:alert(1)"}, "preview_url"),
        ({"image": "mine"}, "image"),
    ],
)
async def test_bodies_are_judged_field_by_field(
    town: Town, body: dict[str, Any], field: str
) -> None:
    """422 names the field and the rule, and nothing is made."""
    answer = await town.post("devops", "/start-silo", **{**NEW, **body})

    assert 422 == answer.status_code
    assert [field] == [error["field"] for error in problem_of(answer)["errors"]]
    assert [] == await town.service.store.rows(DevEnv)


@pytest.mark.parametrize(
    ("role", "body", "fields"),
    [
        ("devops", {"client": "acme"}, ["app"]),
        ("devops", {"app": "erp"}, ["client"]),
        ("platform-admin", NEW, ["account"]),
    ],
)
async def test_what_is_needed_to_make_one(
    town: Town, role: Role, body: dict[str, str], fields: list[str]
) -> None:
    """Client and app are always, the account only from who has none."""
    answer = await town.post(role, "/start-silo", **body)

    assert (422, fields) == (
        answer.status_code,
        [error["field"] for error in problem_of(answer)["errors"]],
    )


async def test_an_administrator_makes_one_for_an_account(town: Town) -> None:
    """It is in the account's namespace; an account that is not there has none."""
    made = await town.post("platform-admin", "/start-silo", **NEW, account=OTHER)
    nobody = await town.post("platform-admin", "/start-silo", **NEW, account="nobody")

    assert (202, OTHER) == (made.status_code, made.json()["account"])
    assert (404, "no-such-account") == (nobody.status_code, code_of(nobody))


@pytest.mark.parametrize(
    ("region", "hint"), [("yul", "take yyz"), ("sea", "take sjc"), ("sfo", "take sjc"), ("xxx", "")]
)
async def test_a_region_that_is_not_on_offer(town: Town, region: str, hint: str) -> None:
    """422 says what is, with the nearest one in place of one that was."""
    answer = await town.post("devops", "/start-silo", **NEW, region=region)
    missing = missing_of(problem_of(answer))

    assert (422, "prerequisites-missing", ["region"]) == (
        answer.status_code,
        code_of(answer),
        [*missing],
    )
    assert "yyz" in missing["region"]
    assert hint in missing["region"]
    assert [] == await town.service.store.rows(DevEnv)


async def quota(town: Town) -> None:
    """No room in the account."""
    await town.change(quota={"devenvs": 0})


async def machines(town: Town) -> None:
    """Room for five machines, and six are wished for."""
    await town.cap(machines=5)


async def spend(town: Town) -> None:
    """Less than it costs always on."""
    await town.cap(monthly_spend_usd=10)


async def names(town: Town) -> None:
    """Another account's apps have the names, by another split."""
    await town.devenv(OTHER, "x", client="acme-erp", app="one")


@pytest.mark.parametrize(
    ("arrange", "status", "name", "retry"),
    [
        (quota, 409, "quota", False),
        (machines, 409, "fleet-full", True),
        (spend, 409, "spend-cap-reached", True),
        (names, 422, "names", False),
    ],
)
async def test_what_is_missing_is_said_and_nothing_is_made(
    town: Town, arrange: Callable[[Town], Any], status: int, name: str, *, retry: bool
) -> None:
    """Each prerequisite is told by name with the rule, before anything is made."""
    await arrange(town)
    answer = await town.post("devops", "/start-silo", client="acme", app="erp-one")

    assert (status, [name]) == (answer.status_code, [*missing_of(problem_of(answer))])
    assert retry == ("retry-after" in answer.headers)
    assert [] == await town.service.store.rows(DevEnv, namespace=OWN)


async def test_front_ends_of_others_are_not_told(town: Town) -> None:
    """Whose a site is says the operator: nobody leads another account's users to their database."""
    await town.change(OTHER, netlify_sites=["shop"])
    answer = await town.post("devops", "/start-silo", **NEW, netlify={"site": "shop", "team": "t"})

    assert (409, ["netlify"]) == (answer.status_code, [*missing_of(problem_of(answer))])
    assert [] == await town.service.store.rows(DevEnv)


async def test_everything_that_is_missing_is_told_at_once(town: Town) -> None:
    """One answer tells all, so that nobody mends one thing to learn of the next."""
    await quota(town)
    await machines(town)
    answer = await town.post("devops", "/start-silo", **NEW, region="yul")

    assert {"region", "quota", "fleet-full"} == missing_of(problem_of(answer)).keys()


async def test_one_that_is_switched_off_is_not_started(town: Town) -> None:
    """409 says what to have changed."""
    await town.devenv(enabled=False, power="Stopped")
    answer = await town.post("devops", "/start-silo")

    assert (409, ["devenv_enabled"]) == (
        answer.status_code,
        [*missing_of(problem_of(answer))],
    )
    assert "Stopped" == (await town.row()).spec.power


async def test_the_last_place_is_given_once(town: Town) -> None:
    """Of several that want room for one environment one gets it, whatever the timing."""
    await town.cap(machines=11)
    answers = await asyncio.gather(
        *(
            town.post("devops", "/start-silo", silo_id=f"s{n}", client="acme", app=f"s{n}")
            for n in range(4)
        )
    )

    assert [202, 409, 409, 409] == sorted(answer.status_code for answer in answers)
    assert 1 == len(await town.service.store.rows(DevEnv))


async def test_workspaces_and_dev_environments_share_the_caps(town: Town) -> None:
    """A user's machine finds no room that a dev environment has taken, machines and money alike."""
    devenv = await town.devenv()
    user = await town.service.user()
    await town.cap(machines=6)
    by_machines = await town.service.call(user, "POST", "/api/vm/start")
    await town.cap(machines=100, monthly_spend_usd=cost_of(devenv.spec).always_on_usd)
    by_spend = await town.service.call(user, "POST", "/api/vm/start")

    assert ["fleet-full", "spend-cap-reached"] == [code_of(by_machines), code_of(by_spend)]
    assert await town.service.store.find(Workspace, WORKSPACE, user.id) is None
