"""Taking objects over from kubectl's client-side apply.

Client-side apply keeps what it last applied in an annotation.
kubectl's first server-side apply of such an object must not conflict with kubectl's own updates,
and afterwards the annotation stays true, so that client-side apply can be gone back to.
Only the manager `kubectl` is treated so, as in Kubernetes: another name opts out.
"""

from __future__ import annotations

import json
from copy import deepcopy

from crds.managed_fields.fields import NOTHING, FieldSet, Json
from crds.managed_fields.structure import applied, compare, fields_of, metadata_of

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Kubernetes' limit of all annotations of an object; one that would pass it is left out.
MAX_ANNOTATIONS_BYTES = 256 * 1024


def _annotations(thing: Json | None) -> Json:
    annotations = metadata_of(thing).get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def last_applied_fields(live: Json | None, schema: Json) -> FieldSet:
    """The fields that client-side apply set and that still have the value it gave them."""
    try:
        last = json.loads(_annotations(live).get(LAST_APPLIED, ""))
    except (TypeError, ValueError):
        return NOTHING
    if not isinstance(last, dict) or live is None:
        return NOTHING
    if last.get("apiVersion") != live.get("apiVersion"):
        return NOTHING
    wished = fields_of(last, schema)
    return applied(wished) - compare(wished, fields_of(live, schema)).touched


def refresh_last_applied(merged: Json, config: Json) -> None:
    """Let the annotation, if the object has one, say what was applied; changes the object."""
    annotations = _annotations(merged)
    if not annotations.get(LAST_APPLIED):
        return
    said = deepcopy(config)
    _annotations(said).pop(LAST_APPLIED, None)
    annotations[LAST_APPLIED] = json.dumps(said, separators=(",", ":"), sort_keys=True) + "\n"
    size = sum(len(f"{name}{value}".encode()) for name, value in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        del annotations[LAST_APPLIED]
