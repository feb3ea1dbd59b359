"""The client of the Fly Machines API."""

from collections.abc import Mapping

import httpx

from controller.providers.budget import Budget, Rate
from controller.providers.errors import ProviderError
from controller.providers.exchange import Answer, Ask
from controller.providers.fly.addresses import Addresses
from controller.providers.fly.app_secrets import AppSecrets
from controller.providers.fly.apps import Apps
from controller.providers.fly.classify import classify
from controller.providers.fly.guests import Guests
from controller.providers.fly.machines import Machines
from controller.providers.fly.org import Organisation
from controller.providers.fly.volumes import Volumes
from controller.providers.http import Gear

RATES: Mapping[str, Rate] = {
    "machines.get": Rate(5, 10),
    "apps.delete": Rate(100 / 60, 5),
}
"""Where an action has a rate of its own (PROVIDERS.md, limits)."""
DEFAULT_RATE = Rate(1, 3)
"""A second, and at once, per action and machine or app."""
WIDE_RATE = Rate(200, 400)
"""Ours, over all actions: keeps a mass event from starving the user behind it."""


class Fly(Apps, Addresses, AppSecrets, Volumes, Machines, Guests, Organisation):
    """Everything that is asked of Fly, one method a call.

    Every method takes `call`, raises a `ProviderError`, and counts against Fly's limit of its
    action and object.

    Args:
        transport: Where requests go.
        token: The organisation's token.
        org: The organisation's slug.
        base_url: The API's address.
        app_url: The pattern of an app's public address.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "fly"
    request_id_header = "fly-request-id"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str,
        org: str,
        base_url: str = "https://api.machines.dev",
        app_url: str = "https://{app}.fly.dev",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token=token, base_url=base_url, gear=gear)
        self.org = org
        self._app_url = app_url

    def default_budget(self) -> Budget:
        """Fly's documented rates."""
        return Budget(rates=RATES, default=DEFAULT_RATE, wide=WIDE_RATE)

    def classify(self, ask: Ask, answer: Answer) -> ProviderError | None:
        """Return the typed error of an answer, or None."""
        return classify(self.reason(ask, "", answer), ask, answer, self._token, *ask.secrets)

    def machine_url(self, app: str) -> str:
        """The public address of an app; one machine of it needs `fly-force-instance-id`."""
        return self._app_url.format(app=app)
