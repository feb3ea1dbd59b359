"""Schemas that are not of one kind: metadata, statuses, options; in the words of OpenAPI 3.0."""

from __future__ import annotations

from typing import Final

from api.kubernetes.served import Json

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"


def text(description: str) -> Json:
    """A string."""
    return {"type": "string", "description": description}


def integer(description: str, bits: int = 64) -> Json:
    """A whole number."""
    return {"type": "integer", "format": f"int{bits}", "description": description}


def boolean(description: str) -> Json:
    """A truth value."""
    return {"type": "boolean", "description": description}


def time(description: str) -> Json:
    """A moment, RFC 3339."""
    return {"type": "string", "format": "date-time", "description": description}


def map_of_text(description: str) -> Json:
    """Strings by strings."""
    return {
        "type": "object",
        "additionalProperties": {"type": "string", "default": ""},
        "description": description,
    }


def list_of(items: Json, description: str) -> Json:
    """A list that is replaced as a whole."""
    return {
        "type": "array",
        "items": items,
        "description": description,
        "x-kubernetes-list-type": "atomic",
    }


def record(description: str, required: tuple[str, ...] = (), /, **fields: Json) -> Json:
    """An object with these fields."""
    found: Json = {"type": "object", "description": description, "properties": fields}
    return found | {"required": list(required)} if required else found


def anything(description: str) -> Json:
    """An object of any form."""
    return {
        "type": "object",
        "description": description,
        "x-kubernetes-preserve-unknown-fields": True,
    }


def reference(name: str, description: str = "") -> Json:
    """A component by name; words beside a reference need a wrapping."""
    found = {"$ref": f"#/components/schemas/{name}"}
    return {"allOf": [found], "default": {}, "description": description} if description else found


def kind_schema(api_version: str, kind: str, description: str, /, **fields: Json) -> Json:
    """The schema of a whole object of a kind that is not one of our rows.

    Its metadata stays open, as `crds.schemas.schema_of` leaves it.
    """
    return record(
        description,
        apiVersion=text(f"The group and version of what this object says: {api_version}."),
        kind=text(f"The object's kind: {kind}."),
        metadata={
            "type": "object",
            "description": "The object's name, labels, owners, versions and the like.",
        },
        **fields,
    )


_OWNER: Final = record(
    "An object that this one belongs to.",
    ("apiVersion", "kind", "name", "uid"),
    apiVersion=text("The owner's group and version."),
    kind=text("The owner's kind."),
    name=text("The owner's name."),
    uid=text("The owner's uid."),
    controller=boolean("Whether the owner manages this object; at most one does."),
    blockOwnerDeletion=boolean("Whether the owner stays, when deleted in the foreground, for it."),
)

_MANAGED_FIELDS: Final = record(
    "Which fields a manager owns (server-side apply).",
    manager=text("The manager's name."),
    operation=text("Apply or Update."),
    subresource=text("The subresource through which it wrote."),
    apiVersion=text("The version that the fields are of."),
    time=time("When the manager's set of fields last changed."),
    fieldsType=text("The form of the fields: FieldsV1."),
    fieldsV1=anything("The fields as a tree of keys with their prefixes."),
)

_OBJECT_META: Final = record(
    "What every object has beside what is wished and observed.",
    name=text("Unique among the objects of its kind in its namespace; never changes."),
    generateName=text("Beginning of a name that the server completes when there is none."),
    namespace=text("The account that the object belongs to; empty for kinds without namespace."),
    uid=text("The object's identity: never used again, also not under the same name."),
    resourceVersion=text("Changes with every write; a write may require the one that was read."),
    generation=integer("Grows with every change of the spec, and with the wish for deletion."),
    creationTimestamp=time("When the object was made."),
    deletionTimestamp=time("When its deletion was asked for; it goes with the last finalizer."),
    deletionGracePeriodSeconds=integer("Always 0."),
    labels=map_of_text("Short words by which objects are selected."),
    annotations=map_of_text("Notes of people and programs, which nothing is selected by."),
    finalizers={
        **list_of({"type": "string", "default": ""}, "Who has to clean up before it may go."),
        "x-kubernetes-list-type": "set",
    },
    ownerReferences={
        **list_of(reference(f"{META}.OwnerReference"), "Whom it belongs to; goes with them."),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
    },
    managedFields=list_of(reference(f"{META}.ManagedFieldsEntry"), "Which manager owns what."),
    selfLink=text("Not used any more."),
)

