"""Every call of a long tour, checked against DigitalOcean's specification."""

import json

import anyio
import pytest

from deploy.local.simulators.digitalocean import (
    DigitalOceanCloud,
    DropletLimits,
    DropletTimings,
)
from tests.simulators.digitalocean_calls import PUBLIC_KEY, Panel, transport_of
from tests.support.contract import ContractError, ContractTransport, specs

pytestmark = [pytest.mark.anyio, pytest.mark.spec]


@pytest.fixture
def cloud() -> DigitalOceanCloud:
    """A cloud whose transitions end at the loop's next turns."""
    return DigitalOceanCloud(timings=DropletTimings.instant())


@pytest.fixture
def checked(cloud: DigitalOceanCloud) -> ContractTransport:
    """The simulator under the eyes of the specification."""
    return ContractTransport(transport_of(cloud))


async def test_the_life_of_a_droplet(cloud: DigitalOceanCloud, checked: ContractTransport) -> None:
    """Everything that is answered, a droplet without addresses included, is as specified."""
    panel = Panel(cloud, checked)
    key = {"name": "ada", "public_key": PUBLIC_KEY}
    key_id = (await panel.client.post("/account/keys", json=key)).json()["ssh_key"]["id"]
    number = await panel.made(ssh_keys=[key_id], user_data="#!", ipv6=True, monitoring=False)
    await panel.made(name="second")
    await panel.get(number)
    await _settled()
    for kind in ("reboot", "shutdown", "power_on", "power_off"):
        action = (await panel.act(number, kind)).json()["action"]["id"]
        await panel.client.get(f"/actions/{action}")
        await panel.client.get(f"/droplets/{number}/actions/{action}")
        await _settled()
    for path in ("account", "account/keys", "actions", "regions", "sizes", f"droplets/{number}"):
        await panel.client.get(f"/{path}")
    await panel.client.get(f"/droplets/{number}/actions", params={"page": "1", "per_page": "2"})
    for page in ("1", "2"):
        query = {"page": page, "per_page": "1", "tag_name": "invoker:u1"}
        assert 1 == len((await panel.client.get("/droplets", params=query)).json()["droplets"])
    await panel.client.delete(f"/droplets/{number}")
    await panel.client.delete(f"/account/keys/{key_id}")

    assert 15 == len(set(checked.checked))


async def test_refusals(cloud: DigitalOceanCloud, checked: ContractTransport) -> None:
    """Errors have the specified shape, whatever they are about."""
    panel = Panel(cloud, checked)
    cloud.limits = DropletLimits(enabled=True, a_minute=4)
    answers = [
        await panel.client.get("/account", headers={"authorization": "Bearer no"}),
        await panel.client.get("/droplets/1"),
        await panel.act(1, "power_on"),
        await panel.create(region="atlantis"),
        await panel.client.get("/account"),
        await panel.client.get("/account"),
    ]

    assert [401, 404, 404, 422, 200, 429] == [answer.status_code for answer in answers]
    assert {"id", "message", "request_id"} == set(answers[-1].json())


async def test_the_fields_of_an_order_are_specified() -> None:
    """Every field that a droplet is ordered with is known, which the checker cannot see."""
    file = specs() / "digitalocean" / "droplets.openapi.json"
    schemas = json.loads(await anyio.Path(file).read_text())["components"]["schemas"]
    known = set(schemas["droplet_create"]["properties"]) | {"name"}

    sent = {"name", "region", "size", "image", "tags", "ssh_keys", "ipv6", "monitoring"}
    assert set() == (sent | {"user_data"}) - known


async def test_a_wrong_query_is_caught(
    cloud: DigitalOceanCloud, checked: ContractTransport
) -> None:
    """The checker is awake: an unknown parameter fails, and so does an unknown field."""
    panel = Panel(cloud, checked)
    with pytest.raises(ContractError, match="unknown query"):
        await panel.listed(colour="red")
    with pytest.raises(ContractError, match="request"):
        await panel.client.post("/droplets/1/actions", json={"type": "explode"})


async def _settled() -> None:
    for _ in range(30):
        await anyio.lowlevel.checkpoint()
