"""The scale subresource: how many of an object are wished for."""

from __future__ import annotations

from typing import Any

from api.kubernetes.errors import bad_request
from api.kubernetes.objects import rejected, store_form
from api.kubernetes.served import Json, Served
from crds.errors import InvalidError
from crds.meta import Resource


def scale_of(obj: Json, model: type[Resource]) -> Json:
    """An object's autoscaling/v1 Scale.

    Raises:
        InvalidError: Its spec is broken.
    """
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    resource = model.parse(store_form({**obj, "status": None}))
    running = (obj.get("status") or {}).get("phase") == "Running"
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": resource.replicas() or 0},
        "status": {"replicas": int(running)},
    }


def scaled(served: Served, model: type[Resource], old: Json, body: Any) -> Json:
    """The object when it is scaled as a Scale says.

    Raises:
        ApiError: 400, the body is no Scale; 422, it cannot have so many.
    """
    spec = body.get("spec") if isinstance(body, dict) else None
    replicas = (spec or {}).get("replicas", 0) if isinstance(spec, dict | None) else None
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request("spec.replicas must be a whole number")
    name = old["metadata"]["name"]
    try:
        resource = model.parse(store_form({**old, "status": None}))
        resource.scale(replicas)
    except InvalidError as error:
        raise rejected(served, name, error.causes) from None
    given = body.get("metadata") or {}
    metadata = {**old["metadata"]}
    if not given.get("resourceVersion"):
        metadata.pop("resourceVersion")
    else:
        metadata["resourceVersion"] = given["resourceVersion"]
    return {**old, "spec": resource.spec.to_json(), "metadata": metadata}
