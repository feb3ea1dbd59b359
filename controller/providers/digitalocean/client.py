"""The client of the DigitalOcean API."""

import httpx

from controller.providers.budget import Budget, Rate
from controller.providers.digitalocean.actions import Actions
from controller.providers.digitalocean.classify import TOO_MANY, classify, exhausted, until_reset
from controller.providers.digitalocean.connection import token_of
from controller.providers.digitalocean.droplets import Droplets
from controller.providers.digitalocean.team import Team
from controller.providers.errors import ProviderError
from controller.providers.exchange import Answer, Ask
from controller.providers.http import Gear

RATE = Rate(1.3, 150)
"""Of one connection: at most 228 in a minute and 4,830 in an hour, the burst included, below the
250 and 5,000 that DigitalOcean allows (PROVIDERS.md, limits)."""
MINUTE = 60.0
"""Seconds: the shorter of DigitalOcean's two windows."""
WIDE_RATE = Rate(200, 400)
"""Ours, over all connections: keeps a mass event from starving the user behind it."""


class DigitalOcean(Droplets, Actions, Team):
    """Everything that is asked of DigitalOcean, one method a call, for any number of users.

    Each user grants on an account of their own, so that the first argument of every method is
    the `Connection`; its name is what the limits are counted under.
    What the user's own programs spend of the same limits, the answers' headers tell: where
    nothing remains, the connection pauses for a minute at most, and after a refusal as they say.
    Breaker and metrics are shared, since the provider is one.

    Args:
        transport: Where requests go.
        base_url: The API's address.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "digitalocean"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        base_url: str = "https://api.digitalocean.com",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token="", base_url=base_url, gear=gear)

    def default_budget(self) -> Budget:
        """DigitalOcean's documented rates, for each connection."""
        return Budget(default=RATE, wide=WIDE_RATE)

    def bucket(self, ask: Ask) -> tuple[str, str]:
        """One bucket a connection: DigitalOcean counts all calls of a team together."""
        return "api", ask.app

    def classify(self, ask: Ask, answer: Answer) -> ProviderError | None:
        """Return the typed error of an answer, or None."""
        return classify(self.reason(ask, "", answer), ask, answer, token_of(ask.headers))

    async def _send(self, ask: Ask) -> Answer:
        answer = await super()._send(ask)
        if answer.status != TOO_MANY and exhausted(answer):
            # Zero may as well mean the minute's limit, whose end nobody tells on a success.
            self.budget.pause(*self.bucket(ask), min(MINUTE, until_reset(answer) or MINUTE))
        return answer
