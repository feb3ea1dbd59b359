"""Plans: what they know of the world outside, and of the controller's settings."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import cast

from cryptography.fernet import Fernet

from controller.machine.agent import AgentClient
from controller.machine.config import config_hash, desired_config
from controller.machine.tools import Tools
from controller.observer import Observer
from controller.providers.fly import Fly
from crds.credentials import MachineTokens
from crds.machine import Intent, Machine
from crds.secrets import Cipher, Secrets
from crds.store import LocalDoorbell, Store
from crds.workspace import Workspace
from deploy.plan import Known
from tests.command.invoking import TOKEN, Invoker, operations
from tests.simulation.processes import INSTALLATION, USER

SETTINGS = {
    "INVOKER_DOMAIN": "example.com",
    "INVOKER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "SUPABASE_URL": "https://invoker.supabase.co",
    "INVOKER_INSTALLATION": INSTALLATION,
    "INVOKER_API_URL": "https://api.example.com",
    "INVOKER_EDGE_JWKS": '{"keys": []}',
    "INVOKER_EDGE_TOKEN": "0123456789abcdef",
    "FLY_API_TOKEN": "fly-token",
    "FLY_ORG": "invoker",
    "CLOUDFLARE_API_TOKEN": "cloudflare-token",
    "CLOUDFLARE_ACCOUNT_ID": "account",
    "CLOUDFLARE_KV_NAMESPACE_ID": "namespace",
}


async def _as_configured(url: str) -> None:
    """Have the machine's record say that it was configured with these settings."""
    cipher = Cipher.from_keys(SETTINGS["INVOKER_ENCRYPTION_KEYS"])
    async with Store.opened(url, pool_size=1, doorbell=LocalDoorbell()) as store:
        await MachineTokens.load(store, cipher)
        known = await Known.load(store, SETTINGS | {"DATABASE_URL": url})
        machine = await store.get(Machine, "main", USER)
        assert machine.status.volume is not None
        assert machine.status.instance is not None
        # Of the tools only these three go into a configuration.
        tools = Tools(
            fly=cast("Fly", None),
            agent=cast("AgentClient", None),
            observer=cast("Observer", None),
            tokens=known.tokens,
            installation=INSTALLATION,
            agent_env=known.agent_env,
            secrets=Secrets(store, cipher),
        )
        config = desired_config(machine, tools, machine.status.volume.id)
        machine.status.instance.config_hash = config_hash(config)
        await store.update_status(machine)


def test_other_settings_are_rolled_out(lived_in_copy: str) -> None:
    """With the controller's settings at hand a plan tells what they would change by themselves."""
    asyncio.run(_as_configured(lived_in_copy))
    settings = SETTINGS | {"DATABASE_URL": lived_in_copy}
    same = Invoker(**settings).json("plan", "ws/alice")
    changed = Invoker(**settings, INVOKER_APP_VERSION="2").json("plan", "ws/alice")

    assert [] == operations(same)
    assert ["leases.create", "machines.update", "leases.release"] == operations(changed, "fly")
    assert [] == TOKEN.findall(json.dumps(changed))


def test_a_wish_that_is_under_way(lived_in_copy: str) -> None:
    """A wish that no controller has looked at yet is in the plan of what would happen now."""

    async def wish() -> None:
        async with Store.opened(lived_in_copy, doorbell=LocalDoorbell()) as store:
            machine = await store.get(Machine, "main", USER)
            machine.spec.image = "registry.example.com/new:1"
            await store.update(machine)
            workspace = await store.get(Workspace, "main", USER)
            workspace.spec.image = "registry.example.com/new:1"
            await store.update(workspace)

    asyncio.run(wish())
    plan = Invoker(DATABASE_URL=lived_in_copy).json("plan", "ws/alice")

    assert ["leases.create", "machines.update", "leases.release"] == operations(plan, "fly")
    assert [] == plan["assumed"]


def test_what_the_rows_do_not_know(lived_in_copy: str) -> None:
    """An effect of unknown outcome and a machine that cannot be found are told as assumptions."""

    async def trouble() -> None:
        async with Store.opened(lived_in_copy, doorbell=LocalDoorbell()) as store:
            machine = await store.get(Machine, "main", USER)
            now = store.clock.now()
            assert machine.status.instance is not None
            machine.status.instance.missing_since = now - timedelta(minutes=6)
            machine.status.intent = Intent(operation="machines.stop", since=now)
            await store.update_status(machine)

    asyncio.run(trouble())
    plan = Invoker(DATABASE_URL=lived_in_copy).json("plan", "ws/alice")

    assert "machines.create" in operations(plan)
    assert 2 == len(plan["assumed"])
    assert "nobody knows what became of machines.stop" in plan["assumed"][0]
    assert "planned without what cannot be found since" in plan["assumed"][1]
