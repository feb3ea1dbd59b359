"""How a user lets us act on their DigitalOcean account, and how that ends."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import httpx

from controller.providers import errors
from controller.providers.budget import Budget, Rate
from controller.providers.call import Call
from controller.providers.digitalocean.classify import BROKEN, SUCCESS, TOO_MANY, words
from controller.providers.digitalocean.connection import Connection, Hidden
from controller.providers.digitalocean.models import Grant
from controller.providers.exchange import Answer, Ask, clean, retry_after
from controller.providers.http import Gear, ProviderClient

RATE = Rate(4, 60)
"""Ours: a token is refreshed once a month, and nothing is documented."""
UNAUTHORIZED = 401
HIDDEN = frozenset({"code", "code_verifier", "refresh_token", "token", "client_secret"})


class DigitalOceanOAuth(ProviderClient):
    """The authorisation server, as one registered application.

    Args:
        transport: Where requests go.
        client_id: The application's id.
        client_secret: The application's secret.
        redirect_uri: Where users come back to, as it is registered.
        base_url: The server's address.
        gear: Budget, breaker, metrics and randomness.
    """

    provider = "digitalocean-oauth"

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        base_url: str = "https://cloud.digitalocean.com/v1/oauth",
        gear: Gear | None = None,
    ) -> None:
        super().__init__(transport, token=client_secret, base_url=base_url, gear=gear)
        del self._headers["authorization"]  # the secret is no bearer token
        self._client_id = client_id
        self._redirect_uri = redirect_uri

    def default_budget(self) -> Budget:
        """One slow bucket."""
        return Budget(default=RATE, wide=RATE)

    def bucket(self, _: Ask) -> tuple[str, str]:
        """One bucket for all."""
        return "oauth", ""

    @property
    def client_id(self) -> str:
        """The application's id: what is granted to one is nobody else's."""
        return self._client_id

    async def exchange(self, code: str, *, verifier: str = "", call: Call) -> Grant:
        """Return the grant that a code stands for; a code is good for one use.

        Args:
            code: What the user brought back.
            verifier: What the challenge was made of with which they were sent out (RFC 7636);
                empty where there was none.
            call: On whose behalf.

        Raises:
            Unauthorized: The code is unknown, expired or used: the user has to begin anew.
            Unavailable: After an unknown outcome the code may be used up: likewise.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
        }
        if verifier:
            form["code_verifier"] = verifier
        return await self._grant("oauth.exchange", form, "exchange", call)

    async def refresh(self, refresh_token: str, *, subject: str, call: Call) -> Grant:
        """Return the next grant; the refresh token is used up and the access token dies.

        Only one caller at a time may refresh a connection, and it has to keep the answer before
        it uses it (docs/decisions/0045).

        Args:
            refresh_token: The connection's present one.
            subject: The connection's name.
            call: On whose behalf.

        Raises:
            Unauthorized: The grant is no more: revoked, or this refresh token was used before.
            Unavailable: With `outcome_unknown`, an access token that still works proves that
                the refresh token is unused; one that does not proves nothing, and the next
                refresh tells.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._grant("oauth.refresh", form, subject, call)

    async def revoke(self, access_token: str, *, subject: str, call: Call) -> None:
        """End a grant; one that has ended counts as revoked.

        Args:
            access_token: The connection's present one.
            subject: The connection's name.
            call: On whose behalf.
        """
        form = {"token": access_token}
        ask = self._form("oauth.revoke", "/revoke", form, subject, bearer=access_token)
        try:
            await self.ask(ask, call)
        except errors.Unauthorized:
            return

    def classify(self, ask: Ask, answer: Answer) -> errors.ProviderError | None:
        """Return the typed error of an answer, or None.

        Only `invalid_grant` says that a grant has ended (RFC 6749, 5.2): a wrong client secret
        is answered with a 401 too, and must not make every user's connection look revoked.
        """
        if answer.status in SUCCESS:
            return None
        about = self.reason(ask, clean(words(answer), *_sent(ask)), answer).fields()
        if answer.status == TOO_MANY:
            return errors.RateLimited(**about, retry_after=retry_after(answer))
        if answer.status >= BROKEN:
            return errors.Unavailable(**about, outcome_unknown=ask.mutating)
        revoked = ask.operation == "oauth.revoke" and answer.status == UNAUTHORIZED
        if revoked or _code(answer) == "invalid_grant":
            return errors.Unauthorized(**about)
        return errors.InvalidRequest(**about)

    async def _grant(
        self, operation: str, form: Mapping[str, str], subject: str, call: Call
    ) -> Grant:
        client = {"client_id": self._client_id, "client_secret": self._token}
        ask = self._form(operation, "/token", {**form, **client}, subject)
        return await self.fetch(Grant, ask, call)

    def _form(
        self,
        operation: str,
        path: str,
        form: Mapping[str, str],
        subject: str,
        *,
        bearer: str = "",
    ) -> Ask:
        """Return a request whose secrets are in its body: an address is written into logs."""
        headers = Hidden({"content-type": "application/x-www-form-urlencoded"})
        if bearer:
            headers.update(Connection(subject, bearer).headers())
        return Ask(
            operation,
            "POST",
            path,
            subject,
            content=_Form(urlencode(form).encode()),
            headers=headers,
        )


class _Form(bytes):
    """A body that does not show itself in a traceback or a log line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'…'"


def _sent(ask: Ask) -> list[str]:
    """Return the secrets that were sent: an answer may repeat them, and no log may."""
    form = parse_qsl((ask.content or b"").decode())
    return [value for name, value in form if name in HIDDEN]


def _code(answer: Answer) -> str:
    """Return the error's name as OAuth defines it, empty where there is none."""
    try:
        body = json.loads(answer.content)
    except ValueError:
        return ""
    return str(body.get("error", "")) if isinstance(body, dict) else ""
