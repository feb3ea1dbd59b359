"""An OpenID Connect issuer of operators' tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from api.access.authenticate import OpenIdConnect
from api.keys import KeySet
from api.settings import Settings
from api.tokens import Verifier
from crds.clock import Clock

TIMEOUT_SECONDS = 5.0


@asynccontextmanager
async def open_id_connect(
    settings: Settings, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[OpenIdConnect | None]:
    """The issuer that the settings name; None when they name none.

    Args:
        settings: The settings.
        clock: Judges the times of tokens.
        transport: How the issuer is reached; sockets when left out.
    """
    issuer = settings.oidc_issuer
    if issuer is None:
        yield None
        return
    async with httpx.AsyncClient(
        transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:

        async def keys() -> Mapping[str, Any]:
            # OpenID Connect Discovery 1.0, section 4.
            found = await client.get(f"{issuer}/.well-known/openid-configuration")
            document = await client.get(found.raise_for_status().json()["jwks_uri"])
            held: Mapping[str, Any] = document.raise_for_status().json()
            return held

        yield OpenIdConnect(
            verifier=Verifier(KeySet(keys), clock, issuer),
            audience=settings.oidc_audience,
            claim=settings.oidc_claim,
            roles=settings.oidc_roles,
        )
