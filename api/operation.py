"""What is said of one operation: the routes and the OpenAPI document are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from api import models

Handler = Callable[[Request], Awaitable[Response]]
Credential = Literal["user", "machine", "edge", "agent", "browser", "hub"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    Attributes:
        credential: Whose token it takes; None: nobody's.
        body: What it reads.
        query: What it reads of the address, behind the question mark.
        body_optional: Whether no body at all will do.
        answers: What it answers when all is well, by status; None: an answer without JSON.
        problems: The statuses of its refusals, beside those that every operation has.
    """

    method: str
    path: str
    handler: Handler
    credential: Credential | None = None
    body: type[models.Body] | None = None
    body_optional: bool = False
    query: type[models.Body] | None = None
    answers: dict[int, type[models.Answer] | None] = field(default_factory=dict)
    problems: tuple[int, ...] = ()

    @property
    def wishes(self) -> bool:
        """Whether it takes an `Idempotency-Key`."""
        return HTTPStatus.ACCEPTED in self.answers

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (self.handler.__doc__ or "").partition("\n")[0]
