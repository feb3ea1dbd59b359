"""Where subdomains lead: read from the rows, kept in memory until the store says otherwise."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from crds.account import Account
from crds.clock import Clock
from crds.route import Route, RouteEntry, RouteState
from crds.store import Store, WatchEvent
from crds.workspace import WORKSPACE, Workspace

log = structlog.get_logger(__name__)

MAX_AGE_SECONDS = 300
# Names that lead nowhere are kept too, and anybody can make them up.
MAX_ENTRIES = 10_000
RETRY_SECONDS = 1.0
WATCHED = (Route.KIND, Workspace.KIND, Account.KIND)


@dataclass(frozen=True, slots=True)
class _Kept:
    entry: RouteEntry | None
    account: str
    until: float


class RoutingCache:
    """Answers lookups of subdomains.

    An answer is kept for at most five minutes, and only while the watch that invalidates it runs.

    Args:
        store: Where the rows are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._of_account: defaultdict[str, set[str]] = defaultdict(set)
        self._watching = False
        # Counts what the watch told: an answer read before news came may be older than the news.
        self._news = 0

    async def lookup(self, subdomain: str) -> RouteEntry | None:
        """What a subdomain leads to; None: nothing."""
        kept = self._kept.get(subdomain)
        if kept is not None and kept.until > Clock.monotonic():
            self._kept.move_to_end(subdomain)
            return kept.entry
        news = self._news
        entry, account = await self._read(subdomain)
        if self._watching and news == self._news:
            self._keep(subdomain, entry, account)
        return entry

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Watch the store for as long as the context lasts."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                since = await self._store.log.newest()
                self._watching = True
                async for event in self._store.watch(WATCHED, since):
                    self._hear(event)
            except Exception as error:  # noqa: BLE001 - whatever it is: do not trust the memory
                log.warning("the watch on routes broke", error=type(error).__name__)
            self._watching = False
            self._news += 1
            self._kept.clear()
            self._of_account.clear()
            await asyncio.sleep(RETRY_SECONDS)

    def _hear(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            return
        self._news += 1
        if event.key.kind == Route.KIND:
            self._forget(event.key.name)
            return
        account = event.key.namespace or event.key.name
        for subdomain in tuple(self._of_account.get(account, ())):
            self._forget(subdomain)

    def _keep(self, subdomain: str, entry: RouteEntry | None, account: str) -> None:
        self._forget(subdomain)
        self._kept[subdomain] = _Kept(entry, account, Clock.monotonic() + MAX_AGE_SECONDS)
        self._of_account[account].add(subdomain)
        if len(self._kept) > MAX_ENTRIES:
            self._forget(next(iter(self._kept)))

    def _forget(self, subdomain: str) -> None:
        if (kept := self._kept.pop(subdomain, None)) is not None:
            names = self._of_account[kept.account]
            names.discard(subdomain)
            if not names:
                del self._of_account[kept.account]

    async def _read(self, subdomain: str) -> tuple[RouteEntry | None, str]:
        route = await self._store.find(Route, subdomain)
        if route is None:
            return None, ""
        if route.status.entry is not None:
            return route.status.entry, route.spec.account
        return await self._make_entry(route), route.spec.account

    async def _make_entry(self, route: Route) -> RouteEntry | None:
        """Answer for what the edge was not told: a redirect, or a machine never healthy yet."""
        if route.deleting:
            return None
        redirect = route.spec.redirect_to
        state = "redirect" if redirect is not None else await self._machine_state(route)
        if state is None:
            return None
        return RouteEntry(
            stamp=route.status.stamp,
            route=str(route.uid),
            account=route.spec.account,
            state=state,
            redirect=redirect,
        )

    async def _machine_state(self, route: Route) -> RouteState | None:
        owner = route.spec.account
        account, workspace = await asyncio.gather(
            self._store.find(Account, owner), self._store.find(Workspace, WORKSPACE, owner)
        )
        if workspace is None or workspace.deleting:
            return None
        if workspace.spec.subdomain != route.metadata.name:
            return None
        if account is not None and account.spec.state == "Suspended":
            return "suspended"
        if account is not None and account.spec.state == "Quarantined":
            return "quarantined"
        return "stopped" if workspace.spec.power == "Stopped" else "starting"
