"""What the steps of a droplet's life work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from controller.providers.digitalocean import Connection, DigitalOcean, Droplet
from controller.scope import Scope
from controller.vps.observer import DropletObserver
from crds.credentials import GatewayTokens
from crds.gateway_hub import GatewayHub
from crds.grants import Grant
from crds.secrets import Secrets
from crds.store.observations import Observation
from crds.vps import DropletStatus, Vps

# A list's silence is not believed for so long after a droplet may have been made: lists are
# stale by up to a minute, and a request that timed out can still arrive.
LISTING_GRACE: Final = timedelta(seconds=90)


class Wait(NamedTuple):
    """A step is not through.

    Attributes:
        seconds: Come back after so many; None: something that is watched will say so.
        why: What is waited for, in words.
    """

    seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Access:
    """The right to act on the user's account.

    Attributes:
        connection: What each call needs.
        grant: The tokens as they were read.
        team: DigitalOcean's id of the team that they are for.
    """

    connection: Connection
    grant: Grant = field(repr=False)
    team: str


@dataclass(frozen=True, slots=True)
class GatewayRelease:
    """The program that runs in droplets.

    Attributes:
        url: Where the programs are, as `gateway-<version>.pyz`.
        version: Which one new droplets get.
        connect_to: Where gateways connect, a ws:// or wss:// address.
    """

    url: str
    version: str
    connect_to: str


@dataclass(frozen=True, slots=True)
class Gateways:
    """How gateways come to be and are reached.

    Attributes:
        hub: Carries commands to them.
        tokens: Makes and knows their tokens.
        release: What they run.
    """

    hub: GatewayHub
    tokens: GatewayTokens
    release: GatewayRelease


@dataclass(frozen=True, slots=True)
class VpsTools:
    """The outside world of a Vps.

    Attributes:
        digitalocean: The provider; None where no application is configured.
        observer: What the last looks over users' teams saw.
        secrets: Where users' tokens and the hashes of gateways' tokens are.
        gateways: How gateways come to be and are reached.
        installation: Whose marks we put and heed.
        random: So many random bytes, fit for keys.
    """

    digitalocean: DigitalOcean | None
    observer: DropletObserver
    secrets: Secrets
    gateways: Gateways
    installation: str
    random: Callable[[int], bytes]


class VpsScope(Scope[Vps]):
    """A Vps during one reconcile.

    Attributes:
        phase_before: Its phase as read.
        power: What it shall do at present: what is wished for, as far as its account may.
        heard: What its gateway reported, by subject.
        seen: The droplet as read in this reconcile; None when nothing had to be read.
        soonest: Seconds until something is due although nothing changes; None: nothing is.
        given_access: The right to act on the user's account, once there is one.
        given_api: DigitalOcean, likewise.
    """

    phase_before: str = ""
    power: Literal["Running", "Stopped"] = "Running"
    heard: Mapping[str, Observation] = {}
    seen: Droplet | None = None
    soonest: float | None = None
    given_access: Access | None = None
    given_api: DigitalOcean | None = None

    @property
    def namespace(self) -> str:
        """Whose it is."""
        return self.object.metadata.namespace

    @property
    def name(self) -> str:
        """What it is called."""
        return self.object.metadata.name

    @property
    def access(self) -> Access:
        """The right to act on the user's account, in a step behind the one that gets it."""
        if self.given_access is None:
            raise RuntimeError("the steps of a droplet's life ran out of order")
        return self.given_access

    @property
    def api(self) -> DigitalOcean:
        """DigitalOcean, likewise."""
        if self.given_api is None:
            raise RuntimeError("the steps of a droplet's life ran out of order")
        return self.given_api

    @property
    def droplet(self) -> DropletStatus:
        """The droplet on record, in a step behind the one that makes it."""
        if self.object.status.droplet is None:
            raise RuntimeError("the steps of a droplet's life ran out of order")
        return self.object.status.droplet

    def look_again(self, seconds: float) -> None:
        """Ask for another look after so many seconds, or sooner."""
        seconds = max(0.0, seconds)
        self.soonest = seconds if self.soonest is None else min(self.soonest, seconds)
