"""The API's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from crds.access import Role
from crds.settings import HttpUrl, Port, ProcessSettings, Secret


def _split(value: Any) -> Any:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def _roles(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('must be JSON such as {"group": "support"}') from None


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
RolesByGroup = Annotated[dict[str, Role], NoDecode, BeforeValidator(_roles)]


class Settings(ProcessSettings):
    """What the API needs to know from its environment."""

    PROGRAM: ClassVar[str] = "The API"

    supabase_anon_key: Secret = Field(alias="SUPABASE_ANON_KEY")
    # HS256 takes a shared secret; RFC 7518, 3.2 wants at least the hash's 256 bits.
    supabase_jwt_secret: SecretStr | None = Field(
        default=None, alias="SUPABASE_JWT_SECRET", min_length=32
    )
    host: str = Field(default="127.0.0.1", alias="INVOKER_API_HOST")
    port: Port = Field(default=8080, alias="INVOKER_API_PORT")
    # Where the console reads of queues and providers.
    controller_metrics_urls: CommaSeparated = Field(
        default=(), alias="INVOKER_CONTROLLER_METRICS_URLS"
    )
    kubernetes_port: Port = Field(default=6443, alias="INVOKER_KUBERNETES_PORT")
    # Further names and addresses by which operators reach the port, for its certificate.
    kubernetes_names: CommaSeparated = Field(default=(), alias="INVOKER_KUBERNETES_NAMES")
    # Where certificates and a kubeconfig for this machine go; without it nothing is kept.
    kubernetes_state: Path | None = Field(default=None, alias="INVOKER_KUBERNETES_STATE")
    # How many requests and watches may be under way there at once, in all and of one client.
    kubernetes_requests: int = Field(default=200, alias="INVOKER_KUBERNETES_REQUESTS", ge=1)
    kubernetes_requests_each: int = Field(
        default=100, alias="INVOKER_KUBERNETES_REQUESTS_EACH", ge=1
    )
    kubernetes_watches: int = Field(default=2000, alias="INVOKER_KUBERNETES_WATCHES", ge=1)
    kubernetes_watches_each: int = Field(default=500, alias="INVOKER_KUBERNETES_WATCHES_EACH", ge=1)
    # An issuer of operators' tokens beside Supabase.
    oidc_issuer: HttpUrl | None = Field(default=None, alias="INVOKER_OIDC_ISSUER")
    oidc_audience: str = Field(default="invoker", alias="INVOKER_OIDC_AUDIENCE", min_length=1)
    oidc_claim: str = Field(default="groups", alias="INVOKER_OIDC_CLAIM", min_length=1)
    oidc_roles: RolesByGroup = Field(default_factory=dict, alias="INVOKER_OIDC_ROLES")
