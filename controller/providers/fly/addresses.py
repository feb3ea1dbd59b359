from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import AddressType, IPAssignment, IPAssignments
from controller.providers.fly.noun import Noun, part


class Addresses(Noun):
    """Addresses: without one, an app's public name leads nowhere (PROVIDERS.md)."""

    async def list_addresses(self, app: str, *, call: Call) -> list[IPAssignment]:
        """Return the app's addresses."""
        ask = Ask("addresses.list", "GET", f"/v1/apps/{part(app)}/ip_assignments", app, app)
        return (await self.fetch(IPAssignments, ask, call)).ips

    async def assign_address(
        self,
        app: str,
        kind: AddressType,
        *,
        region: str | None = None,
        network: str | None = None,
        call: Call,
    ) -> IPAssignment:
        """Give the app an address.

        Args:
            app: The app.
            kind: `shared_v4` and `v6` for the public name, `private_v6` for Flycast.
            region: For an egress address.
            network: For `private_v6`, the network it can be reached from.
            call: On whose behalf.
        """
        body = {"type": kind, "region": region, "network": network}
        ask = Ask(
            "addresses.assign",
            "POST",
            f"/v1/apps/{part(app)}/ip_assignments",
            app,
            app,
            json={name: value for name, value in body.items() if value is not None},
        )
        return await self.fetch(IPAssignment, ask, call)

    async def release_address(self, app: str, ip: str, *, call: Call) -> None:
        """Take an address from the app.

        Raises:
            NotFound: The app does not have it.
        """
        path = f"/v1/apps/{part(app)}/ip_assignments/{part(ip)}"
        await self.ask(Ask("addresses.release", "DELETE", path, app, app), call)
