"""The client of Netlify: where a dev environment's front end is built."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from controller.providers import errors
from controller.providers.budget import Budget, Rate
from controller.providers.call import Call
from controller.providers.exchange import Answer, Ask, clean, retry_after
from controller.providers.http import Gear
from controller.providers.netlify.builds import Builds
from controller.providers.netlify.models import Site, values_of
from controller.providers.netlify.noun import part
from controller.providers.netlify.variables import Variables

RATE = Rate(7, 50)
"""Below 500 requests a minute, the burst included (PROVIDERS.md, limits)."""
BUILD_RATE = Rate(1 / 60, 2)
"""Netlify's limit of deploys on one site, 3 a minute, the burst included."""
WINDOW = 60.0
"""Seconds of Netlify's window: the pause after a 429 that does not say when it ends."""
SHORTEST_PAUSE = 1.0
SUCCESS = range(200, 300)
TOO_MANY, BROKEN = 429, 500
TAKEN = frozenset({409, 422})

BY_STATUS: Mapping[int, type[errors.ProviderError]] = {
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.NotFound,
    409: errors.UnclassifiedConflict,
}
"""What a status means without known words."""


class Netlify(Variables, Builds):
    """Everything that is asked of Netlify, one method a call.

    Nothing here is idempotent by a key, and what changes something is sent once.

    Args:
        transport: Where requests go.
        token: The team's access token.
        base_url: The API's address.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "netlify"
    request_id_header = "x-nf-request-id"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        token: str,
        base_url: str = "https://api.netlify.com/api/v1",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token=token, base_url=base_url, gear=gear)

    def default_budget(self) -> Budget:
        """Netlify counts a token's requests together, and a site's deploys beside that."""
        return Budget(rates={"builds.create": BUILD_RATE}, default=RATE, wide=RATE)

    def bucket(self, ask: Ask) -> tuple[str, str]:
        """One bucket for all, as a 429 refuses every request; one a site for its builds."""
        return (ask.operation, ask.subject) if ask.operation == "builds.create" else ("api", "")

    async def get_site(self, site: str, *, call: Call) -> Site:
        """Return a site.

        Raises:
            NotFound: There is none of this id, or it is not the token's to see.
        """
        ask = Ask("sites.get", "GET", f"/sites/{part(site)}", site, site)
        return await self.fetch(Site, ask, call)

    def classify(self, ask: Ask, answer: Answer) -> errors.ProviderError | None:
        """Return the typed error of an answer, or None; no value that was sent is in it."""
        if answer.status in SUCCESS:
            return None
        said = clean(_words(answer), *_secrets(ask))
        about = self.reason(ask, said, answer).fields()
        if answer.status == TOO_MANY:
            return errors.RateLimited(**about, retry_after=pause(answer))
        if answer.status >= BROKEN:
            return errors.Unavailable(**about, outcome_unknown=ask.mutating)
        return _refusal(ask, answer.status, said)(**about)


def pause(answer: Answer) -> float:
    """Return the seconds until a limit's window ends.

    Netlify tells the end as unix time; the answer's own `date` says what time it was there, so
    that no clock of ours has to agree with Netlify's.
    """
    told = retry_after(answer)
    if told is not None:
        return told
    try:
        ends = datetime.fromtimestamp(float(answer.headers["x-ratelimit-reset"]), UTC)
        at = parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return WINDOW
    return max(SHORTEST_PAUSE, (ends - at).total_seconds())


def _refusal(ask: Ask, status: int, said: str) -> type[errors.ProviderError]:
    text = said.lower()
    if ask.operation == "variables.create" and status in TAKEN and "already" in text:
        return errors.AlreadyExists
    if status in (402, 403) and "upgrade" in text:
        return errors.QuotaReached  # the plan lacks it: scopes and secrets are not in every one
    return BY_STATUS.get(status, errors.InvalidRequest)


def _words(answer: Answer) -> str:
    """Netlify says `message`, and `msg` where variables are kept."""
    raw = answer.content.decode(errors="replace")
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return raw or f"status {answer.status}"
    if not isinstance(body, dict):
        return raw
    return str(body.get("message") or body.get("msg") or body.get("error") or raw)


def _secrets(ask: Ask) -> list[str]:
    """The values that were sent, as they are and as JSON writes them; the longest first."""
    values = values_of(ask.json)
    return sorted(values | {json.dumps(value)[1:-1] for value in values}, key=len, reverse=True)