_LIST_META: Final = record(
    "What a list has beside its items.",
    resourceVersion=text("The version that the list is a snapshot of; watches go on from it."),
    **{"continue": text("Where the next chunk begins; empty after the last one.")},
    remainingItemCount=integer("How many items come after this chunk."),
    selfLink=text("Not used any more."),
)

_STATUS_CAUSE: Final = record(
    "One of the reasons of a refusal.",
    field=text("The field that it is about."),
    message=text("The reason for people."),
    reason=text("The reason for programs."),
)

_STATUS_DETAILS: Final = record(
    "More on a refusal.",
    name=text("The name of the object."),
    group=text("The group of the resource."),
    kind=text("The resource."),
    uid=text("The uid of the object."),
    causes=list_of(reference(f"{META}.StatusCause"), "All that is wrong."),
    retryAfterSeconds=integer("After how many seconds to try again.", 32),
)

_STATUS: Final = record(
    "What came of a request that returns no object.",
    apiVersion=text("v1."),
    kind=text("Status."),
    metadata=reference(f"{META}.ListMeta", "Empty."),
    status=text("Success or Failure."),
    code=integer("The HTTP status.", 32),
    reason=text("The reason for programs."),
    message=text("The reason for people."),
    details=reference(f"{META}.StatusDetails", "More on it."),
)

_DELETE_OPTIONS: Final = record(
    "How to delete.",
    apiVersion=text("v1."),
    kind=text("DeleteOptions."),
    gracePeriodSeconds=integer("Ignored: finalizers say when an object may go."),
    propagationPolicy=text("Background, Foreground or Orphan; everything goes in the background."),
    preconditions=reference(f"{META}.Preconditions", "What has to hold."),
    dryRun=list_of({"type": "string"}, "All: do everything and keep nothing."),
    orphanDependents=boolean("Not used any more."),
)

_PRECONDITIONS: Final = record(
    "What has to hold for a deletion.",
    uid=text("The uid that the object must have."),
    resourceVersion=text("The version that the object must have."),
)

_SCALE: Final = record(
    "How many of something there shall be and are.",
    apiVersion=text("autoscaling/v1."),
    kind=text("Scale."),
    metadata=reference(f"{META}.ObjectMeta", "The metadata of the object that is scaled."),
    spec=record("The wish.", replicas=integer("How many there shall be.", 32)),
    status=record(
        "What was observed.",
        ("replicas",),
        replicas=integer("How many there are.", 32),
        selector=text("What selects them."),
    ),
)


def _of(schema: Json, group: str, version: str, kind: str) -> Json:
    name = {"group": group, "version": version, "kind": kind}
    return {**schema, "x-kubernetes-group-version-kind": [name]}


COMMON: Final[dict[str, Json]] = {
    f"{META}.ObjectMeta": _OBJECT_META,
    f"{META}.OwnerReference": _OWNER,
    f"{META}.ManagedFieldsEntry": _MANAGED_FIELDS,
    f"{META}.ListMeta": _LIST_META,
    f"{META}.Status": _of(_STATUS, "", "v1", "Status"),
    f"{META}.StatusDetails": _STATUS_DETAILS,
    f"{META}.StatusCause": _STATUS_CAUSE,
    f"{META}.DeleteOptions": _of(_DELETE_OPTIONS, "", "v1", "DeleteOptions"),
    f"{META}.Preconditions": _PRECONDITIONS,
    f"{META}.Patch": {"type": "object", "description": "A change of an object, in any form."},
    SCALE: _of(_SCALE, "autoscaling", "v1", "Scale"),
}
