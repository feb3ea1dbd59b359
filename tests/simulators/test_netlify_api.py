from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.simulators.clock import Now
from deploy.local.simulators.netlify import (
    BuildTimings,
    NetlifyAPI,
    NetlifyTeam,
    netlify_api,
)
from deploy.local.simulators.netlify.team import TEAM
from deploy.local.simulators.persistence import StateFile
from deploy.local.simulators.transport import SimulatorTransport

pytestmark = pytest.mark.anyio

SITE = "site-1"
SCOPED = {"site_id": SITE}


@pytest.fixture
def team(anyio_backend: str) -> NetlifyTeam:
    """A team with one site, on a clock that stands still."""
    del anyio_backend
    team = NetlifyTeam(now=at(1000))
    team.add_site("acme", SITE)
    return team


@pytest.fixture
async def netlify(team: NetlifyTeam) -> AsyncIterator[httpx.AsyncClient]:
    """The team's API with its token."""
    async with client(team) as api:
        yield api


def at(seconds: float) -> Now:
    """Return a clock that stands still."""
    return lambda: seconds


def client(team: NetlifyTeam) -> httpx.AsyncClient:
    """Return a client of a team's API."""
    return httpx.AsyncClient(
        transport=SimulatorTransport(hosts={"api.netlify.com": NetlifyAPI(team)}),
        base_url="https://api.netlify.com/api/v1",
        headers={"authorization": f"Bearer {team.token}"},
    )


def variable(key: str = "A", value: str = "1", context: str = "all", **more: Any) -> dict[str, Any]:
    """Return a variable with one value."""
    return {"key": key, "values": [{"context": context, "value": value}], **more}


def env(team: NetlifyTeam, tail: str = "") -> str:
    """Return the address of a team's variables."""
    return f"/accounts/{team.account}/env{tail}"


