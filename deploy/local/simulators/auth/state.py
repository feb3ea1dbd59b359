"""What Supabase Auth remembers."""

from dataclasses import dataclass, field
from typing import Any

from deploy.local.simulators.clock import rfc3339


class AuthError(Exception):
    """A refusal.

    Attributes:
        status: HTTP status.
        code: the stable error code, also sent as `x-sb-error-code`.
        oauth: the OAuth error name where this answer has the OAuth shape.
        more: further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        oauth: str = "",
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.oauth = oauth
        self.more = more or {}

    def body(self, *, modern: bool) -> dict[str, Any]:
        """Return the body: OAuth's shape, the dated API's (`modern`), or the old one."""
        if self.oauth:
            return {"error": self.oauth, "error_description": str(self)}
        if modern:
            return {"code": self.code, "message": str(self), **self.more}
        return {"code": self.status, "error_code": self.code, "msg": str(self), **self.more}


@dataclass(slots=True)
class User:
    """A user; `password` is salt and scrypt hash in hex."""

    id: str
    email: str
    password: str
    created_at: float
    updated_at: float
    confirmed_at: float | None = None
    last_sign_in_at: float | None = None
    banned_until: float | None = None
    app_metadata: dict[str, Any] = field(default_factory=dict)
    user_metadata: dict[str, Any] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        """Return the user as the API shows it."""
        times = {
            "email_confirmed_at": self.confirmed_at,
            "confirmed_at": self.confirmed_at,
            "last_sign_in_at": self.last_sign_in_at,
            "banned_until": self.banned_until,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return {
            "id": self.id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": self.email,
            "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"], **self.app_metadata},
            "user_metadata": self.user_metadata,
            "identities": [self._identity()],
            "is_anonymous": False,
            **{name: rfc3339(at) for name, at in times.items() if at is not None},
        }

    def _identity(self) -> dict[str, Any]:
        data = {"email": self.email, "sub": self.id}
        return {
            "id": self.id,
            "identity_id": self.id,
            "user_id": self.id,
            "identity_data": data,
            "provider": "email",
            "email": self.email,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
        }


@dataclass(slots=True)
class Session:
    """A sign-in with its chain of refresh tokens; the last one is in force."""

    id: str
    user: str
    created_at: float
    tokens: list[str] = field(default_factory=list)
    refreshed_at: float = 0
