"""The controller's settings."""

from __future__ import annotations

import socket
from typing import Annotated, ClassVar

from pydantic import Field

from crds.gateways import GATEWAY_VERSION
from crds.settings import BesideApplication, HttpUrl, Port, ProcessSettings, Secret


class Settings(ProcessSettings):
    """What the controller needs to know from its environment."""

    PROGRAM: ClassVar[str] = "The controller"

    host: str = Field(default="127.0.0.1", alias="INVOKER_CONTROLLER_HOST")
    port: Port = Field(default=8081, alias="INVOKER_CONTROLLER_PORT")
    replica: str = Field(
        default_factory=socket.gethostname, alias="INVOKER_REPLICA", min_length=1, max_length=200
    )
    # Marks what this installation makes outside; part of app names, so short and lowercase.
    installation: str = Field(alias="INVOKER_INSTALLATION", pattern=r"^[a-z0-9]{1,12}$")
    # Where machines send their heartbeats.
    api_url: HttpUrl = Field(alias="INVOKER_API_URL")
    # Public keys (a JWK set in JSON) by which machines know the edge.
    edge_jwks: str = Field(alias="INVOKER_EDGE_JWKS", pattern=r'^\{"keys":')
    app_version: str = Field(default="1", alias="INVOKER_APP_VERSION")

    fly_token: Secret = Field(alias="FLY_API_TOKEN")
    fly_org: str = Field(alias="FLY_ORG", min_length=1)
    fly_url: HttpUrl = Field(default="https://api.machines.dev", alias="FLY_API_HOSTNAME")
    # Where `https://<app>.fly.dev` is reached instead: the embedded cloud's proxy.
    machine_gateway: HttpUrl | None = Field(default=None, alias="INVOKER_MACHINE_GATEWAY")

    # The provider's own Prometheus: what services use, and whether there is traffic.
    fly_metrics_url: HttpUrl = Field(
        default="https://api.fly.io/prometheus", alias="FLY_METRICS_URL"
    )

    # Where dev environments' front ends are built; without it they are not told of new keys.
    netlify_token: Secret | None = Field(default=None, alias="NETLIFY_AUTH_TOKEN")
    netlify_url: HttpUrl = Field(default="https://api.netlify.com/api/v1", alias="NETLIFY_API_URL")

    cloudflare_token: Secret = Field(alias="CLOUDFLARE_API_TOKEN")
    cloudflare_account: str = Field(alias="CLOUDFLARE_ACCOUNT_ID", min_length=1)
    cloudflare_namespace: str = Field(alias="CLOUDFLARE_KV_NAMESPACE_ID", min_length=1)
    cloudflare_url: HttpUrl = Field(
        default="https://api.cloudflare.com/client/v4", alias="CLOUDFLARE_API_URL"
    )

    # What proves to DigitalOcean that we are the application.
    digitalocean_client_secret: Annotated[Secret | None, BesideApplication] = Field(
        default=None, alias="DIGITALOCEAN_CLIENT_SECRET", validate_default=True
    )
    digitalocean_url: HttpUrl = Field(
        default="https://api.digitalocean.com", alias="DIGITALOCEAN_API_URL"
    )

    # Where the programs of gateways are, as gateway-<version>.pyz, and which one new ones get;
    # by default the Worker has them.
    gateway_releases: HttpUrl | None = Field(default=None, alias="INVOKER_GATEWAY_RELEASES")
    gateway_version: str = Field(
        default=GATEWAY_VERSION,
        alias="INVOKER_GATEWAY_VERSION",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$",
    )
    workers: int = Field(default=32, alias="INVOKER_WORKERS", ge=1, le=1000)

    @property
    def agent_env(self) -> dict[str, str]:
        """What every machine's agent is told besides who it is (docs/protocols.md)."""
        return {
            "INVOKER_API_URL": self.api_url,
            "INVOKER_JWKS_URL": self.jwks_url,
            "INVOKER_JWT_ISSUER": self.issuer,
            "INVOKER_JWT_AUDIENCE": "authenticated",
            "INVOKER_EDGE_JWKS": self.edge_jwks,
            "APP_VERSION": self.app_version,
        }
