"""One object: read as it is, valid or not, and written in the visitor's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from api.access import may_change
from api.console.addresses import object_path
from api.console.masking import masked
from api.console.web import Visit, forbidden, missing
from api.kubernetes.objects import of_row
from api.rows import stamp
from crds.meta import Key, Resource
from crds.store import Store
from crds.store.rows import to_json

Json = dict[str, Any]
SUBDOMAIN: Final = "invoker.dev/subdomain"


@dataclass(frozen=True)
class Found:
    """An object as its row is.

    Attributes:
        kind: Its kind.
        row: The row.
    """

    kind: type[Resource]
    row: Mapping[str, Any]

    @cached_property
    def shown(self) -> Json:
        """Its JSON for pages: without managed fields, and without what looks like a secret."""
        data = of_row(self.kind.KIND, self.row)
        data["metadata"].pop("managedFields", None)
        clean: Json = masked(data)
        return clean

    @cached_property
    def stored(self) -> Json:
        """Its JSON as it is, for writing."""
        return to_json(self.row)

    @property
    def uid(self) -> UUID:
        """Its uid."""
        uid: UUID = self.row["uid"]
        return uid

    @property
    def namespace(self) -> str:
        """Its namespace; empty for cluster kinds."""
        return str(self.row["namespace"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.row["name"])

    @property
    def version(self) -> int:
        """Its resourceVersion."""
        return int(self.row["resource_version"])

    @property
    def deleting(self) -> bool:
        """Whether its deletion was asked for."""
        return self.row["deletion_timestamp"] is not None

    @property
    def account(self) -> str:
        """The account it belongs to; empty for what belongs to none."""
        own = self.name if self.kind.KIND == "Account" else ""
        account = self.namespace or self.row["spec"].get("account") or own
        return account if isinstance(account, str) else ""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        annotations: Mapping[str, str] = self.row["annotations"]
        return annotations

    @property
    def title(self) -> str:
        """By what people know it: its subdomain or e-mail address, or else its name."""
        return title_of(self.shown)

    @property
    def phase(self) -> str:
        """Its phase."""
        return str(self.row["status"].get("phase") or "Pending")

    def path(self, *rest: str) -> str:
        """The address of its page, or of one below it."""
        return object_path(self.kind.PLURAL, self.namespace, self.name, *rest)


def title_of(data: Mapping[str, Any]) -> str:
    """By what people know an object: its subdomain or e-mail address, or else its name."""
    labels = data["metadata"].get("labels", {})
    known = (*(data["spec"].get(part) for part in ("subdomain", "email")), labels.get(SUBDOMAIN))
    return next(
        (each for each in known if isinstance(each, str) and each), data["metadata"]["name"]
    )


async def find(store: Store, kind: type[Resource], namespace: str, name: str) -> Found | None:
    """Read an object, or None."""
    if "\0" in namespace + name:
        return None
    row = await store.find_row(Key(kind.KIND, namespace, name))
    return None if row is None else Found(kind, row)


async def named(visit: Visit, verb: str = "get") -> Found:
    """The object that the address names.

    Raises:
        Refusal: There is none, or the visitor may not.
    """
    kind = visit.kind()
    namespace, name = visit.key()
    visit.check(verb, kind, namespace, name)
    found = await find(visit.desk.store, kind, namespace, name)
    if found is None:
        raise missing()
    return found


def not_allowed(visit: Visit, found: Found, wished: Json) -> list[str]:
    """The fields of a change that are not the visitor's to change."""
    return may_change(visit.visitor.identity, found.kind, found.stored, wished)


async def write(visit: Visit, found: Found, wished: Json) -> None:
    """Write an object over the version that was read.

    Args:
        visit: Who writes.
        found: What was read.
        wished: Its JSON as it shall be.

    Raises:
        Refusal: The visitor's role does not allow it.
        InvalidError: It breaks a rule.
        ConflictError: Somebody else wrote meanwhile.
        NotFoundError: It is gone.
    """
    visit.check("update", found.kind, found.namespace, found.name)
    if fields := not_allowed(visit, found, wished):
        raise forbidden(f"a change of {', '.join(fields)}")
    resource = found.kind.parse(wished)
    stamp(resource.metadata)
    await visit.desk.store.acting_as(visit.actor).update(resource)
