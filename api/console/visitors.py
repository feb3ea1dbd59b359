"""Who visits the console: sessions in a cookie, opened with a token, ended by sign-out."""

from __future__ import annotations

import hashlib
import hmac
import secrets as random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.access import Authenticator, Identity
from api.console.addresses import PATH
from crds.access import AccessToken, AccessTokens
from crds.account import Account
from crds.errors import InvalidError
from crds.store import Store

SESSION: Final = "invoker_console"
"""The cookie with the session's token."""
FORM: Final = "invoker_console_form"
"""The cookie to which the sign-in form is bound, before there is a session."""
THEME: Final = "invoker_console_theme"
LIFETIME: Final = timedelta(hours=12)
SESSION_NAME: Final = "Console session"
OPERATORS: Final = frozenset({"platform-admin", "support"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a session.

    Attributes:
        identity: Who they are, as they were when they signed in.
        token: What their cookie holds, from which the proofs of their forms are made.
    """

    identity: Identity
    token: str

    @property
    def proof(self) -> str:
        """What every form of this session carries, and no other site can know."""
        return proof_of(self.token)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, finds and ends sessions: tokens of ours whose parent is what was signed in with.

    Attributes:
        store: The rows of accounts.
        authenticator: Knows who a token is.
    """

    store: Store
    authenticator: Authenticator

    @property
    def _tokens(self) -> AccessTokens:
        return self.authenticator.tokens

    async def open(self, token: str) -> tuple[str, Identity]:
        """Open a session for whoever shows a token.

        Returns:
            The session's token for the cookie, None's worth of it for those who are no operators
            (an empty text), and who they are.

        Raises:
            UnauthenticatedError: The token proves nothing.
            KeysUnavailableError: The issuer's keys are not to be had.
        """
        identity = await self.authenticator.identify(token)
        if identity.role is None or identity.role not in OPERATORS:
            return "", identity
        session, _ = await self._tokens.issue(
            SESSION_NAME,
            identity.role,
            lifetime=LIFETIME,
            created_by=identity.subject,
            parent=identity.token,
        )
        return session, identity

    async def find(self, request: Request) -> Visitor | None:
        """The visitor whose session the request's cookie names, if it is alive."""
        cookie = request.cookies.get(SESSION)
        token = await self._tokens.verify(cookie) if cookie else None
        if cookie is None or token is None or token.name != SESSION_NAME:
            return None
        if not await self._still_welcome(token):
            return None
        # The audit shall name the person, not the cookie.
        return Visitor(Identity(token.created_by, token.role, token=token.id), cookie)

    async def alive(self, visitor: Visitor) -> bool:
        """Whether a session that was found a while ago would be found again."""
        token = await self._tokens.verify(visitor.token)
        return token is not None and await self._still_welcome(token)

    async def end(self, visitor: Visitor) -> None:
        """Revoke a session."""
        if visitor.identity.token is not None:
            await self._tokens.revoke(visitor.identity.token)

    async def _still_welcome(self, token: AccessToken) -> bool:
        """Whether the account that signed in with a token of its own is as it was.

        A session has no parent then, so what ends such tokens has to end it too.
        """
        scheme, _, account = token.created_by.partition(":")
        if scheme != "user":
            return True
        try:
            found = await self.store.find(Account, account)
        except InvalidError:
            return False
        if found is None:
            return True
        since = found.spec.tokens_valid_after
        return found.spec.state == "Active" and (since is None or token.created_at >= since)


def proof_of(cookie: str) -> str:
    """The proof that a form belongs to a cookie, by whose secret it cannot be told."""
    return hmac.new(cookie.encode(), b"invoker console form", hashlib.sha256).hexdigest()


def proves(given: str, cookie: str) -> bool:
    """Whether a form's proof is this cookie's, in constant time."""
    return hmac.compare_digest(given.encode(), proof_of(cookie).encode())


def form_cookie(request: Request) -> str:
    """What the sign-in form is bound to: the browser's, or a new one."""
    return request.cookies.get(FORM) or random.token_urlsafe(32)


def set_cookie(
    request: Request,
    response: Response,
    name: str,
    value: str,
    lifetime: timedelta | None = None,
) -> None:
    """Give the browser a cookie that no script and no other site can use.

    Args:
        request: Tells whether the browser came by https.
        response: The answer that carries it.
        name: Its name.
        value: Its value; empty to take it away.
        lifetime: How long it is kept; until the browser ends when left out.
    """
    response.set_cookie(
        name,
        value,
        max_age=0 if not value else None if lifetime is None else int(lifetime.total_seconds()),
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
