"""Every request of the DigitalOcean client, checked against the specification."""

import pytest

from controller.providers import Gear
from controller.providers.digitalocean import Connection, DigitalOcean
from deploy.local.simulators.digitalocean import (
    API_HOST,
    DigitalOceanAPI,
    DigitalOceanCloud,
    DropletTimings,
)
from deploy.local.simulators.transport import SimulatorTransport
from tests.providers.clock import run
from tests.providers.fakes import ample
from tests.providers.test_digitalocean_simulated import CALL, KEY, TAG
from tests.support.contract import ContractTransport

pytestmark = pytest.mark.spec


def test_the_client_asks_only_what_is_specified() -> None:
    """No path, parameter or field is unknown to DigitalOcean; images are not in its file here."""

    async def tour() -> set[str]:
        cloud = DigitalOceanCloud(timings=DropletTimings.instant())
        api = SimulatorTransport(hosts={API_HOST: DigitalOceanAPI(cloud)})
        checked = ContractTransport(api)
        client = DigitalOcean(checked, gear=Gear(budget=ample()))
        ada = Connection("ada", cloud.grant("ada@example.com").access)
        await client.get_account(ada, call=CALL)
        await client.list_regions(ada, call=CALL)
        await client.list_sizes(ada, call=CALL)
        key = await client.create_ssh_key(ada, name="ada", public_key=KEY, call=CALL)
        made = await client.create_droplet(
            ada,
            name="vps",
            region="ams3",
            size="s-1vcpu-1gb",
            image="debian-12-x64",
            tags=[TAG],
            user_data="#cloud-config",
            ssh_keys=[key.id, key.fingerprint],
            ipv6=True,
            call=CALL,
        )
        number = made.droplet.id
        assert made.action_id is not None
        await client.await_action(ada, made.action_id, call=CALL)
        for act in (client.reboot, client.shutdown, client.power_on, client.power_off):
            await client.await_action(ada, (await act(ada, number, call=CALL)).id, call=CALL)
        await client.get_droplet(ada, number, call=CALL)
        await client.list_droplets(ada, tag=TAG, call=CALL)
        await client.list_actions(ada, number, call=CALL)
        await client.list_ssh_keys(ada, call=CALL)
        await client.delete_ssh_key(ada, key.id, call=CALL)
        await client.delete_droplet(ada, number, call=CALL)
        return set(checked.checked)

    assert 13 == len(run(tour))
