"""A first-in-first-out line of keys, out of which a key may step."""

from __future__ import annotations

from collections import deque

from crds.meta import Key

_SLACK = 64


class Lane:
    """The keys of one priority, in order.

    A key that steps out is only marked, for to find it would cost a search. Its marked place
    always comes before one that it takes later, so marks are used up from the front.
    """

    __slots__ = ("_keys", "_left", "_left_count")

    def __init__(self) -> None:
        self._keys: deque[Key] = deque()
        self._left: dict[Key, int] = {}
        self._left_count = 0

    def append(self, key: Key) -> None:
        """Put a key at the end."""
        self._keys.append(key)

    def leave(self, key: Key) -> None:
        """Let a key that stands in the lane step out."""
        self._left[key] = self._left.get(key, 0) + 1
        self._left_count += 1
        if self._left_count * 2 > len(self._keys) + _SLACK:
            self._keys = deque(key for key in self._keys if not self._has_left(key))

    def first(self) -> Key | None:
        """Take the first key, if there is one."""
        while self._keys:
            key = self._keys.popleft()
            if not self._left_count or not self._has_left(key):
                return key
        return None

    def _has_left(self, key: Key) -> bool:
        """Whether this place was left; asked once for each place, in order."""
        count = self._left.get(key)
        if count is None:
            return False
        self._left_count -= 1
        if count > 1:
            self._left[key] = count - 1
        else:
            del self._left[key]
        return True