async def test_without_a_site_the_team_is_edited(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """The trap is there: the same request without `site_id` changes what every site sees."""
    await netlify.post(env(team), json=[variable()])
    await netlify.post(env(team), params=SCOPED, json=[variable(value="2")])
    await netlify.patch(env(team, "/A"), json={"context": "all", "value": "3"})
    listed = [(await netlify.get(env(team), params=p)).json() for p in ({}, SCOPED)]

    assert [[v["values"][0]["value"] for v in names] for names in listed] == [["3"], ["2"]]
    assert team.baked(SITE, "production") == {"A": "2"}
    assert [effect.app for effect in team.effects] == [TEAM, SITE, TEAM]


async def test_put_replaces_and_patch_sets(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """A PATCH adds or changes the value of its context, a PUT leaves what it names."""
    await netlify.post(env(team), params=SCOPED, json=[variable(context="dev")])
    for context in ("production", "production"):
        body = {"context": context, "value": "2"}
        patched = await netlify.patch(env(team, "/A"), params=SCOPED, json=body)
    body = variable(value="3", context="production")
    put = await netlify.put(env(team, "/A"), params=SCOPED, json=body)

    assert [v["context"] for v in patched.json()["values"]] == ["dev", "production"]
    assert [(v["context"], v["value"]) for v in put.json()["values"]] == [("production", "3")]
    assert (patched.status_code, put.status_code) == (201, 200)


async def test_a_rename_moves_a_variable(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """A PUT may name another key."""
    await netlify.post(env(team), params=SCOPED, json=[variable()])
    await netlify.put(env(team, "/A"), params=SCOPED, json=variable("B"))

    assert list(team.variables[SITE]) == ["B"]


async def test_a_secret_is_not_told(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """No answer has its value, writes' included, but builds see it and development's is told."""
    secret = variable("DB", "hush-hush", "production", is_secret=True)
    answers = [
        await netlify.post(env(team), params=SCOPED, json=[secret]),
        await netlify.get(env(team), params=SCOPED),
        await netlify.get(env(team, "/DB"), params=SCOPED),
        await netlify.patch(
            env(team, "/DB"), params=SCOPED, json={"context": "dev", "value": "local"}
        ),
    ]

    assert [a.status_code for a in answers if "hush" in a.text] == []
    assert "local" in answers[-1].text
    assert team.baked(SITE, "production") == {"DB": "hush-hush"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([variable("1A")], 422),
        ([variable(context="everywhere")], 422),
        ([variable(context="branch")], 422),
        ([variable(is_secret=True)], 422),
        ([variable(context="dev", is_secret=True, scopes=["post-processing"])], 422),
        ([variable(scopes=["everything"])], 422),
        ([{"key": "A"}], 400),
        (["A"], 400),
        (7, 400),
    ],
)
async def test_what_is_wrong_is_refused_whole(
    team: NetlifyTeam, netlify: httpx.AsyncClient, body: Any, status: int
) -> None:
    """Nothing of the list is made when one of it is wrong."""
    good = [variable("GOOD")]
    answer = await netlify.post(
        env(team), params=SCOPED, json=good + body if isinstance(body, list) else body
    )

    assert answer.status_code == status
    assert team.variables[SITE] == {}
    assert team.effects == []


async def test_a_plan_may_lack_scopes(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """Some plans refuse any scopes but all; none given is all."""
    team.specific_scopes = False
    refused = await netlify.post(env(team), params=SCOPED, json=[variable(scopes=["builds"])])
    made = await netlify.post(env(team), params=SCOPED, json=[variable()])

    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    assert len(made.json()[0]["scopes"]) == 4


async def test_the_nearest_value_is_baked(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """The branch's before the context's before all's; no variable outside builds."""
    values = [
        {"context": "all", "value": "all"},
        {"context": "production", "value": "production"},
        {"context": "branch-deploy", "value": "branches"},
        {"context": "branch", "context_parameter": "dev", "value": "dev"},
    ]
    await netlify.post(
        env(team),
        params=SCOPED,
        json=[{"key": "A", "values": values}, variable("B", scopes=["functions"]), variable("C")],
    )
    for branch in ("", "dev", "other"):
        await netlify.post(f"/sites/{SITE}/builds", params={"branch": branch})

    baked = [deploy.baked for deploy in team.deploys.values()]
    assert baked == [{"A": a, "C": "1"} for a in ("production", "dev", "branches")]


async def test_a_build_takes_its_time(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """It goes through Netlify's states, waits for the one before it, and then is published."""
    ids = [(await netlify.post(f"/sites/{SITE}/builds")).json()["deploy_id"] for _ in range(2)]
    seen = []
    for elapsed in (0, 2, 42, 45, 85, 90):
        team.now = at(1000.0 + elapsed)
        seen.append([(await netlify.get(f"/deploys/{one}")).json()["state"] for one in ids])

    assert seen == [
        ["enqueued", "enqueued"],
        ["building", "enqueued"],
        ["processing", "enqueued"],
        ["ready", "building"],
        ["ready", "processing"],
        ["ready", "ready"],
    ]
    published = (await netlify.get(f"/sites/{SITE}")).json()["published_deploy"]
    assert published["id"] == ids[1]


async def test_more_capacity_builds_side_by_side(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """With two places the third build waits for the first, the fifth for the third."""
    team.capacity = 2
    for _ in range(5):
        await netlify.post(f"/sites/{SITE}/builds")

    begun = [deploy.building_at for deploy in team.deploys.values()]
    assert begun == [1002, 1002, 1045, 1045, 1088]


async def test_a_branchs_deploy_is_not_published(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """Visitors of the site keep seeing the last one of the production branch."""
    team.timings = BuildTimings.instant()
    production = team.trigger(SITE, branch="main")
    team.trigger(SITE, branch="dev")

    published = (await netlify.get(f"/sites/{SITE}")).json()["published_deploy"]
    assert (published["id"], published["context"]) == (production.id, "production")


async def test_deploys_are_listed_newest_first(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """By page, by branch and by state; another site's are not among them."""
    team.timings, team.capacity = BuildTimings.instant(), 9
    team.add_site("other", "other")
    for site, branch in ((SITE, ""), (SITE, "dev"), ("other", ""), (SITE, "")):
        team.trigger(site, branch=branch, title=f"{len(team.deploys)}")
    queries = [{"per_page": "2"}, {"per_page": "2", "page": "2"}, {"branch": "dev"}, {"state": "x"}]
    lists = [(await netlify.get(f"/sites/{SITE}/deploys", params=q)).json() for q in queries]

    assert [[one["title"] for one in page] for page in lists] == [["3", "1"], ["0"], ["1"], []]


async def test_too_many_requests_are_told_when_to_come_back(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """The reset is unix time, on every answer; afterwards all is well."""
    team.limits.enabled, team.limits.requests.limit = True, 2
    answers = [await netlify.get(f"/sites/{SITE}") for _ in range(3)]
    team.now = at(1060)
    later = await netlify.get(f"/sites/{SITE}")

    assert [a.status_code for a in (*answers, later)] == [200, 200, 429, 200]
    assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["1", "0", "0"]
    assert answers[-1].headers["x-ratelimit-reset"] == "1060"
    assert answers[-1].headers["date"] == "Thu, 01 Jan 1970 00:16:40 GMT"
    assert len({a.headers["x-nf-request-id"] for a in answers}) == 3


async def test_a_site_is_deployed_three_times_a_minute(
    team: NetlifyTeam, netlify: httpx.AsyncClient
) -> None:
    """The fourth is refused with the end of that window; other sites are not concerned."""
    team.limits.enabled = True
    team.add_site("other", "other")
    sites = (SITE, SITE, SITE, SITE, "other")
    answers = [await netlify.post(f"/sites/{site}/builds") for site in sites]

    assert [a.status_code for a in answers] == [200, 200, 200, 429, 200]
    assert answers[3].headers["x-ratelimit-limit"] == "3"
    assert len(team.deploys) == 4


async def test_a_stranger_comes_first(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """Whoever is refused before anybody was counted is told so, and nothing of limits."""
    team.limits.enabled = True
    answer = await netlify.get(f"/sites/{SITE}", headers={"authorization": ""})

    assert (401, False) == (answer.status_code, "x-ratelimit-reset" in answer.headers)


async def test_strangers_and_absent_things(team: NetlifyTeam, netlify: httpx.AsyncClient) -> None:
    """Another token is refused; other teams, sites, variables and paths are not there."""
    assert (await netlify.get(f"/sites/{SITE}", headers={"authorization": ""})).status_code == 401
    absent = [
        "/accounts/other/env",
        env(team, "?site_id=none"),
        env(team, "/NONE"),
        "/sites/none/deploys",
        "/builds/none",
        "/deploys/none",
        "/nowhere",
    ]
    assert [(await netlify.get(path)).status_code for path in absent] == [404] * len(absent)


async def test_everything_is_found_again(team: NetlifyTeam, tmp_path: Path) -> None:
    """Variables, secrets, sites and builds outlive the process."""
    saved = StateFile(tmp_path / "state.json", team)
    saved.open()
    async with client(team) as api:
        body = [variable("DB", "hush", "production", is_secret=True)]
        await api.post(env(team), params=SCOPED, json=body)
        await api.post(f"/sites/{SITE}/builds", params={"title": "t"})
    saved.close()
    again = NetlifyTeam(now=at(2000))
    StateFile(tmp_path / "state.json", again).open()

    assert again.dump() == team.dump()
    published = again.published(SITE)
    assert published is not None
    assert (published.title, published.baked) == ("t", {"DB": "hush"})


async def test_as_an_application_the_server_dates(team: NetlifyTeam) -> None:
    """Behind a server there is one `date`, and it is the server's."""
    through = httpx.ASGITransport(app=netlify_api(team))
    async with httpx.AsyncClient(transport=through, base_url="http://n/api/v1") as api:
        answer = await api.get(f"/sites/{SITE}")

    assert (answer.status_code, "date" in answer.headers) == (401, False)
