"""Every call of the simulated Netlify, checked against Netlify's specification."""

import httpx
import pytest

from controller.providers import Gear, NotFound
from controller.providers.netlify import Netlify, NewValue, NewVariable
from deploy.local.simulators.netlify import BuildTimings, NetlifyAPI, NetlifyTeam
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.fakes import ample
from tests.providers.netlify_cloud import CALL, KEY, Cloud
from tests.support.contract import ContractError, ContractTransport

pytestmark = [pytest.mark.anyio, pytest.mark.spec]

BASE = "https://api.netlify.com/api/v1"


@pytest.fixture
def team(anyio_backend: str) -> NetlifyTeam:
    """A team whose builds are done at once."""
    del anyio_backend
    return NetlifyTeam(timings=BuildTimings.instant())


@pytest.fixture
def checked(team: NetlifyTeam) -> ContractTransport:
    """The team under the eyes of the specification."""
    return ContractTransport(SimulatorTransport(hosts={"api.netlify.com": NetlifyAPI(team)}))


async def test_the_client_and_the_simulator_keep_to_the_specification(
    team: NetlifyTeam, checked: ContractTransport
) -> None:
    """Every operation of the client: its requests and the simulator's answers."""
    netlify = Netlify(checked, token=team.token, gear=Gear(budget=ample()))
    site = await netlify.get_site(team.add_site("acme").id, call=CALL)
    values = (NewValue("1", "production"), NewValue("2", "branch", "dev"))
    secret = NewVariable("DB", values, is_secret=True, scopes=("builds", "functions"))
    await netlify.create_variables(site.ref, [NewVariable(KEY, (NewValue("v"),))], call=CALL)
    made = await netlify.create_variables(site.ref, [secret], call=CALL)
    await netlify.list_variables(site.ref, call=CALL)
    await netlify.get_variable(site.ref, "DB", call=CALL)
    await netlify.set_value(site.ref, KEY, NewValue("3", "branch", "dev"), call=CALL)
    replaced = await netlify.replace_variable(site.ref, secret, call=CALL)
    await netlify.delete_value(site.ref, "DB", replaced.values[0].id, call=CALL)
    with pytest.raises(NotFound):
        await netlify.delete_value(site.ref, "DB", made[0].values[0].id, call=CALL)
    build = await netlify.trigger_build(site.id, title="rotation", call=CALL)
    await netlify.get_build(build.id, call=CALL)
    await netlify.get_deploy(build.deploy_id, call=CALL)
    await netlify.list_deploys(site.id, call=CALL)
    team.fail_builds = ["no"]
    failed = await netlify.trigger_build(site.id, call=CALL)
    await netlify.get_build(failed.id, call=CALL)
    await netlify.get_deploy(failed.deploy_id, call=CALL)
    published = (await netlify.get_site(site.id, call=CALL)).published_deploy
    await netlify.delete_variable(site.ref, "DB", call=CALL)

    assert published is not None
    assert published.id == build.deploy_id
    assert len(set(checked.checked)) == 12


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/accounts/{account}/env", [{"key": "A", "colour": "red"}]),
        ("PATCH", "/accounts/{account}/env/A", {"values": []}),
        ("PATCH", "/accounts/{account}/env/A", {"context": "everywhere", "value": ""}),
        ("POST", "/sites/{site}/builds?colour=red", None),
        ("GET", "/sites/{site}/deploys?colour=red", None),
    ],
)
async def test_what_is_not_specified_is_caught(
    team: NetlifyTeam, checked: ContractTransport, method: str, path: str, body: object
) -> None:
    """The checker is awake: unknown fields, values and parameters fail."""
    site = team.add_site("acme").id
    url = BASE + path.format(account=team.account, site=site)
    headers = {"authorization": f"Bearer {team.token}"}
    async with httpx.AsyncClient(transport=checked, headers=headers) as client:
        with pytest.raises(ContractError):
            await client.request(method, url, json=body)


async def test_a_wrong_answer_is_caught(team: NetlifyTeam) -> None:
    """The checker is awake in the other direction, errors included."""
    wrong = [httpx.Response(200, json={"id": 7}), httpx.Response(404, json={"code": "x"})]

    async def answer(_: httpx.Request) -> httpx.Response:
        return wrong.pop()

    checked = ContractTransport(httpx.MockTransport(answer))
    headers = {"authorization": f"Bearer {team.token}"}
    async with httpx.AsyncClient(transport=checked, headers=headers) as client:
        for _ in range(2):
            with pytest.raises(ContractError):
                await client.get(f"{BASE}/sites/a")

    assert wrong == []


async def test_refusals_are_as_specified(team: NetlifyTeam, checked: ContractTransport) -> None:
    """401, 404, 409, 422 and 429 carry Netlify's error body."""
    site, other = team.add_site("acme").id, {"authorization": "Bearer no"}
    env = f"{BASE}/accounts/{team.account}/env?site_id={site}"
    body = [{"key": "A", "values": [{"context": "all", "value": "1"}]}]
    secret = [body[0] | {"key": "B", "is_secret": True}]
    headers = {"authorization": f"Bearer {team.token}"}
    async with httpx.AsyncClient(transport=checked, headers=headers) as client:
        statuses = [
            (await client.get(env, headers=other)).status_code,
            (await client.get(f"{BASE}/sites/none")).status_code,
            (await client.post(env, json=body)).status_code,
            (await client.post(env, json=body)).status_code,
            (await client.post(env, json=secret)).status_code,
        ]
        team.limits.enabled, team.limits.requests.limit = True, 0
        statuses.append((await client.get(env)).status_code)

    assert statuses == [401, 404, 201, 409, 422, 429]


async def test_the_whole_cloud_of_the_clients_tests_is_specified() -> None:
    """What the client's own tests talk to is the simulator that is checked here."""
    cloud = Cloud()
    cloud.transport.inner = ContractTransport(cloud.transport.inner)
    await cloud.netlify.list_variables(cloud.ref, call=CALL)

    assert cloud.transport.inner.checked == ["GET /accounts/{account_id}/env"]
