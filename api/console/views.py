"""What the first page and the tables show; an object's page has a module of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.console import tables
from api.console.addresses import PATH
from api.console.desk import Desk
from api.console.rendering import Rendering
from api.console.visitors import Visitor
from crds.meta import Key, Resource

PARTS: Final = ("incident", "numbers", "kinds", "waiting", "queues", "providers", "warnings")
FLEET_PERIOD_SECONDS: Final = 1.0
# So old may be what a stream shows, so that all of them together cost one survey.
FRESH_SECONDS: Final = 0.9
TABLE_PERIOD_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class FleetView:
    """The first page.

    Attributes:
        desk: What the console works with.
        visitor: Who looks.
        fresh: Seconds that what it shows may be old.
    """

    desk: Desk
    visitor: Visitor
    fresh: float = FRESH_SECONDS
    period: float = FLEET_PERIOD_SECONDS

    def concerns(self, key: Key) -> bool:
        """Everything shows here, but not at once: the period is short, and its looks are shared."""
        del key
        return False

    async def render(self) -> Rendering:
        """The page's regions."""
        known = await self.desk.surveys.newest(self.fresh)
        region = self.desk.templates.region
        return Rendering({part: region(f"fleet/{part}.html", part, **known) for part in PARTS})


@dataclass(frozen=True, slots=True)
class TableView:
    """A table's page.

    Attributes:
        desk: What the console works with.
        visitor: Who looks.
        kind: Of which kind.
        query: What is asked.
    """

    desk: Desk
    visitor: Visitor
    kind: type[Resource]
    query: tables.Query
    period: float = TABLE_PERIOD_SECONDS

    def concerns(self, key: Key) -> bool:
        """Whether a change of an object may show: its own, or the e-mail beside it."""
        return key.kind in (self.kind.KIND, "Account")

    async def render(self) -> Rendering:
        """The page's regions, each row one."""
        table = await tables.read(self.desk.store, self.kind, self.query)
        region = self.desk.templates.region
        shared = {
            "kind": self.kind,
            "columns": tables.columns(self.kind, wide=self.query.wide),
            "query_of": self.query,
            "base": f"{PATH}/{self.kind.PLURAL}",
        }
        rows = {row.id: region("table/row.html", row.id, row=row, **shared) for row in table.rows}
        rest = {
            part: region(f"table/{part}.html", part, table=table, **shared)
            for part in ("phases", "summary")
        }
        return Rendering({**rest, **rows}, {"rows": list(rows)})
