"""The gateway protocol's schemas, as the Worker and the gateways have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER: Final = Path(__file__).parents[2] / "worker" / "protocol"
SCHEMAS: Final[dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in FOLDER.glob("*.json")
    if path.stem != "flows"
}
FLOWS: Final[dict[str, Any]] = json.loads((FOLDER / "flows.json").read_text())
_REGISTRY: Final[Registry[Any]] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
_VALIDATORS: Final = {
    name: Draft202012Validator(schema, registry=_REGISTRY) for name, schema in SCHEMAS.items()
}


def check(message: dict[str, Any]) -> None:
    """Find what is wrong with a message.

    Raises:
        ValueError: With the first rule that it breaks.
    """
    validator = _VALIDATORS.get(message.get("type", ""))
    if validator is None:
        raise ValueError("type: is none of the protocol's")
    for error in validator.iter_errors(message):
        raise ValueError(f"{message['type']}: {error.json_path}: {error.message}")
