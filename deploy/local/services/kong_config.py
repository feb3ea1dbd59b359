"""Kong's declarative configuration, and the route that a request takes by it.

Heeded of the format: services with their routes, plugins of all three scopes, consumers with their
keys and groups, the latter two also at the top.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

FORMATS: Final = frozenset({"1.1", "2.1", "3.0"})
PLUGINS: Final = frozenset(
    {"acl", "cors", "key-auth", "prometheus", "rate-limiting", "request-termination"}
)
IGNORED: Final = frozenset({"correlation-id", "request-transformer", "response-transformer"})
"""What changes nothing about who gets in; anything else that is not known is refused."""

_TIMEOUT_MS: Final = 60_000
_LOGGER = logging.getLogger("kong")

Json = Mapping[str, Any]
Refuse = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody with a key.

    Attributes:
        name: Who.
        groups: Which groups of access lists.
    """

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Service:
    """What is behind the gateway.

    Attributes:
        name: Its name.
        origin: Scheme, host and port.
        path: What upstream paths begin with.
        connect: Seconds for a connection.
        read: Seconds between two pieces of an answer.
        write: Seconds between two pieces of a request.
    """

    name: str
    origin: str
    path: str
    connect: float
    read: float
    write: float


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a service.

    Attributes:
        name: Its name.
        service: Where it leads.
        paths: Prefixes, and regular expressions that begin with a tilde.
        methods: Which methods only; any when empty.
        strip_path: Whether the service sees what follows the match only.
        preserve_host: Whether the service sees the caller's Host.
        plugins: What is done on the way, by plugin.
    """

    name: str
    service: Service
    paths: tuple[str, ...]
    methods: frozenset[str]
    strip_path: bool
    preserve_host: bool
    plugins: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a request.

    Attributes:
        route: Which one.
        taken: The part of the path that it fits.
        rank: Kong's order: more attributes first, expressions before prefixes, then the longer.
    """

    route: Route
    taken: str
    rank: tuple[int, bool, int] = (0, False, 0)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole configuration.

    Attributes:
        routes: All routes.
        consumers: Who has which key; never shown.
        plugins: What is done for everybody, by plugin.
    """

    routes: tuple[Route, ...]
    consumers: Mapping[str, Consumer] = field(repr=False)
    plugins: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))

    def match(self, method: str, path: str) -> Match | None:
        """The route of a request; a preflight is matched as if it were the request itself."""
        found = (
            match
            for route in self.routes
            if not route.methods or method in route.methods
            for match in _matches(route, path)
        )
        return max(found, key=lambda match: match.rank, default=None)


def normalised(path: str) -> str:
    """A path without `.`, `..` and double slashes: what is matched is what is sent on.

    Args:
        path: As it came, still encoded.
    """
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        plain = unquote(part)
        if plain == "..":
            del segments[-1:]
        elif plain not in {"", "."}:
            segments.append(part)
    ends = unquote(parts[-1]) in {"", ".", ".."} and segments
    return "/" + "/".join(segments) + ("/" if ends else "")


def upstream_path(match: Match, path: str) -> str:
    """The path that a service sees."""
    rest = path[len(match.taken) :] if match.route.strip_path else path
    base = match.route.service.path
    if not rest or rest == "/":
        return base + rest if rest and not base.endswith("/") else base or "/"
    return f"{base.rstrip('/')}/{rest.lstrip('/')}"


def read(document: Any, refuse: Refuse) -> Gateway:
    """Read a configuration.

    Args:
        document: What the YAML or JSON text held.
        refuse: Called with each rule that is broken; nothing of what it says is secret.
    """
    if not isinstance(document, dict):
        refuse("must be a mapping")
        return Gateway((), {})
    if str(document.get("_format_version")) not in FORMATS:
        refuse(f"_format_version must be one of {', '.join(sorted(FORMATS))}")
    try:
        everywhere = _plugins(_items(document, "plugins"), refuse)
        routes = [
            route
            for service in _items(document, "services")
            for route in _routes(service, everywhere, refuse)
        ]
        return Gateway(tuple(routes), _consumers(document), everywhere)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The error's own words may hold a key.
        refuse(f"is not Kong's declarative format ({type(error).__name__})")
        return Gateway((), {})


def _items(holder: Json, name: str) -> list[Json]:
    return list(holder.get(name) or [])


def _routes(entry: Json, everywhere: Mapping[str, Json], refuse: Refuse) -> Iterable[Route]:
    service = _service(entry, refuse)
    for_service = {**everywhere, **_plugins(_items(entry, "plugins"), refuse)}
    for number, route in enumerate(_items(entry, "routes")):
        paths = tuple(map(str, route.get("paths") or ["/"]))
        yield Route(
            name=str(route.get("name") or f"{service.name}.{number}"),
            service=service,
            paths=tuple(path for path in paths if _is_path(path, refuse)),
            methods=frozenset(map(str, route.get("methods") or [])),
            strip_path=bool(route.get("strip_path", True)),
            preserve_host=bool(route.get("preserve_host", False)),
            plugins={**for_service, **_plugins(_items(route, "plugins"), refuse)},
        )


def _service(entry: Json, refuse: Refuse) -> Service:
    name = str(entry.get("name") or entry["url"])
    parts = urlsplit(str(entry["url"]))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        refuse(f"services.{name}: url must be http or https with a host")
    return Service(
        name=name,
        origin=f"{parts.scheme}://{parts.netloc}",
        path=parts.path,
        connect=int(entry.get("connect_timeout", _TIMEOUT_MS)) / 1000,
        read=int(entry.get("read_timeout", _TIMEOUT_MS)) / 1000,
        write=int(entry.get("write_timeout", _TIMEOUT_MS)) / 1000,
    )


def _is_path(path: str, refuse: Refuse) -> bool:
    if not path.startswith(("/", "~/")):
        refuse("a route's path must begin with / or ~/")
        return False
    try:
        re.compile(path.removeprefix("~"))
    except re.error:
        refuse("a route's path is not a regular expression")
        return False
    return True


def _plugins(entries: Iterable[Json], refuse: Refuse) -> dict[str, Json]:
    plugins: dict[str, Json] = {}
    for entry in entries:
        name = str(entry["name"])
        if entry.get("enabled") is False:
            continue
        if name in PLUGINS:
            plugins[name] = entry.get("config") or {}
        elif name in IGNORED:
            _LOGGER.info("the plugin %s does nothing here", name)
        else:
            refuse(f"plugin '{name}' not enabled: nothing stands for it here")
    return plugins


def _consumers(document: Json) -> dict[str, Consumer]:
    entries = _items(document, "consumers")
    groups: dict[str, set[str]] = {str(entry["username"]): set() for entry in entries}
    keys: dict[str, str] = {}
    for owner, entry in _belongings(document, entries, "acls"):
        groups[owner].add(str(entry["group"]))
    for owner, entry in _belongings(document, entries, "keyauth_credentials"):
        keys[str(entry["key"])] = owner
    return {key: Consumer(name, frozenset(groups[name])) for key, name in keys.items()}


def _belongings(document: Json, entries: list[Json], name: str) -> Iterable[tuple[str, Json]]:
    """What belongs to consumers, below them or at the top with their names."""
    for entry in entries:
        yield from ((str(entry["username"]), item) for item in _items(entry, name))
    yield from ((str(item["consumer"]), item) for item in _items(document, name))


def _matches(route: Route, path: str) -> Iterable[Match]:
    attributes = 1 + bool(route.methods)
    for pattern in route.paths:
        if pattern.startswith("~"):
            found = re.match(pattern[1:], path)
            if found is not None:
                yield Match(route, found[0], (attributes, True, len(pattern)))
        elif path.startswith(pattern):
            yield Match(route, pattern, (attributes, False, len(pattern)))
