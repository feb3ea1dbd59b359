"""Whose account a call goes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BEARER = "Bearer "

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Connection:
    """A user's grant on one DigitalOcean team, as one call needs it.

    Attributes:
        name: What the team's limits are counted under and the log names it by, for example
            the uid of the object that keeps the grant; never a secret.
        token: The access token of the moment; no representation shows it.
    """

    name: str
    token: str = field(repr=False)

    def headers(self) -> Mapping[str, str]:
        """The header that authorises a request; its representation is empty."""
        return Hidden(authorization=f"{BEARER}{self.token}")


class Hidden(dict[str, V], Generic[V]):
    """Headers or a body that do not show themselves in a traceback or a log line."""

    def __repr__(self) -> str:
        return "{…}"


def token_of(headers: Mapping[str, str] | None) -> str:
    """Return the token in a request's headers, empty without one: what must not be in words."""
    return (headers or {}).get("authorization", "").removeprefix(BEARER)
