"""What several services have to agree on, said once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from controller.devenv.keys import database_url
from crds.connection import Keys
from crds.devenv import PORTS, DevEnvSpec, Service

# Of an access token, in seconds: what self-hosted Supabase has.
JWT_SECONDS = "3600"
# Those that the world reaches; the provider's proxy ends HTTP for them.
PUBLIC: frozenset[Service] = frozenset({"kong", "studio"})


@dataclass(frozen=True, slots=True)
class Facts:
    """The common facts of a dev environment.

    Attributes:
        spec: What is wished for.
        keys: Its keys.
        public_url: The public address of the gateway.
        site_url: Where the front end is; the gateway's address as long as nobody said.
    """

    spec: DevEnvSpec
    keys: Keys
    public_url: str
    site_url: str

    @classmethod
    def of(cls, spec: DevEnvSpec, keys: Keys, public_url: Callable[[str], str]) -> Self:
        """Collect them."""
        gateway = public_url(spec.app_of("kong"))
        return cls(spec, keys, gateway, spec.preview_url or gateway)

    def inside(self, service: Service) -> str:
        """The address of a service on the private network, by Fly's private proxy (Flycast).

        A private service answers on its own port; a public one on port 80, where the proxy speaks
        HTTP for it.
        """
        host = f"http://{self.spec.app_of(service)}.flycast"
        return host if service in PUBLIC else f"{host}:{PORTS[service]}"

    def database_url(self, role: str) -> str:
        """Where a role finds the database, its password included."""
        return database_url(self.spec, role, self.keys)
