"""The bodies of requests and answers about dev environments."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from api.models import Answer, Body
from crds.devenv import AutoStopMinutes, NetlifySpec, RlsMode, Service, Slug

SiloId = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AccountName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class NamedSilo(Body):
    """A dev environment: by its silo id, or by its name.

    Attributes:
        silo_id: Its silo id or its name.
        account: Whose it is; only for those who are no account's own.
    """

    silo_id: SiloId
    account: AccountName | None = None


class StartSilo(NamedSilo):
    """A dev environment that shall run; everything but its id is only there to make it.

    Attributes:
        client: Whose it is, as in every service's name.
        app: What it is for, as in every service's name.
        region: Fly's code of the region.
        studio: Whether it has the administrators' page.
        rls_mode: How far row-level security holds.
        auto_stop_minutes: After so many minutes without traffic it is stopped; 0 is never.
        netlify: The front end that is told its address and public key.
        preview_url: Where that front end is seen.
    """

    client: Slug | None = None
    app: Slug | None = None
    region: Annotated[str, Field(pattern=r"^[a-z]{3}$")] | None = None
    studio: bool | None = None
    rls_mode: RlsMode | None = None
    auto_stop_minutes: AutoStopMinutes = None
    netlify: NetlifySpec | None = None
    preview_url: Annotated[str, Field(max_length=300, pattern=r"^https?://[^\s]+$")] | None = None


class SiloWish(Answer):
    """What is wished for by then; GET /silo-status tells how it goes on."""

    silo_id: str
    name: str
    account: str
    overall_status: str
    power: Literal["Running", "Stopped"]
    region: str
    wake_at: datetime | None
    rotate_at: datetime | None
    made: bool


class ServiceView(Answer):
    """One service.

    `cpu_percent`, of all its processors, and `memory_mb` are null when the provider has not told
    for three minutes.
    """

    status: str
    machine_id: str | None
    cpu_percent: float | None
    memory_mb: float | None
    uptime_seconds: int | None


class CostView(Answer):
    """What it costs a month in USD."""

    always_on_usd: float
    auto_stop_usd: float


class RlsView(Answer):
    """Row-level security: what is wished for, what was applied, and what somebody changed."""

    mode: RlsMode
    applied: RlsMode | None
    checked_at: datetime | None
    drift: list[str]


class Missing(Answer):
    """What has to be there first, and the rule or what to do."""

    name: str
    rule: str


class SiloStatus(Answer):
    """Everything about a dev environment that is no secret."""

    silo_id: str
    name: str
    account: str
    overall_status: str
    reasons: list[str]
    region: str
    services: dict[Service, ServiceView]
    connection: Literal["None", "Partial", "Full", "Unsafe"]
    last_request_at: datetime | None
    inactivity_seconds: int | None
    auto_stop_minutes: int | None
    auto_stop_trigger_in_seconds: int | None
    last_started_at: datetime | None
    last_stopped_at: datetime | None
    stopped_for: Literal["wish", "idle", "account"] | None
    warm_up_seconds: float | None
    cost: CostView
    rls: RlsView
    missing: list[Missing]


class AppContext(Answer):
    """What connects to a dev environment, as far as it is this role's to know.

    What is not is not there.
    While it is unsafe, some service does not answer, and `reasons` says which.
    """

    silo_id: str
    status: str
    connection: Literal["Partial", "Full", "Unsafe"]
    started_at: datetime | None = None
    unsafe: bool = False
    reasons: list[str]
    supabase_url: str | None = None
    supabase_anon_key: Annotated[str | None, Field(repr=False)] = None
    supabase_service_role_key: Annotated[str | None, Field(repr=False)] = None
    db_password: Annotated[str | None, Field(repr=False)] = None
    db_connection_string: Annotated[str | None, Field(repr=False)] = None
    studio_url: str | None = None
    studio_user: str | None = None
    studio_password: Annotated[str | None, Field(repr=False)] = None
    silo_preview_url: str | None = None
