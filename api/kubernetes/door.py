"""Everything that is served to operators, put together once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from api.context import Api
from api.kubernetes import discovery, openapi, reviews
from api.kubernetes.definitions import DefinitionSource
from api.kubernetes.errors import no_such_path
from api.kubernetes.events import EventSource
from api.kubernetes.limits import Limits
from api.kubernetes.namespaces import NamespaceSource
from api.kubernetes.paths import Target
from api.kubernetes.rows import RowSource
from api.kubernetes.served import Json, Served, Source
from api.kubernetes.services import ServiceSource
from api.observe import UNMATCHED
from crds.registry import KINDS

Place = tuple[str, str, str]


class Door:
    """What the operators' application serves.

    Attributes:
        api: What it shares with the product's API.
        limits: How much may be under way.
        namespaces: Where namespaces are.
        aggregated: The aggregated discovery documents, by path.
        documents: Every other document about what is served, by path.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.limits: Final = Limits.of(api.settings)
        store, feed = api.store, api.feed
        self.namespaces: Final = NamespaceSource(store, feed)
        sources: list[Source] = [
            *(RowSource(kind, store, feed) for kind in KINDS.values()),
            self.namespaces,
            EventSource(store, feed),
            ServiceSource(feed),
            DefinitionSource(feed),
        ]
        self._sources: Final = {_place(each.served): each for each in sources}
        self._reviews: Final = {_place(each): each for each in reviews.SERVED}
        served = [*(each.served for each in sources), *reviews.SERVED]
        self.aggregated = discovery.aggregated(served)
        self.documents: Final = _documents(served)

    def source(self, target: Target) -> Source:
        """Where a target's objects are.

        Raises:
            ApiError: 404, nothing of the kind is served.
        """
        found = self._sources.get((target.group, target.version, target.plural))
        if found is None:
            raise no_such_path()
        return found

    def review(self, target: Target) -> Served | None:
        """The review that a target is, if it is one."""
        return self._reviews.get((target.group, target.version, target.plural))

    def template(self, path: str) -> str:
        """A path's name among metrics: one of few."""
        return path if path in self.documents or path in PATHS else UNMATCHED


PATHS: Final = frozenset({"/healthz", "/livez", "/metrics", "/openapi/v2", "/readyz", "/version"})


@asynccontextmanager
async def opened(api: Api) -> AsyncIterator[Door]:
    """The door, for as long as the API is open."""
    yield Door(api)


def template_of(target: Target, served: Served) -> str:
    """A served target's name among metrics, one of few: its path without what clients choose."""
    root = f"/apis/{target.group}" if target.group else "/api"
    parts = [root, target.version, target.plural]
    if target.name is not None:
        parts.append("{name}")
    if target.subresource in served.subresources:
        parts.append(target.subresource)
    return "/".join(parts)


def _place(served: Served) -> Place:
    return served.group, served.version, served.plural


def _documents(served: list[Served]) -> dict[str, Json]:
    found = {
        "/api": discovery.api_versions(served),
        "/apis": discovery.api_groups(served),
        "/openapi/v3": openapi.index(served),
    }
    for group, version in dict.fromkeys((each.group, each.version) for each in served):
        root = f"/apis/{group}" if group else "/api"
        path = f"{root}/{version}"
        found[path] = discovery.resource_list(group, version, served) or {}
        found[f"/openapi/v3{path}"] = openapi.document(group, version, served) or {}
        if group:
            found[root] = discovery.api_group(group, served) or {}
    return found
