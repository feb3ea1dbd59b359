"""Who may have a machine, and how many there may be."""

import asyncio

import pytest

from crds.account import Account
from crds.compute import MachineSize
from crds.fleet import Tally, tally
from crds.meta import ObjectMeta
from crds.platform import PLATFORM, Platform
from crds.workspace import WORKSPACE, Workspace, WorkspaceSpec
from tests.api.service import Service, User, code_of

pytestmark = pytest.mark.anyio


async def set_platform(service: Service, *, machines: int = 100, usd: float = 500) -> None:
    """Set the fleet's caps."""
    platform = await service.store.get(Platform, PLATFORM)
    platform.spec.caps.machines = machines
    platform.spec.caps.monthly_spend_usd = usd
    await service.store.update(platform)


async def set_state(service: Service, user: User, state: str) -> None:
    """Set the account's state."""
    account = await service.store.get(Account, user.id)
    account.spec.state = state  # type: ignore[assignment]
    await service.store.update(account)


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
async def test_inactive_account_may_not_start(service: Service, state: str) -> None:
    """A suspended or quarantined account is told so."""
    user = await service.user()
    await set_state(service, user, state)
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 403
    assert code_of(answer) == f"account-{state.lower()}"
    assert await service.store.find(Workspace, WORKSPACE, user.id) is None


async def test_account_quota(service: Service) -> None:
    """An account without room for a workspace gets none."""
    user = await service.user()
    account = await service.store.get(Account, user.id)
    account.spec.quota.workspaces = 0
    await service.store.update(account)
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 403
    assert code_of(answer) == "quota-exhausted"


async def test_machine_cap_is_never_passed(service: Service) -> None:
    """Of ten that want the last three places three get them, whatever the timing."""
    await set_platform(service, machines=3)
    users = [await service.user(f"User{number}") for number in range(10)]
    answers = await asyncio.gather(*(service.call(user, "POST", "/api/vm/start") for user in users))

    refused = [answer for answer in answers if answer.status_code != 202]
    page = await service.store.list(Workspace)
    assert len(page.items) == 3
    assert {code_of(answer) for answer in refused} == {"fleet-full"}
    assert all("retry-after" in answer.headers for answer in refused)


async def test_full_fleet_still_starts_what_it_has(service: Service) -> None:
    """The cap is on making machines: one that is there can be stopped and started."""
    user = await service.user()
    await service.call(user, "POST", "/api/vm/start")
    await set_platform(service, machines=0)
    await service.call(user, "DELETE", "/api/vm/stop")
    answer = await service.call(user, "POST", "/api/vm/start")

    assert answer.status_code == 202


async def test_spend_cap(service: Service) -> None:
    """The fleet's monthly cost counts every workspace's own size."""
    await set_platform(service, usd=100)
    size = MachineSize(cpu_kind="performance", cpus=2, memory_mb=4096)
    spec = WorkspaceSpec(subdomain="big", size=size, volume_gb=200)
    await service.store.create(
        Workspace(metadata=ObjectMeta(name=WORKSPACE, namespace="big"), spec=spec)
    )
    platform = await service.store.get(Platform, PLATFORM)
    users = [await service.user(first) for first in ("Alice", "Bob")]
    answers = [await service.call(user, "POST", "/api/vm/start") for user in users]

    assert await tally(service.store, platform.spec) == Tally(2, 92 + 5.84)
    assert [answer.status_code for answer in answers] == [202, 409]
    assert code_of(answers[1]) == "spend-cap-reached"


async def test_user_without_address_gets_no_account(service: Service) -> None:
    """Somebody who signed up by telephone is told what is missing."""
    session = service.auth.sign_up("bob@example.com", "password")
    service.auth.users[session["user"]["id"]].email = ""
    renewed = service.auth.refresh(session["refresh_token"])
    user = User(session["user"]["id"], "", renewed["access_token"], renewed["refresh_token"])
    start = await service.call(user, "POST", "/api/vm/start")
    refresh = await service.client.post(
        "/api/auth/refresh", json={"refresh_token": user.refresh_token}
    )

    assert code_of(start) == "email-required"
    assert code_of(refresh) == "email-required"
