"""The bodies of requests and answers; the OpenAPI document is written from them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from crds.meta import ConditionStatus, RetryKind
from crds.names import MAX_LENGTH, MIN_LENGTH, SUBDOMAIN, subdomain_problem
from crds.route import RouteEntry, RouteState

EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
# bcrypt, which Supabase uses, reads no more than 72 bytes.
MAX_PASSWORD_BYTES = 72

VmState = Literal[
    "none",
    "creating",
    "starting",
    "running",
    "asleep",
    "stopping",
    "stopped",
    "crashed",
    "error",
    "deleting",
]


def _email(value: str) -> str:
    if not value.isprintable() or not EMAIL.fullmatch(value):
        raise ValueError("must be an e-mail address")
    return value.lower()


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not hold control characters")
    return value.strip()


def _person(value: str) -> str:
    if not (name := _printable(value)):
        raise ValueError("must not be blank")
    return name


def _password(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold NUL")
    if len(value.encode()) > MAX_PASSWORD_BYTES:
        raise ValueError(f"must have at most {MAX_PASSWORD_BYTES} bytes")
    return value


def _subdomain(value: str) -> str:
    if problem := subdomain_problem(value):
        raise ValueError(problem)
    return value


Email = Annotated[
    str,
    Field(min_length=3, max_length=254, json_schema_extra={"format": "email"}),
    AfterValidator(_email),
]
Password = Annotated[str, Field(min_length=6, max_length=72), AfterValidator(_password)]
FirstName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_person)]
LastName = Annotated[str, Field(max_length=100), AfterValidator(_printable)]
Token = Annotated[str, Field(min_length=1, max_length=16384), AfterValidator(_printable)]
Subdomain = Annotated[
    str,
    AfterValidator(_subdomain),
    Field(
        json_schema_extra={
            "minLength": MIN_LENGTH,
            "maxLength": MAX_LENGTH,
            "pattern": f"^{SUBDOMAIN.pattern}$",
        }
    ),
]


class Body(BaseModel):
    """Base of request bodies: nothing is coerced, nothing unknown is overlooked."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Register(Body):
    """A new user."""

    email: Email
    password: Password
    first_name: FirstName
    last_name: LastName = ""


class Login(Body):
    """A user who comes back."""

    email: Email
    # Whatever a password once was allowed to be: only Supabase judges it here.
    password: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable)]


class Refresh(Body):
    """A session to be prolonged."""

    refresh_token: Token


class Logout(Body):
    """Which sessions end; `global` also refuses access tokens that are still valid."""

    scope: Literal["local", "global"] = "local"


class Start(Body):
    """A machine that should run; a subdomain other than the present one renames."""

    subdomain: Subdomain | None = None


class Rename(Body):
    """Another subdomain."""

    subdomain: Subdomain


class Heartbeat(Body):
    """What the agent in a machine says of it."""

    state: Literal["running", "idle", "error"]
    version: Annotated[str, Field(max_length=100), AfterValidator(_printable)]
    uptime_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    last_activity_at: AwareDatetime | None = None


class Answer(BaseModel):
    """Base of answers."""


class User(Answer):
    """Who signed up."""

    id: str | None
    email: str
    first_name: str
    last_name: str


class Session(Answer):
    """A user with tokens.

    The tokens, `user.id` and `subdomain` are null when Supabase wants the e-mail address confirmed
    first; `reason` then says so.
    """

    user: User
    subdomain: str | None
    access_token: str | None
    refresh_token: str | None
    expires_in: int | None
    reason: Literal["email_confirmation_required"] | None = None


class VmWish(Answer):
    """What a wish led to so far; GET /api/vm/status tells how it goes on."""

    status: VmState
    url: str | None
    subdomain: str | None


class Condition(Answer):
    """One observable fact."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: datetime


class Retry(Answer):
    """Why it has not converged, and what happens next."""

    kind: RetryKind
    reason: str
    message: str
    attempt: int
    next_at: datetime | None
    provider: str | None
    request_id: str | None


class VmStatus(VmWish):
    """Everything about the user's machine."""

    conditions: list[Condition]
    retry: Retry | None


class MachineView(Answer):
    """A line of the machine registry."""

    id: UUID
    user_id: str
    fly_machine_id: str | None
    status: VmState
    subdomain: str | None
    public_url: str | None
    region: str
    created_at: datetime
    last_seen_at: datetime
    last_heartbeat_at: datetime | None


class MachineList(Answer):
    """The user's machines."""

    machines: list[MachineView]


class Routing(Answer):
    """Where a subdomain leads; `entry` is for the edge only."""

    subdomain: str
    status: RouteState
    url: str
    entry: RouteEntry | None = None


class HeartbeatAnswer(Answer):
    """What the agent should know."""

    subdomain: str | None
    url: str | None
    next_heartbeat_seconds: int


class Health(Answer):
    """The process is up."""

    status: Literal["ok"] = "ok"


class Ready(Answer):
    """Whether requests can be served, check by check."""

    status: Literal["ready", "unready"]
    checks: dict[str, str]


class FieldError(Answer):
    """One field that breaks a rule."""

    field: str
    rule: str


class ProblemBody(Answer):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = None
    suggestions: list[str] | None = None


class Document(Answer):
    """Any JSON object."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    paths: dict[str, Any]
