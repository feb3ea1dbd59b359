"""What the steps of a droplet's life work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.providers.digitalocean import DigitalOcean
from controller.scope import Scope
from crds.credentials import GatewayTokens
from crds.gateway_hub import GatewayHub
from crds.secrets import Secrets
from crds.vps import Vps

VpsScope = Scope[Vps]


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
        secrets: Where users' tokens and the hashes of gateways' tokens are.
        gateways: How gateways come to be and are reached.
        installation: Whose marks we put and heed.
        random: So many random bytes, fit for keys.
    """

    digitalocean: DigitalOcean | None
    secrets: Secrets
    gateways: Gateways
    installation: str
    random: Callable[[int], bytes]
