"""Who may do what: codes, access tokens, and refresh tokens that are good for one use."""

import base64
import hashlib
import hmac
from typing import Any

from deploy.local.simulators.digitalocean.core import CloudCore
from deploy.local.simulators.digitalocean.state import (
    CODE_SECONDS,
    TOKEN_SECONDS,
    Code,
    DigitalOceanError,
    Grant,
    OAuthError,
    Team,
)
from deploy.local.simulators.digitalocean.views import name_of


class Grants(CloudCore):
    """The authorisation server's memory."""

    def authenticate(self, authorization: str, *, writes: bool) -> Team:
        """Return whose token it is.

        Raises:
            DigitalOceanError: 401 for one that is not in force, 403 for a write without scope.
        """
        token = authorization.removeprefix("Bearer ").strip()
        grant = next((g for g in self.grants.values() if g.access == token), None)
        if grant is None or not token or grant.expires_at <= self.now():
            raise DigitalOceanError(401, "Unauthorized", "Unable to authenticate you")
        if writes and "write" not in grant.scope.split():
            text = "You are not authorized to perform this operation"
            raise DigitalOceanError(403, "Forbidden", text)
        return self.teams[grant.team]

    def accepts(self, client_id: str, redirect_uri: str) -> bool:
        """Return whether an application of ours asks to be answered at an address of its own."""
        return client_id == self.app.client_id and redirect_uri in self.app.redirect_uris

    def consent(self, email: str, scope: str, redirect_uri: str, challenge: str = "") -> str:
        """Return the code of a person's consent.

        Args:
            email: Whose it is.
            scope: What is granted.
            redirect_uri: Where the code goes.
            challenge: The SHA-256 that the exchange has to be proved with (RFC 7636).
        """
        code = Code(
            code=self.ids.hex(64),
            team=self.team_of(email).uuid,
            scope=scope,
            client_id=self.app.client_id,
            redirect_uri=redirect_uri,
            expires_at=self.now() + CODE_SECONDS,
            challenge=challenge,
        )
        self.codes[code.code] = code
        self.changed()
        return code.code

    def grant(self, email: str, scope: str = "read write") -> Grant:
        """Return a grant of a person's, without the pages; for tests."""
        return self._new(self.team_of(email), scope)

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer a request for a token.

        Raises:
            OAuthError: `invalid_client`, `invalid_grant` or `unsupported_grant_type`.
        """
        kind = form.get("grant_type")
        if kind == "refresh_token":
            return self._view(self._refreshed(form))
        if kind != "authorization_code":
            raise OAuthError(400, "unsupported_grant_type", "The grant type is not supported.")
        self._check_client(form)
        return self._view(self._exchanged(form))

    def revoke(self, token: str, authorization: str) -> dict[str, Any]:
        """End the grant that an access token belongs to.

        Raises:
            OAuthError: 401 for a token that is not in force.
        """
        bearer = authorization.removeprefix("Bearer ").strip()
        grant = next((g for g in self.grants.values() if g.access == token), None)
        if grant is None or bearer != token:
            raise OAuthError(401, "invalid_token", "The access token is invalid")
        self.end_grant(grant)
        return {}

    def end_grant(self, grant: Grant) -> None:
        """End a grant, as its owner can in the control panel."""
        self.grants.pop(grant.id, None)
        self.changed()

    def _check_client(self, form: dict[str, str]) -> None:
        known = form.get("client_id") == self.app.client_id
        secret = form.get("client_secret", "").encode()
        if not known or not hmac.compare_digest(secret, self.app.client_secret.encode()):
            raise OAuthError(401, "invalid_client", "Client authentication failed.")

    def _exchanged(self, form: dict[str, str]) -> Grant:
        code = self.codes.pop(form.get("code", ""), None)
        if (
            code is None
            or code.expires_at <= self.now()
            or code.redirect_uri != form.get("redirect_uri")
            or not _proves(form.get("code_verifier", ""), code.challenge)
        ):
            raise _invalid_grant()
        return self._new(self.teams[code.team], code.scope)

    def _refreshed(self, form: dict[str, str]) -> Grant:
        asked = form.get("refresh_token", "")
        grant = next((g for g in self.grants.values() if g.refresh == asked), None)
        if grant is None or not asked:
            raise _invalid_grant()
        if "client_id" in form:
            self._check_client(form)
        self._renew(grant)
        return grant

    def _new(self, team: Team, scope: str) -> Grant:
        grant = Grant(self.ids.uuid(), team.uuid, scope, self.app.client_id, "", "", 0)
        self.grants[grant.id] = grant
        self._renew(grant)
        return grant

    def _renew(self, grant: Grant) -> None:
        """Give new tokens; the former ones die with it."""
        grant.access = f"doo_v1_{self.ids.hex(64)}"
        grant.refresh = f"dor_v1_{self.ids.hex(64)}"
        grant.expires_at = self.now() + TOKEN_SECONDS
        self.changed()

    def _view(self, grant: Grant) -> dict[str, Any]:
        team = self.teams[grant.team]
        return {
            "access_token": grant.access,
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
            "refresh_token": grant.refresh,
            "scope": grant.scope,
            "info": {
                "name": name_of(team),
                "email": team.email,
                "uuid": team.user_uuid,
                "team_uuid": team.uuid,
                "team_name": "My Team",
            },
        }


def _proves(verifier: str, challenge: str) -> bool:
    """Return whether a challenge was made of this verifier; without one, nothing is proved."""
    if not challenge:
        return not verifier
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    return hmac.compare_digest(digest.rstrip(b"="), challenge.encode())


def _invalid_grant() -> OAuthError:
    text = (
        "The provided authorization grant is invalid, expired, revoked, does not match the "
        "redirection URI used in the authorization request, or was issued to another client."
    )
    return OAuthError(400, "invalid_grant", text)
