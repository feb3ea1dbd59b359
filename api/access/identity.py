"""Who somebody is, however they proved it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crds.access import AccessToken, Role
from crds.store import Actor


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who came in.

    Attributes:
        subject: `token:<id>:<name>`, `user:<account>`, `oidc:<subject>`.
        role: What they may do; None: nothing.
        account: For the roles of accounts, the one namespace that is open to them.
        token: The id of the token of ours that they showed.
        issued_at: When their proof was made; None for one that nobody revokes by its age.
        expires_at: When it ends.
    """

    subject: str
    role: Role | None
    account: str = ""
    token: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups as Kubernetes words them."""
        if self.role is None:
            return ("system:unauthenticated",)
        return (f"invoker:{self.role}", "system:authenticated")

    def actor(self, via: str, request: str) -> Actor:
        """Who they are to the audit, for a request through a door."""
        return Actor(self.subject, self.role or "none", via, request)

    @classmethod
    def of_token(cls, token: AccessToken) -> Identity:
        """The bearer of a token of ours."""
        return cls(
            f"token:{token.id}:{token.name}",
            token.role,
            token.account,
            token.id,
            token.created_at,
            token.expires_at,
        )


ANONYMOUS = Identity("system:anonymous", None)
