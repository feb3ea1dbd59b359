"""What lists show now, and what they showed a few mutations ago."""

from collections import deque
from collections.abc import Mapping
from typing import Any

DEPTH = 4
"""How many mutations back a list can be served."""

View = Any
"""A provider's decoded JSON; never changed in place, so that the past keeps its shape."""


class History:
    """Views of things by kind and id, least recently changed first, with a short undo log."""

    def __init__(self) -> None:
        self._views: dict[str, dict[str, View]] = {}
        self._undo: deque[dict[tuple[str, str], View | None]] = deque(maxlen=DEPTH)

    def mark(self) -> None:
        """Begin a mutation: what changes from here on belongs to it."""
        self._undo.append({})

    def unmark(self) -> None:
        """Drop the last mark when nothing changed under it."""
        if self._undo and not self._undo[-1]:
            self._undo.pop()

    def put(self, kind: str, key: str, view: View | None) -> View | None:
        """Show `view` for a thing (None: it is gone) and return what was shown before."""
        views = self._views.setdefault(kind, {})
        before = views.pop(key, None)
        if view is not None:
            views[key] = view
        if self._undo:
            self._undo[-1].setdefault((kind, key), before)
        return before

    def get(self, kind: str, key: str) -> View | None:
        """Return what is shown for one thing now."""
        return self._views.get(kind, {}).get(key)

    def all(self, kind: str, back: int = 0) -> Mapping[str, View]:
        """Return every view of a kind as it was `back` mutations ago (at most `DEPTH`)."""
        views = self._views.get(kind, {})
        if not back:
            return views
        past: dict[str, View | None] = dict(views)
        for changes in list(reversed(self._undo))[:back]:
            past.update({key: view for (of, key), view in changes.items() if of == kind})
        return {key: view for key, view in past.items() if view is not None}
