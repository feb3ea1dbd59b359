"""From a bearer token to somebody: tokens of our own, Supabase's, and an OIDC issuer's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from api.access.identity import Identity
from api.tokens import MAX_TOKEN_LENGTH, Caller, InvalidTokenError, Verifier
from crds.access import PREFIX, ROLES, ROLES_OF_ACCOUNTS, AccessTokens, Role
from crds.account import Account
from crds.errors import InvalidError
from crds.store import Store

# How the subjects of Supabase's users begin.
USER: Final = "user"


class UnauthenticatedError(Exception):
    """Somebody proved nothing; the message says why, without the token."""


@dataclass(frozen=True, slots=True)
class OpenIdConnect:
    """An issuer of people's tokens beside Supabase.

    Attributes:
        verifier: Knows its keys.
        audience: What `aud` must hold.
        claim: The claim with a role, a group, or a list of them.
        roles: The role of each value of the claim; the names of roles stand for themselves.
    """

    verifier: Verifier
    audience: str
    claim: str
    roles: dict[str, Role] = field(default_factory=dict)

    def role_of(self, claims: dict[str, Any]) -> Role | None:
        """The strongest role that the claims give; none that needs an account, which they lack."""
        values = claims.get(self.claim)
        found = {
            self.roles.get(value, value)
            for value in (values if isinstance(values, list) else [values])
            if isinstance(value, str)
        }
        return next((r for r in ROLES if r in found and r not in ROLES_OF_ACCOUNTS), None)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Says who a token is.

    Attributes:
        store: The rows of tokens and accounts.
        tokens: Tokens of our own.
        supabase: Verifies the users' tokens.
        oidc: Another issuer, if there is one.
    """

    store: Store
    tokens: AccessTokens
    supabase: Verifier
    oidc: OpenIdConnect | None = None

    async def identify(self, token: str) -> Identity:
        """Who shows this token.

        Raises:
            UnauthenticatedError: It proves nothing.
            KeysUnavailableError: The issuer's keys are not to be had.
        """
        if token.startswith(f"{PREFIX}_"):
            found = await self.tokens.verify(token)
            if found is None:
                raise UnauthenticatedError("The token is unknown, expired or revoked.")
            return await self._unrevoked(Identity.of_token(found))
        if len(token) > MAX_TOKEN_LENGTH:
            raise UnauthenticatedError("The token is too long.")
        try:
            if self.oidc is not None and _issuer(token) == self.oidc.verifier.issuer:
                return await self._by_oidc(self.oidc, token)
            return await self._by_supabase(await self.supabase.verify(token))
        except InvalidTokenError as error:
            raise UnauthenticatedError(str(error)) from None

    async def still_valid(self, identity: Identity) -> bool:
        """Whether somebody who came in a while ago would be let in again."""
        if identity.expires_at is not None and identity.expires_at <= self.store.clock.now():
            return False
        if identity.token is not None and not await self.tokens.still_valid(identity.token):
            return False
        return not await self._is_revoked(identity)

    async def _unrevoked(self, identity: Identity) -> Identity:
        if await self._is_revoked(identity):
            raise UnauthenticatedError("The access token was revoked: sign in again.")
        return identity

    async def _is_revoked(self, identity: Identity) -> bool:
        """Whether the account has said since that what was issued until then is void."""
        user, _, name = identity.subject.partition(":")
        account = identity.account or (name if user == USER else "")
        if not account or identity.issued_at is None:
            return False
        try:
            found = await self.store.find(Account, account)
        except InvalidError:  # an edit by SQL broke it: nobody knows what it says of tokens
            return True
        since = found.spec.tokens_valid_after if found else None
        return since is not None and identity.issued_at < since

    async def _by_supabase(self, caller: Caller) -> Identity:
        if caller.anonymous:
            raise UnauthenticatedError("Anonymous users have no account here.")
        role: Role = next((r for r in ROLES if r == caller.invoker_role), "account-owner")
        identity = Identity(
            f"{USER}:{caller.account}",
            role,
            caller.account if role in ROLES_OF_ACCOUNTS else "",
            issued_at=caller.issued_at,
            expires_at=caller.expires_at,
        )
        return await self._unrevoked(identity)

    async def _by_oidc(self, oidc: OpenIdConnect, token: str) -> Identity:
        claims = await oidc.verifier.claims(
            token, audience=oidc.audience, require=("sub",), one_audience=False
        )
        role = oidc.role_of(claims)
        if role is None:
            raise UnauthenticatedError(f"The token's claim {oidc.claim!r} names no role of ours.")
        return Identity(
            f"oidc:{claims['sub']}",
            role,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )


def _issuer(token: str) -> object:
    """What a token says of its issuer, unproved: only to choose whose keys to try."""
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, TypeError):
        raise UnauthenticatedError("The token is not a JSON Web Token.") from None
