"""The console's addresses: every one lies under one path, and nothing leads away from it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

PATH: Final = "/console"
# How the address of a cluster kind's object says "no namespace"; no namespace is named so.
NO_NAMESPACE: Final = "-"


def object_path(plural: str, namespace: str, name: str, *rest: str) -> str:
    """The address of an object's page, or of one below it."""
    parts = (plural, namespace or NO_NAMESPACE, name, *rest)
    return "/".join((PATH, *(quote(part, safe="") for part in parts)))


def local(address: str) -> str:
    """An address to return to, if it is one of the console's own; else the console's first page."""
    if not address.isascii() or not address.isprintable() or "\\" in address:
        return PATH
    try:
        parts = urlsplit(address)
    except ValueError:
        return PATH
    if parts.scheme or parts.netloc or "//" in parts.path or ".." in parts.path.split("/"):
        return PATH
    return address if parts.path == PATH or parts.path.startswith(f"{PATH}/") else PATH
