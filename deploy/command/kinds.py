"""Kinds as people write them, and objects as people find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from psycopg.rows import DictRow

from crds.errors import NotFoundError
from crds.meta import Key, Resource
from crds.registry import KINDS
from crds.store import Store
from crds.store.rows import COLUMNS, to_object
from deploy.command.frame import CommandError, usage

# By what else than its name people know an object.
ALIASES: Mapping[str, str] = {
    "Account": "spec->>'email'",
    "Workspace": "spec->>'subdomain'",
    "DevEnv": "spec->>'siloId'",
    "Vps": "status->'droplet'->>'ipv4'",
    "AuthorizedKey": "status->>'fingerprint'",
    "Machine": "coalesce(labels->>'invoker.dev/subdomain', spec->'service'->>'app')",
}


def words_of(kind: type[Resource]) -> list[str]:
    """Singular, plural and short names."""
    return [kind.KIND.lower(), kind.PLURAL, *kind.SHORT_NAMES]


def kind_of(word: str) -> type[Resource]:
    """The kind that a word names, in any case.

    Raises:
        CommandError: None; the known ones are listed.
    """
    for kind in KINDS.values():
        if word.lower() in words_of(kind):
            return kind
    known = ", ".join(sorted(kind.KIND.lower() for kind in KINDS.values()))
    raise usage(f"unknown kind {word!r}; known are {known}")


def complete_kind(incomplete: str) -> list[str]:
    """The kinds that a beginning may become."""
    words = [word for kind in KINDS.values() for word in words_of(kind)]
    return sorted(word for word in words if word.startswith(incomplete.lower()))


Kind = Annotated[
    str,
    typer.Argument(
        help="Singular, plural or short name, in any case.", autocompletion=complete_kind
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        help="Its name; also a workspace's or machine's subdomain, a dev environment's silo, "
        "a service's Fly app, a droplet's address, a key's fingerprint, or an account's e-mail "
        "address."
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Its account; needed only when several have that name."),
]


async def find_row(store: Store, kind: type[Resource], name: str, namespace: str | None) -> DictRow:
    """The row that a person means.

    Raises:
        NotFoundError: There is none.
        CommandError: There are several.
    """
    rows = await store.database.fetch(
        f"SELECT {COLUMNS} FROM objects WHERE kind = %s AND namespace = coalesce(%s, namespace) "  # noqa: S608 - from constants
        f"AND %s IN (name, {ALIASES.get(kind.KIND, 'name')}) ORDER BY namespace, name LIMIT 10",
        kind.KIND,
        namespace if kind.SCOPE == "Namespaced" else None,
        name,
    )
    # A name comes before what it is also known by.
    exact = [row for row in rows if row["name"] == name] or rows
    if not exact:
        raise NotFoundError(str(Key(kind.KIND, namespace or "", name)))
    if len(exact) > 1:
        where = ", ".join(row["namespace"] for row in exact)
        raise CommandError(f"several {kind.PLURAL} are called {name}; say which with -n: {where}")
    return exact[0]


async def find(store: Store, kind: type[Resource], name: str, namespace: str | None) -> Resource:
    """The object that a person means.

    Raises:
        NotFoundError: There is none.
        InvalidError: An edit by plain SQL left its spec broken.
        CommandError: There are several.
    """
    return to_object(kind, await find_row(store, kind, name, namespace))


def key_of(row: Mapping[str, Any]) -> Key:
    """A row's key."""
    return Key(row["kind"], row["namespace"], row["name"])
