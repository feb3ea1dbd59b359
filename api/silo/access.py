"""Which agent may do what, and is told what: two tables, from which the door decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from api.access import Identity
from api.problems import Problem
from crds.access import Role
from crds.connection import ConnectionInfo
from crds.devenv import Connection, DevEnv

Action = Literal["start", "make", "stop", "rotate", "status"]
_KEEPERS: Final = frozenset[Role]({"platform-admin", "account-owner", "devops"})
MAY: Final[Mapping[Action, frozenset[Role]]] = {
    "start": _KEEPERS | {"dev-worker"},
    "make": _KEEPERS,
    "stop": _KEEPERS,
    "rotate": _KEEPERS,
    "status": _KEEPERS | {"support", "security-auditor", "dev-orchestrator", "dev-worker"},
}

Field = Literal[
    "supabase_url",
    "supabase_anon_key",
    "supabase_service_role_key",
    "db_password",
    "db_connection_string",
    "db_connection_string (masked)",
    "studio_url",
    "studio_user",
    "studio_password",
    "silo_preview_url",
]
MASKED: Final = "db_connection_string (masked)"
_ADDRESSES: Final[tuple[Field, ...]] = ("supabase_url", "studio_url", "silo_preview_url")
_FRONT_END: Final[tuple[Field, ...]] = ("supabase_url", "supabase_anon_key", "silo_preview_url")
_EVERYTHING: Final[tuple[Field, ...]] = (
    "supabase_url",
    "supabase_anon_key",
    "supabase_service_role_key",
    "db_password",
    "db_connection_string",
    "studio_url",
    "studio_user",
    "studio_password",
    "silo_preview_url",
)
# Who is told what while users are told nothing, addresses, everything, everything as unsafe.
# What does not stand here nobody is told.
MATRIX: Final[Mapping[Role, Mapping[Connection, tuple[Field, ...]]]] = {
    "platform-admin": {"Full": _FRONT_END},
    "support": {"Full": _FRONT_END},
    "account-owner": {"Full": _FRONT_END},
    "devops": {"Partial": _ADDRESSES, "Full": _EVERYTHING, "Unsafe": _EVERYTHING},
    "security-auditor": {"Full": (MASKED,), "Unsafe": (MASKED,)},
    "dev-orchestrator": {"Full": _FRONT_END},
    "dev-worker": {"Full": _FRONT_END},
    "clientele": {},
    "metrics": {},
}


def check_may(identity: Identity, action: Action) -> None:
    """Refuse an action that is not somebody's.

    Raises:
        Problem: Saying whose it is.
    """
    if identity.role not in MAY[action]:
        raise not_allowed(identity, MAY[action])


def readers() -> frozenset[Role]:
    """The roles that are told anything at any time."""
    return frozenset(role for role, told in MATRIX.items() if told)


def not_allowed(identity: Identity, roles: frozenset[Role]) -> Problem:
    """403."""
    those = ", ".join(role for role in MATRIX if role in roles)
    detail = f"The role {identity.role} may not do this; those that may are {those}."
    return Problem(403, "role-not-allowed", detail)


def connection_of(devenv: DevEnv) -> Connection:
    """What users are told at present: nothing from the moment on when it shall not run."""
    if devenv.deleting or devenv.spec.power == "Stopped":
        return "None"
    return devenv.status.connection


def told(role: Role | None, connection: Connection, info: ConnectionInfo) -> dict[Field, str]:
    """What a role is told, field by field; what there is none of is left out."""
    fields = MATRIX[role].get(connection, ()) if role else ()
    values = {field: _value(info, field) for field in fields}
    return {field: value for field, value in values.items() if value is not None}


def _value(info: ConnectionInfo, field: Field) -> str | None:
    if field == MASKED:
        whole = info.db_connection_string
        return None if whole is None else masked(whole)
    value: str | None = getattr(info, field)
    return value


def masked(connection_string: str) -> str:
    """A connection string with stars for the password; nothing that could hold it is kept.

    A password may hold any sign: everything between the user's name and the last `@` goes.
    """
    scheme, mark, rest = connection_string.partition("://")
    credentials, _, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}{mark}{user}:***@{place.partition('?')[0]}"
