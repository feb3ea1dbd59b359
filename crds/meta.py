"""Object metadata, conditions, owner references: what every kind has in common.

Field meanings follow the Kubernetes API conventions; JSON is camelCase, Python snake_case.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from crds.errors import Cause, InvalidError

GROUP = "invoker.dev"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"

ConditionStatus = Literal["True", "False", "Unknown"]
Scope = Literal["Namespaced", "Cluster"]


class Column(NamedTuple):
    """What a table of objects shows of each.

    Attributes:
        name: The heading.
        path: Where it is, as a JSONPath of the subset that CRDs take: `.status.phase`.
        type: OpenAPI's type; `date` is shown as an age.
        priority: 0 for every table, 1 for wide ones.
        description: What it means.
    """

    name: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    priority: int = 0
    description: str = ""


READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
REASON = Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', priority=1)


class Key(NamedTuple):
    """The identity of an object while it lives; `namespace` is empty for cluster kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Kind/namespace/name, without the empty namespace of a cluster kind."""
        return "/".join(part for part in self if part)


class Model(BaseModel):
    """Base of all parts of an object: strict about unknown fields, camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", validate_assignment=True
    )

    def to_json(self) -> dict[str, Any]:
        """The JSON form, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class OwnerReference(Model):
    """Who an object belongs to; dependents go when their controller is gone."""

    api_version: str = API_VERSION
    kind: str
    name: str
    uid: UUID
    controller: bool = True
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """What the store keeps about every object.

    `resource_version` is 0 for an object that has never been stored.
    """

    name: str
    namespace: str = ""
    uid: UUID | None = None
    resource_version: int = 0
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[OwnerReference] = Field(default_factory=list)
    managed_fields: list[dict[str, Any]] = Field(default_factory=list)


class Observed(Model):
    """Base of all parts of a status.

    A status is rebuilt from observation: a newer or older writer's fields must not stop a read.
    """

    model_config = ConfigDict(extra="ignore")


class Condition(Observed):
    """One observable fact about an object, as the Kubernetes conventions define it.

    Attributes:
        type: What the fact is about, CamelCase, such as `Ready`.
        status: Whether it holds.
        reason: Why, in one CamelCase word for programs.
        message: Why, in a sentence for people.
        last_transition_time: When the status last moved.
        observed_generation: The generation of the spec that it was observed for.
    """

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int = 0


RetryKind = Literal["Retry", "Blocked", "Terminal", "Conflict"]


class Retry(Observed):
    """Why an object has not converged and what happens next, so that nobody has to read logs.

    Attributes:
        kind: What happens next: tried again at a time, or once something changes, or never.
        reason: What went wrong, in one CamelCase word for programs.
        message: The same in a sentence for people, with the provider's words.
        attempt: How many attempts in a row have failed.
        next_at: When the next attempt is due.
        provider: The provider that refused or failed.
        request_id: The provider's id of the request, for its support.
    """

    kind: RetryKind
    reason: str
    message: str = ""
    attempt: int = 0
    next_at: datetime | None = None
    provider: str | None = None
    request_id: str | None = None


class Status(Observed):
    """What every kind's status has.

    Attributes:
        observed_generation: The newest generation of the spec that was acted upon.
        phase: One word that sums it up for people; programs read the conditions.
        conditions: The facts that were observed, one a type.
        retry: Why it has not converged; absent when it has, or is about to.
    """

    observed_generation: int = 0
    phase: str = "Pending"
    conditions: list[Condition] = Field(default_factory=list)
    retry: Retry | None = None

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, if there is one."""
        return next((c for c in self.conditions if c.type == type_), None)

    def is_true(self, type_: str) -> bool:
        """Whether the condition of this type is there and True."""
        found = self.condition(type_)
        return found is not None and found.status == "True"

    def set_condition(
        self,
        type_: str,
        status: bool | ConditionStatus,  # noqa: FBT001 - a condition's value, not a switch
        reason: str,
        message: str = "",
        *,
        now: datetime,
        generation: int,
    ) -> bool:
        """Set a condition; `lastTransitionTime` moves only when the status does.

        Args:
            type_: The condition's type, CamelCase.
            status: Its value; a bool stands for True/False.
            reason: One CamelCase word for programs.
            message: A sentence for people.
            now: The loop's wall time.
            generation: The generation of the spec that this was observed for.

        Returns:
            Whether the status moved.
        """
        value: ConditionStatus = (
            status if isinstance(status, str) else ("True" if status else "False")
        )
        old = self.condition(type_)
        moved = old is None or old.status != value
        new = Condition(
            type=type_,
            status=value,
            reason=reason,
            message=message,
            last_transition_time=now if moved or old is None else old.last_transition_time,
            observed_generation=generation,
        )
        self.conditions = sorted(
            [*(c for c in self.conditions if c.type != type_), new], key=lambda c: c.type
        )
        return moved

    def drop_condition(self, type_: str) -> None:
        """Remove a condition that no longer says anything."""
        self.conditions = [c for c in self.conditions if c.type != type_]


class Resource(Model):
    """An object: metadata, desired state, observed state.

    A kind is a subclass that sets the class variables and narrows `spec` and `status`.
    """

    KIND: ClassVar[str]
    PLURAL: ClassVar[str]
    SCOPE: ClassVar[Scope] = "Namespaced"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ()
    # What tables show beside name and age, and by what lists can be filtered beside the name.
    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    SELECTABLE: ClassVar[tuple[str, ...]] = ()
    # The spec's fields that an account's owner, and support, may change.
    OWNER_FIELDS: ClassVar[frozenset[str]] = frozenset()
    SUPPORT_FIELDS: ClassVar[frozenset[str]] = frozenset()

    metadata: ObjectMeta
    spec: Model
    status: Status

    @property
    def key(self) -> Key:
        """The object's key."""
        return Key(self.KIND, self.metadata.namespace, self.metadata.name)

    @property
    def uid(self) -> UUID:
        """The stored object's uid.

        Raises:
            ValueError: The object was never stored.
        """
        if self.metadata.uid is None:
            raise ValueError(f"{self.key} was never stored")
        return self.metadata.uid

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for."""
        return self.metadata.deletion_timestamp is not None

    def owner_reference(self) -> OwnerReference:
        """The reference by which a child names this object as its controller."""
        return OwnerReference(kind=self.KIND, name=self.metadata.name, uid=self.uid)

    def controller(self) -> OwnerReference | None:
        """The owner that controls this object."""
        return next((o for o in self.metadata.owner_references if o.controller), None)

    def replicas(self) -> int | None:
        """How many of it are wished for, of a kind that can be scaled."""
        return None

    def scale(self, replicas: int) -> None:
        """Wish for so many.

        Raises:
            InvalidError: It cannot have so many.
        """
        raise InvalidError([Cause("spec.replicas", f"{self.KIND} cannot be scaled to {replicas}")])

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Build the object from JSON, or say everything that is wrong with it.

        Raises:
            InvalidError: With one cause for every field that breaks a rule.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InvalidError(causes_of(error)) from None


def causes_of(error: ValidationError, prefix: str = "") -> list[Cause]:
    """One cause for every field that pydantic refused; the values are never repeated."""
    return [
        Cause(
            prefix + ".".join(str(part) for part in detail["loc"]),
            detail["msg"].removeprefix("Value error, "),
        )
        for detail in error.errors(include_url=False, include_input=False, include_context=False)
    ]
