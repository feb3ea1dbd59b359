"""What the tests of sessions and keys begin with."""

from __future__ import annotations

from typing import Any, Final

from crds.authorized_key import AuthorizedKey, fingerprint_of
from crds.session import Session
from deploy.local.simulators.gateways.machine import Key
from tests.gateways.gateway_world import OTHER_KEY, PUBLIC_KEY, VPS, World

RUNNING: Final = ("Running", "Running")
KEY: Final = fingerprint_of(PUBLIC_KEY)
OTHER: Final = fingerprint_of(OTHER_KEY)


async def running(here: World, **spec: Any) -> Session:
    """A session that runs."""
    await here.make_vps()
    await here.make_session(**spec)
    await here.until_phase(Session, "s", "Running")
    return await here.session()


async def authorized(here: World, **spec: Any) -> AuthorizedKey:
    """A key that is let in."""
    await here.make_vps()
    await here.make_key(**spec)
    await here.until_phase(AuthorizedKey, "k", "Authorized")
    return await here.key()


def there(here: World, vps: str = VPS) -> dict[str, Key]:
    """The keys that are let in."""
    return here.gateways[vps].machine.keys
