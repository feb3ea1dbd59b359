from collections.abc import Mapping, Sequence
from typing import Any

from controller.providers.call import Call
from controller.providers.digitalocean.connection import Connection, Hidden
from controller.providers.digitalocean.models import CreatedDroplet, Droplet
from controller.providers.digitalocean.noun import Noun

MOST_USER_DATA = 64 * 1024
"""Bytes (PROVIDERS.md, limits)."""


class Droplets(Noun):
    """Droplets; the number that DigitalOcean gives is the only name that is unique."""

    async def create_droplet(
        self,
        of: Connection,
        *,
        name: str,
        region: str,
        size: str,
        image: str,
        tags: Sequence[str],
        user_data: str = "",
        ssh_keys: Sequence[int | str] = (),
        ipv6: bool = False,
        monitoring: bool = False,
        call: Call,
    ) -> CreatedDroplet:
        """Create a droplet; there is no idempotency, and a repetition makes a second one.

        List by a tag of our own first and adopt what is found; after an unknown outcome too,
        and then long enough for a stale list to have caught up.

        Args:
            of: The connection.
            name: A host name; need not be unique.
            region: Its slug.
            size: Its slug.
            image: Its slug.
            tags: Letters, digits, `_`, `-` and `:`; what finds it again is among them.
            user_data: What cloud-init runs at the first boot, at most `MOST_USER_DATA` bytes.
            ssh_keys: Ids or fingerprints of keys that the team has.
            ipv6: Whether it gets an IPv6 address.
            monitoring: Whether DigitalOcean's agent is installed.
            call: On whose behalf.

        Returns:
            What was accepted: it is `new`, without addresses, and may yet fail.

        Raises:
            QuotaReached: The team's limit of droplets.
            UnknownKey: An SSH key is not known, or not yet.
            InsufficientCapacity: The region does not offer the size at the moment.
            InvalidRequest: The region, the size, the image or the name is not one.
        """
        body = Hidden[Any](
            name=name,
            region=region,
            size=size,
            image=image,
            tags=list(tags),
            ssh_keys=list(ssh_keys),
            ipv6=ipv6,
            monitoring=monitoring,
        )
        if user_data:  # it holds what a gateway proves itself with
            body["user_data"] = user_data
        ask = self._ask(of, "droplets.create", "POST", "/droplets", json=body)
        return await self.fetch(CreatedDroplet, ask, call)

    async def get_droplet(self, of: Connection, droplet: int, *, call: Call) -> Droplet:
        """Return a droplet.

        Raises:
            NotFound: The team has none of this id.
        """
        ask = self._ask(of, "droplets.get", "GET", f"/droplets/{droplet}", droplet)
        return await self._one(Droplet, "droplet", ask, call)

    async def list_droplets(self, of: Connection, *, tag: str = "", call: Call) -> list[Droplet]:
        """Return the team's droplets, or those with a tag; the list may be stale.

        Raises:
            Unavailable: The list is not complete.
        """
        params: Mapping[str, str] = {"tag_name": tag} if tag else {}
        ask = self._ask(of, "droplets.list", "GET", "/droplets", tag, params=params)
        return await self._all(Droplet, "droplets", ask, call)

    async def delete_droplet(self, of: Connection, droplet: int, *, call: Call) -> None:
        """Delete a droplet and its disk; it may be listed for a while.

        Raises:
            NotReady: An action is under way.
            NotFound: It is gone.
        """
        ask = self._ask(of, "droplets.delete", "DELETE", f"/droplets/{droplet}", droplet)
        await self.ask(ask, call)
