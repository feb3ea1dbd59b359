from collections.abc import AsyncIterator, Mapping
from datetime import datetime

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import OrgMachinePage, OrgVolumePage, Region, Regions
from controller.providers.fly.noun import Noun, part


class Organisation(Noun):
    """Lists over the whole organisation: how a thousand objects are observed in one call.

    Late updates arrive: overlap the window, and believe no absence in a page's `error_regions`.
    """

    async def org_machines(
        self,
        *,
        updated_after: datetime | None = None,
        cursor: str = "",
        include_deleted: bool = False,
        call: Call,
    ) -> OrgMachinePage:
        """Return one page of machines.

        Args:
            updated_after: Only what changed since; aware of its time zone.
            cursor: The former page's; it takes precedence over `updated_after`.
            include_deleted: Whether destroyed machines are listed too.
            call: On whose behalf.
        """
        params = _window(updated_after, cursor, include_deleted=include_deleted)
        return await self.fetch(OrgMachinePage, self._list("machines", params), call)

    async def iter_org_machines(
        self,
        updated_after: datetime | None = None,
        *,
        include_deleted: bool = False,
        call: Call,
    ) -> AsyncIterator[OrgMachinePage]:
        """Yield every page of machines, through short and empty ones, to the last."""
        cursor = ""
        while True:
            page = await self.org_machines(
                updated_after=updated_after,
                cursor=cursor,
                include_deleted=include_deleted,
                call=call,
            )
            yield page
            if not page.next_cursor:
                return
            cursor = self.advance(self._list("machines", {}), cursor, page.next_cursor)

    async def org_volumes(
        self,
        *,
        updated_after: datetime | None = None,
        cursor: str = "",
        include_deleted: bool = False,
        call: Call,
    ) -> OrgVolumePage:
        """Return one page of volumes; see `org_machines`."""
        params = _window(updated_after, cursor, include_deleted=include_deleted)
        return await self.fetch(OrgVolumePage, self._list("volumes", params), call)

    async def iter_org_volumes(
        self,
        updated_after: datetime | None = None,
        *,
        include_deleted: bool = False,
        call: Call,
    ) -> AsyncIterator[OrgVolumePage]:
        """Yield every page of volumes to the last."""
        cursor = ""
        while True:
            page = await self.org_volumes(
                updated_after=updated_after,
                cursor=cursor,
                include_deleted=include_deleted,
                call=call,
            )
            yield page
            if not page.next_cursor:
                return
            cursor = self.advance(self._list("volumes", {}), cursor, page.next_cursor)

    async def regions(self, *, call: Call) -> list[Region]:
        """Return the regions that are offered now."""
        ask = Ask("platform.regions", "GET", "/v1/platform/regions", self.org)
        return (await self.fetch(Regions, ask, call)).regions

    def _list(self, noun: str, params: Mapping[str, str]) -> Ask:
        path = f"/v1/orgs/{part(self.org)}/{noun}"
        return Ask(f"org.{noun}", "GET", path, self.org, params=params)


def _window(
    updated_after: datetime | None, cursor: str, *, include_deleted: bool
) -> dict[str, str]:
    params: dict[str, str] = {}
    if updated_after is not None:
        params["updated_after"] = updated_after.isoformat()
    if cursor:
        params["cursor"] = cursor
    if include_deleted:
        params["include_deleted"] = "true"
    return params
