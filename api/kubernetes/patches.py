"""Patches: what a merge patch and a JSON patch do to an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

import jsonpatch

from api.kubernetes.bodies import MAX_BYTES, check_storable
from api.kubernetes.errors import ApiError, bad_request, too_large, unsupported_media_type
from api.kubernetes.served import Json

MERGE: Final = "application/merge-patch+json"
PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
STRATEGIC: Final = "application/strategic-merge-patch+json"
MAX_OPERATIONS: Final = 10_000


def change_of(type_: str, patch: Any, *, strategic: bool) -> Callable[[Json], Json]:
    """What a patch does to an object.

    Raises:
        ApiError: 415, it is of another type; 400, it is no patch of its type.
    """
    if type_ == MERGE or (type_ == STRATEGIC and strategic):
        if not isinstance(patch, dict):
            raise bad_request("a merge patch must be an object")
        return lambda old: merged(old, patch)
    if type_ == PATCH:
        return lambda old: _patched(old, patch)
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: "
        f"{PATCH}, {MERGE}, {APPLY}"
    )


def merged(old: Any, patch: Any) -> Any:
    """A JSON merge patch's result (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = merged(new.get(name), value)
    return new


def _patched(old: Json, patch: Any) -> Json:
    if not isinstance(patch, list) or len(patch) > MAX_OPERATIONS:
        raise bad_request(f"a JSON patch must be a list of at most {MAX_OPERATIONS} operations")
    new: Any = deepcopy(old)
    copied = 0
    try:
        for operation in patch:
            if isinstance(operation, dict) and operation.get("op") == "copy":
                # Copies of copies would double at every operation.
                source = jsonpatch.JsonPointer(operation.get("from", "")).resolve(new)
                copied += len(json.dumps(source))
                if copied > MAX_BYTES:
                    raise too_large(f"limit of what a JSON patch copies is {MAX_BYTES} bytes")
            new = jsonpatch.JsonPatch([operation]).apply(new, in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise ApiError(
            422, "Invalid", f"the server rejected our request: {_first(error)}"
        ) from None
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        TypeError,
        KeyError,
    ) as error:
        raise ApiError(
            422, "Invalid", f"the JSON patch cannot be applied: {_first(error)}"
        ) from None
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise bad_request("the patch leaves no object with metadata")
    # Each operation is shallow and small; all of them together need not be.
    check_storable(new)
    return new


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
