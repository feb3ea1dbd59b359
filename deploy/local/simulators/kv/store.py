"""Namespaces, keys, values, metadata and expiry."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.local.simulators.clock import Now, wall_anchored
from deploy.local.simulators.effects import EffectLog
from deploy.local.simulators.history import History
from deploy.local.simulators.ids import Ids
from deploy.local.simulators.limits import CloudflareLimits

DEFAULT_ACCOUNT = "0" * 31 + "1"
DEFAULT_NAMESPACE = "0" * 31 + "2"
DEFAULT_TOKEN = "sim-cloudflare-token"  # noqa: S105 - opens nothing but the simulator


@dataclass(frozen=True, slots=True)
class Entry:
    """A value; `expiration` is in unix seconds."""

    value: bytes
    metadata: Any = None
    expiration: float | None = None

    def listed(self, name: str) -> dict[str, Any]:
        """Return it as a list shows it."""
        body: dict[str, Any] = {"name": name}
        if self.expiration is not None:
            body["expiration"] = int(self.expiration)
        return body if self.metadata is None else body | {"metadata": self.metadata}


@dataclass(slots=True)
class KVNamespace:
    """A namespace."""

    id: str
    title: str
    entries: dict[str, Entry] = field(default_factory=dict)


class KV:
    """One Cloudflare account's namespaces.

    Args:
        account: the account's ID.
        token: the one API token that is ours.
        namespace: ID of the namespace that is there from the start, and behind the binding.
        now: clock, unix seconds; the running loop's by default.
        rng: where identifiers come from.
        limits: rate limits, off by default.

    Attributes:
        effects: every successful mutation through REST or the binding, one for each key.
        stale_lists: serve key lists as they were so many mutations ago (0 to 4).
        fail_keys: keys that a bulk write reports as unsuccessful.
        edge_cache: keep what the binding reads for its `cache_ttl`, "not found" included.
        on_change: called after every change; persistence hooks in here.
    """

    def __init__(
        self,
        *,
        account: str = DEFAULT_ACCOUNT,
        token: str = DEFAULT_TOKEN,
        namespace: str = DEFAULT_NAMESPACE,
        now: Now | None = None,
        rng: random.Random | None = None,
        limits: CloudflareLimits | None = None,
    ) -> None:
        self.account = account
        self.token = token
        self.default = namespace
        self.now = now or wall_anchored()
        self.ids = Ids(rng or random.Random(1))  # noqa: S311 - reproducible, not secret
        self.limits = limits or CloudflareLimits()
        self.namespaces = {namespace: KVNamespace(namespace, "routes")}
        self.history = History()
        self.effects = EffectLog()
        self.stale_lists = 0
        self.fail_keys: set[str] = set()
        self.edge_cache = False
        self.on_change: Callable[[], None] | None = None

    def get(self, key: str, namespace: str | None = None) -> Entry | None:
        """Return what stands under a key now, None if nothing does."""
        space = self.namespaces[namespace or self.default]
        entry = space.entries.get(key)
        if entry and entry.expiration is not None and entry.expiration <= self.now():
            del space.entries[key]
            self.history.put(space.id, key, None)
            return None
        return entry

    def put(self, key: str, entry: Entry, namespace: str | None = None) -> None:
        """Write a value; metadata and expiry of the old one are gone."""
        space = self.namespaces[namespace or self.default]
        self.history.mark()
        space.entries[key] = entry
        self.history.put(space.id, key, entry)
        self._notify()

    def delete(self, key: str, namespace: str | None = None) -> None:
        """Delete a key; an absent one is no error."""
        space = self.namespaces[namespace or self.default]
        self.history.mark()
        space.entries.pop(key, None)
        self.history.put(space.id, key, None)
        self._notify()

    def keys(
        self, namespace: str, prefix: str, after: str, limit: int
    ) -> tuple[list[dict[str, Any]], str]:
        """Return a page of keys in order and where the next one begins, empty at the end."""
        now = self.now()
        shown = self.history.all(namespace, self.stale_lists)
        names = sorted(
            name
            for name, entry in shown.items()
            if name.startswith(prefix)
            and name > after
            and (entry.expiration is None or entry.expiration > now)
        )
        page = names[:limit]
        more = page[-1] if len(page) < len(names) else ""
        return [shown[name].listed(name) for name in page], more

    def create_namespace(self, title: str) -> KVNamespace:
        """Make a namespace."""
        space = KVNamespace(self.ids.hex(32), title)
        self.namespaces[space.id] = space
        self._notify()
        return space

    def remove_namespace(self, namespace: str) -> None:
        """Remove a namespace with all its keys."""
        for key in list(self.namespaces.pop(namespace).entries):
            self.history.put(namespace, key, None)
        self._notify()

    def record(
        self,
        method: str,
        path: str,
        operation: str,
        namespace: str,
        key: str,
        details: dict[str, Any] | None = None,
    ) -> None:
        """Note a mutation that succeeded."""
        noted = details or {}
        self.effects.add(self.now(), method, path, operation, namespace, key, noted)

    # What a test or an operator may do behind our back

    def monkey_delete(self, key: str, namespace: str | None = None) -> None:
        """Delete a key behind our back."""
        self.delete(key, namespace)

    def monkey_overwrite(
        self, key: str, value: bytes, metadata: Any = None, namespace: str | None = None
    ) -> None:
        """Overwrite a key behind our back."""
        self.put(key, Entry(value, metadata), namespace)

    # Persistence

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "rng": self.ids.dump(),
            "namespaces": [
                {
                    "id": space.id,
                    "title": space.title,
                    "entries": {
                        key: [entry.value.decode("latin-1"), entry.metadata, entry.expiration]
                        for key, entry in space.entries.items()
                    },
                }
                for space in self.namespaces.values()
            ],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `dump` returned."""
        self.ids.load(state["rng"])
        for saved in state["namespaces"]:
            space = KVNamespace(saved["id"], saved["title"])
            self.namespaces[space.id] = space
            for key, (value, metadata, expiration) in saved["entries"].items():
                entry = Entry(value.encode("latin-1"), metadata, expiration)
                space.entries[key] = entry
                self.history.put(space.id, key, entry)

    def _notify(self) -> None:
        if self.on_change:
            self.on_change()
