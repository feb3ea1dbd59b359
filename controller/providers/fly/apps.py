from collections.abc import AsyncIterator

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import App, AppPage
from controller.providers.fly.noun import Noun, part

PAGE = 1000


class Apps(Noun):
    """Apps: one per machine, each with a network of its own (PROVIDERS.md)."""

    async def create_app(
        self, name: str, *, network: str, idempotency_key: str, call: Call
    ) -> None:
        """Create an app; safe to repeat with the same key and name.

        Args:
            name: Globally unique.
            network: The private network; one per app keeps users apart.
            idempotency_key: Makes a repetition return the first one's app.
            call: On whose behalf.

        Raises:
            NameTaken: Somebody, perhaps another organisation, has the name.
        """
        body = {
            "name": name,
            "org_slug": self.org,
            "network": network,
            "idempotency_key": idempotency_key,
        }
        await self.ask(Ask("apps.create", "POST", "/v1/apps", name, name, json=body), call)

    async def get_app(self, name: str, *, call: Call) -> App:
        """Return an app.

        Raises:
            NotFound: The name is free, or the app is only moments old.
            Forbidden: Another organisation has the name.
        """
        return await self.fetch(
            App, Ask("apps.get", "GET", f"/v1/apps/{part(name)}", name, name), call
        )

    async def delete_app(self, name: str, *, call: Call) -> None:
        """Delete an app and everything in it: the deletion cascades, and goes on afterwards.

        Raises:
            NotFound: It is gone.
        """
        path = f"/v1/apps/{part(name)}"
        await self.ask(Ask("apps.delete", "DELETE", path, self.org, name), call)

    async def list_apps(self, org: str | None = None, *, call: Call) -> AsyncIterator[list[App]]:
        """Yield the organisation's apps, page by page; apps of the last seconds may be missing."""
        org = org or self.org
        cursor = ""
        while True:
            params = {"org_slug": org, "limit": str(PAGE)}
            if cursor:
                params["cursor"] = cursor
            ask = Ask("apps.list", "GET", "/v1/apps", org, params=params)
            page = await self.fetch(AppPage, ask, call)
            yield page.apps
            if not page.next_cursor:
                return
            cursor = self.advance(ask, cursor, page.next_cursor)
