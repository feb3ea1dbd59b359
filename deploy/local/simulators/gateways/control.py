"""How the control plane knows gateways where there is no Worker: on a transport, in memory."""

from __future__ import annotations

from typing import Final

import httpx
from pydantic import SecretStr

from controller.vps.tools import GatewayRelease, Gateways
from crds.credentials import KEY_BYTES, GatewayTokens
from crds.gateway_hub import GatewayHub

HUB_HOST: Final = "invoker.example"
EDGE_TOKEN: Final = "an edge token that opens nothing else"  # noqa: S105 - nor anything real
RELEASE: Final = GatewayRelease(
    url=f"https://{HUB_HOST}/gateway",
    version="1.0.0",
    connect_to=f"wss://{HUB_HOST}/gw/connect",
)
# No gateway outlives the process that simulates it.
TOKENS: Final = GatewayTokens(bytes(KEY_BYTES))


def gateways(transport: httpx.AsyncBaseTransport) -> Gateways:
    """The gateways whose hub is reached on a transport, at `HUB_HOST`; offline where it is not."""
    hub = GatewayHub(transport, base_url=f"https://{HUB_HOST}", token=SecretStr(EDGE_TOKEN))
    return Gateways(hub=hub, tokens=TOKENS, release=RELEASE)
