"""What is asked and answered about a connection to a cloud."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from api.models import Answer, Body

ConnectionState = Literal[
    "none", "connecting", "connected", "refreshing", "revoked", "disconnecting", "disconnected"
]


class Brought(Body):
    """What a browser brings back from the provider, which may add to it as it likes."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)

    state: Annotated[str, Field(min_length=1, max_length=200)]
    code: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    error: Annotated[str, Field(max_length=100)] | None = None


class Connection(Answer):
    """A user's connection; `message` says what they can do about it."""

    state: ConnectionState
    team: str | None = None
    scopes: list[str] = Field(default_factory=list)
    granted_at: datetime | None = None
    expires_at: datetime | None = None
    message: str
