"""Our kinds as the CustomResourceDefinitions that a cluster would have of them, to be read only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID, uuid5

from api.kubernetes import discovery
from api.kubernetes.common_schemas import anything, kind_schema
from api.kubernetes.feed import Feed
from api.kubernetes.rows import served_kind
from api.kubernetes.served import Batch, Json, ReadOnly, Served
from crds.meta import Column, Resource
from crds.registry import KINDS

IDENTITIES: Final = UUID("f3c5f5b6-8b1e-4a35-8a56-3c2f8f1d9a10")
AGE: Final = Column("Age", ".metadata.creationTimestamp", "date", description="Since it was made.")

SERVED: Final = Served(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    verbs=frozenset({"get", "list", "watch"}),
    schema=kind_schema(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "What a kind is: its names, its schema, its columns.",
        spec=anything("The names, and the version with its schema."),
        status=anything("That the names are accepted and the kind is served."),
    ),
    columns=(
        Column("Group", ".spec.group"),
        Column("Kind", ".spec.names.kind"),
        Column("Scope", ".spec.scope"),
    ),
    short_names=("crd", "crds"),
)


def definition_of(kind: type[Resource]) -> Json:
    """A kind as a CustomResourceDefinition, such as a cluster is given.

    The subresource `scale` is left out: a cluster would want a field with a number behind it.
    """
    served = served_kind(kind)
    version: Json = {
        "name": served.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": served.schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(each) for each in (*served.columns, AGE)],
        "selectableFields": [{"jsonPath": f".{path}"} for path in served.selectable],
    }
    return {
        "apiVersion": SERVED.api_version,
        "kind": SERVED.kind,
        "metadata": {"name": served.qualified},
        "spec": {
            "group": served.group,
            "scope": kind.SCOPE,
            "names": _names(served),
            "conversion": {"strategy": "None"},
            "versions": [{name: part for name, part in version.items() if part != []}],
        },
    }


class DefinitionSource(ReadOnly):
    """The definitions of our kinds, for clients that look for kinds among them.

    They change with the program only.

    Args:
        feed: Tells how far the log has been read, which is all that a watch of them can tell.
    """

    served = SERVED

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        every = sorted((_established(kind) for kind in KINDS.values()), key=_name)
        self._definitions = {_name(each): each for each in every}

    async def snapshot(
        self,
        namespace: str | None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> tuple[Sequence[Json], int]:
        """The definitions in the order of their names, at the newest version."""
        del namespace  # they are in none
        found = [
            definition
            for each, definition in self._definitions.items()
            if name in (None, each) and (after is None or each > after[1])
        ]
        return found[:limit], self._feed.newest

    def changes(self, since: int) -> AsyncIterator[Batch]:
        """No change, ever."""
        return self._feed.follow((), since)


def _name(definition: Json) -> str:
    name: str = definition["metadata"]["name"]
    return name


def _names(served: Served) -> Json:
    short = {"shortNames": list(served.short_names)} if served.short_names else {}
    return {
        "kind": served.kind,
        "listKind": f"{served.kind}List",
        "plural": served.plural,
        "singular": served.singular,
        **short,
        "categories": discovery.categories(served),
    }


def _column(column: Column) -> Json:
    form = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "priority": column.priority,
        "description": column.description,
    }
    return {name: value for name, value in form.items() if value}


def _established(kind: type[Resource]) -> Json:
    """A definition as the door shows it: accepted and served."""
    form = definition_of(kind)
    conditions = [
        {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
        {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
    ]
    return {
        **form,
        "metadata": {
            **form["metadata"],
            "uid": str(uuid5(IDENTITIES, _name(form))),
            "resourceVersion": "1",
            "generation": 1,
        },
        "status": {
            "acceptedNames": form["spec"]["names"],
            "conditions": conditions,
            "storedVersions": [kind_version["name"] for kind_version in form["spec"]["versions"]],
        },
    }
