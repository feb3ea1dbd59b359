"""Files for kubectl (its `v1.Config`): ours is added, what else is there stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import yaml

from deploy.command.frame import usage

LISTS = ("clusters", "users", "contexts")


class Entry(NamedTuple):
    """What one context needs.

    Attributes:
        name: Of cluster, user and context.
        server: The API's address.
        authority: Base64 of the PEM of the certificate authority; None for the system's.
        token: The bearer token.
    """

    name: str
    server: str
    authority: bytes | None
    token: str


def read(path: Path) -> dict[str, Any]:
    """What a file holds; nothing when there is none.

    Raises:
        CommandError: It is no kubeconfig.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"--out: {path}: cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError:
        raise usage(f"--out: {path}: is not YAML") from None
    if found is None:
        return {}
    if not isinstance(found, dict) or any(
        not isinstance(found.get(name) or [], list) for name in LISTS
    ):
        raise usage(f"--out: {path}: is not a kubeconfig")
    return found


def merged(before: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """A kubeconfig with our entry in the place of one of its name, and as the current one."""
    authority = {"certificate-authority-data": entry.authority.decode()} if entry.authority else {}
    ours: dict[str, dict[str, Any]] = {
        "clusters": {"cluster": {"server": entry.server, **authority}},
        "users": {"user": {"token": entry.token}},
        "contexts": {"context": {"cluster": entry.name, "user": entry.name}},
    }
    lists = {
        name: [
            *(e for e in before.get(name) or [] if e.get("name") != entry.name),
            {"name": entry.name, **ours[name]},
        ]
        for name in LISTS
    }
    frame = {"apiVersion": "v1", "kind": "Config"}
    return {**frame, **before, **lists, "current-context": entry.name}


def to_text(config: Mapping[str, Any]) -> str:
    """A kubeconfig as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False)


def write(path: Path, text: str) -> None:
    """Put a file in place whole, readable by its owner only from the first byte on.

    Raises:
        CommandError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise usage(f"--out: {path}: {error.strerror}") from None
