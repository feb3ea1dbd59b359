"""What no page shows: values that look like secrets are replaced, and put back when edited."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from crds.access import PREFIX
from crds.errors import Cause

MASK: Final = "•••"
# Maps whose names are their users' own; everything else is ours, and holds no secret by law.
FREE_MAPS: Final = frozenset({"env", "annotations", "labels"})
SECRET_NAME: Final = re.compile(
    r"key|token|secret|passw|passphrase|pwd|credential|private|auth|cookie|salt|dsn|pepper"
    # kubectl keeps a whole manifest in there.
    r"|last-applied-configuration",
    re.IGNORECASE,
)
# Passwords in URLs, tokens of our own, JSON Web Tokens: wherever they stand.
SECRET_VALUE: Final = re.compile(
    r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"
    rf"|\b{PREFIX}_[0-9a-f]{{16}}_[A-Za-z0-9_-]+"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)


def masked(value: Any, *, free: bool = False) -> Any:
    """The same JSON without what looks like a secret.

    Args:
        value: Any JSON.
        free: Whether its names are users' own, and say what is secret.
    """
    if isinstance(value, Mapping):
        return {
            name: MASK
            if free and isinstance(part, str) and part and SECRET_NAME.search(name)
            else masked(part, free=name in FREE_MAPS)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [masked(part) for part in value]
    return masked_text(value) if isinstance(value, str) else value


def masked_text(text: str) -> str:
    """A text without what looks like a secret in it."""
    return SECRET_VALUE.sub(MASK, text)


def restored(edited: Any, stored: Any, path: str = "") -> tuple[Any, list[Cause]]:
    """Put what was masked back into JSON that somebody edited.

    Args:
        edited: What they made of what they were shown.
        stored: The JSON that they were shown, unmasked.
        path: Where in the object it is, in dots.

    Returns:
        The JSON as it is meant, and a cause for every mask that stands for nothing any more.
    """
    if isinstance(edited, str):
        return edited, [_lost(path)] if MASK in edited else []
    if isinstance(edited, Mapping):
        return _restored_map(edited, stored, path)
    if isinstance(edited, list):
        before = stored if isinstance(stored, list) else []
        pairs = [
            restored(part, before[number] if number < len(before) else None, f"{path}.{number}")
            for number, part in enumerate(edited)
        ]
        return [part for part, _ in pairs], [cause for _, found in pairs for cause in found]
    return edited, []


def _restored_map(
    edited: Mapping[str, Any], stored: Any, path: str
) -> tuple[dict[str, Any], list[Cause]]:
    before: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    shown = masked(before, free=path.rpartition(".")[2] in FREE_MAPS)
    whole: dict[str, Any] = {}
    causes: list[Cause] = []
    for name, part in edited.items():
        if isinstance(part, str) and MASK in part and part == shown.get(name):
            whole[name] = before[name]
            continue
        whole[name], found = restored(part, before.get(name), f"{path}.{name}" if path else name)
        causes += found
    return whole, causes


def _lost(path: str) -> Cause:
    return Cause(path, f"{MASK} stands for a value that is not shown: leave it, or replace it all")
