"""The tokens of a connection: asked for one at a time, kept before they are used.

How a grant is renewed without losing it: docs/decisions/0045.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from controller.engine import Blocked, RetryLater
from controller.providers import ProviderError, Unauthorized, Unavailable
from controller.providers.digitalocean import Connection, DigitalOcean, DigitalOceanOAuth
from controller.providers.digitalocean import Grant as Given
from controller.scope import Scope
from crds.cloud_connection import CloudConnection, GrantIntent, GrantOperation, GrantTeam
from crds.errors import ConflictError
from crds.grants import Consent, Grant, consent_name, grant_name, read_consent, read_grant
from crds.secrets import Secrets

GrantScope = Scope[CloudConnection]

# An access token lasts 30 days (PROVIDERS.md): renewed in its 25th, and spread over a day, so
# that those who connected at the same time are not all renewed at the same time.
RENEW_BEFORE: Final = timedelta(days=5)
SPREAD: Final = timedelta(days=1)
# No reconcile lasts longer, so whoever asked has come back by then, and written what it got.
ASKER_GONE: Final = timedelta(seconds=120)
# Seconds between the tries to write tokens that nobody can get a second time.
KEEP_PAUSES: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Application:
    """DigitalOcean as the application that is registered there sees it.

    Attributes:
        oauth: The authorisation server, which knows the application.
        api: The API that access tokens are for.
    """

    oauth: DigitalOceanOAuth
    api: DigitalOcean


@dataclass(frozen=True, slots=True)
class GrantTools:
    """The outside world of connections.

    Attributes:
        application: Whom users grant to; None where none is configured.
        secrets: Where tokens are.
    """

    application: Application | None
    secrets: Secrets


class Keeper:
    """What one reconcile does with a connection's tokens.

    Args:
        scope: The connection.
        tools: The outside world.
    """

    def __init__(self, scope: GrantScope, tools: GrantTools) -> None:
        self._scope, self._tools = scope, tools
        metadata = scope.object.metadata
        self._namespace, self._name = metadata.namespace, metadata.name
        self._subject = str(scope.uid)

    @property
    def application(self) -> Application:
        """Whom users grant to.

        Raises:
            Blocked: None is configured.
        """
        if self._tools.application is None:
            text = "no DigitalOcean application is configured (DIGITALOCEAN_CLIENT_ID)"
            raise Blocked("NotConfigured", text)
        return self._tools.application

    async def grant(self) -> Grant | None:
        """The tokens as they are kept at this moment."""
        return await read_grant(self._tools.secrets, self._namespace, self._name)

    async def consent(self) -> Consent | None:
        """What the user brought back and nobody has exchanged."""
        return await read_consent(self._tools.secrets, self._namespace, self._name)

    async def forget_consent(self) -> None:
        """Remove what the user brought back; a code that nobody exchanges dies by itself."""
        name, fence = consent_name(self._name), self._scope.request.fence
        await self._tools.secrets.delete(self._namespace, name, fence=fence)

    async def forget_grant(self) -> None:
        """Remove the tokens."""
        name, fence = grant_name(self._name), self._scope.request.fence
        await self._tools.secrets.delete(self._namespace, name, fence=fence)

    async def exchange(self, consent: Consent) -> Grant | None:
        """Make a grant of a consent; None when the provider does not take it (any more).

        Raises:
            ProviderError: It was not answered, or not sensibly.
            ConflictError: Somebody else's tokens are there.
        """
        server, put = self.application.oauth, self._tools.secrets.ensure
        async with intended(self._scope, "Exchange"):
            try:
                given = await server.exchange(
                    consent.code, verifier=consent.verifier, call=self._scope.call
                )
            except Unauthorized:
                return None
            grant = self._made(given, self._scope.now)
            name, value = grant_name(self._name), grant.to_bytes()
            held = await kept(lambda: put(self._namespace, name, value))
        _check_held(held, grant)
        return grant

    async def renew(self, old: Grant) -> Grant | None:
        """Exchange the refresh token for the next grant; None when the grant has ended.

        The write asks for the tokens that were read and not for the lease: whoever has the shard
        by then waits until this is over, and the answer cannot be had again.

        Raises:
            ProviderError: It was not answered, or not sensibly.
            ConflictError: Somebody else has renewed it meanwhile.
        """
        server, replace = self.application.oauth, self._tools.secrets.replace
        self._scope.object.status.phase = "Refreshing"
        async with intended(self._scope, "Refresh"):
            try:
                given = await server.refresh(
                    old.refresh, subject=self._subject, call=self._scope.call
                )
            except Unauthorized:
                if await self.grant() != old:
                    raise ConflictError("the grant was renewed meanwhile") from None
                return None
            grant = self._made(given, old.granted_at)
            name, before, after = grant_name(self._name), old.to_bytes(), grant.to_bytes()
            held = await kept(lambda: replace(self._namespace, name, before, after))
        _check_held(held, grant)
        return grant

    async def revoke(self, grant: Grant) -> None:
        """End a grant at the provider, then forget its tokens.

        Only an access token that works ends a grant: one that is past its time is renewed first.

        Raises:
            ProviderError: It was not answered, or not sensibly.
        """
        server = self.application.oauth
        alive = grant if grant.expires_at > self._scope.now else await self.renew(grant)
        if alive is not None:
            async with intended(self._scope, "Revoke"):
                await server.revoke(alive.access, subject=self._subject, call=self._scope.call)
        await self.forget_grant()

    async def works(self, grant: Grant) -> bool:
        """Whether the provider takes the access token; what it tells of the team is noted.

        Raises:
            ProviderError: It does not say.
        """
        status = self._scope.object.status
        # The answer speaks of the moment it was asked for, or of an earlier one than it arrived.
        asked_at = self._scope.now
        try:
            account = await self.application.api.get_account(
                Connection(self._subject, grant.access), call=self._scope.call
            )
        except Unauthorized:
            return False
        status.verified_at = asked_at
        status.team = GrantTeam(uuid=account.team or account.uuid, name=account.team_name)
        return True

    def _made(self, given: Given, granted_at: datetime) -> Grant:
        now = self._scope.now
        return Grant(
            client=self.application.oauth.client_id,
            scopes=tuple(sorted(given.scope.split())),
            access=given.access_token.get_secret_value(),
            refresh=given.refresh_token.get_secret_value(),
            granted_at=granted_at,
            given_at=now,
            expires_at=now + timedelta(seconds=given.expires_in),
        )


def _check_held(held: bytes, grant: Grant) -> None:
    if held != grant.to_bytes():
        raise ConflictError("other tokens are there")


@asynccontextmanager
async def intended(scope: GrantScope, operation: GrantOperation) -> AsyncIterator[None]:
    """Write down what is about to be asked, run the block that asks it, and forget it.

    It stays on record when the outcome is unknown; `over` then tells whether anybody may still be
    waiting for the answer.

    Raises:
        ConflictError: The row moved; the block was not run.
    """
    status = scope.object.status
    before = status.intent
    attempt = before.attempt + 1 if before is not None and before.operation == operation else 1
    intent = GrantIntent(operation=operation, since=scope.now, attempt=attempt)
    status.intent = intent
    await scope.save_if_unmoved()
    try:
        yield
    except Unavailable as error:
        # What was not sent changes nothing about what was asked before.
        unknown = intent if error.outcome_unknown else before
        status.intent = None if unknown is None else unknown.model_copy(update={"over": True})
        raise
    except ProviderError:
        status.intent = None
        raise
    status.intent = None


def await_asker(scope: GrantScope) -> None:
    """Leave a connection alone while somebody else may still be writing what they asked for.

    Raises:
        RetryLater: That may be so.
    """
    intent = scope.object.status.intent
    if intent is None or intent.over:
        return
    left = (intent.since + ASKER_GONE - scope.now).total_seconds()
    if left > 0:
        raise RetryLater(
            "AwaitingOutcome",
            f"{intent.operation.lower()} was asked for, and its answer may still be on its way",
            after=left,
        )


def renewal_due(grant: Grant, uid: int) -> datetime:
    """When a grant is renewed.

    Args:
        grant: The grant.
        uid: The connection's uid as a number, which spreads the moments.
    """
    share = uid % 1000 / 1000
    return grant.expires_at - RENEW_BEFORE - SPREAD * share


async def kept(write: Callable[[], Awaitable[bytes]]) -> bytes:
    """Write tokens that cannot be had again, through short outages of the database.

    Args:
        write: Writes them and answers with what is there then; may run again.
    """
    for pause in KEEP_PAUSES:
        try:
            return await write()
        except (DatabaseError, PoolTimeout, OSError):
            await asyncio.sleep(pause)
    return await write()
