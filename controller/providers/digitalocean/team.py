from urllib.parse import quote

from controller.providers.call import Call
from controller.providers.digitalocean.connection import Connection
from controller.providers.digitalocean.models import Account, Image, Region, Size, SSHKey
from controller.providers.digitalocean.noun import Noun


class Team(Noun):
    """The account, its keys, and what it can order."""

    async def get_account(self, of: Connection, *, call: Call) -> Account:
        """Return the account: the cheapest question that only a good token is answered.

        Raises:
            Unauthorized: The token has expired, was replaced by a refresh, or was revoked.
        """
        ask = self._ask(of, "account.get", "GET", "/account")
        return await self._one(Account, "account", ask, call)

    async def list_regions(self, of: Connection, *, call: Call) -> list[Region]:
        """Return the regions, the unavailable ones too."""
        ask = self._ask(of, "regions.list", "GET", "/regions")
        return await self._all(Region, "regions", ask, call)

    async def list_sizes(self, of: Connection, *, call: Call) -> list[Size]:
        """Return the sizes, each with its price and where it can be had."""
        ask = self._ask(of, "sizes.list", "GET", "/sizes")
        return await self._all(Size, "sizes", ask, call)

    async def get_image(self, of: Connection, slug: str, *, call: Call) -> Image:
        """Return a public image.

        Raises:
            NotFound: There is none of this slug.
        """
        ask = self._ask(of, "images.get", "GET", f"/images/{quote(slug, safe='')}", slug)
        return await self._one(Image, "image", ask, call)

    async def list_ssh_keys(self, of: Connection, *, call: Call) -> list[SSHKey]:
        """Return the team's keys."""
        ask = self._ask(of, "ssh_keys.list", "GET", "/account/keys")
        return await self._all(SSHKey, "ssh_keys", ask, call)

    async def create_ssh_key(
        self, of: Connection, *, name: str, public_key: str, call: Call
    ) -> SSHKey:
        """Add a key; new droplets may not know it for some seconds (`UnknownKey`).

        Raises:
            AlreadyExists: The team has this key, perhaps under another name: list, and use it.
            InvalidRequest: It is not a key.
        """
        body = {"name": name, "public_key": public_key}
        ask = self._ask(of, "ssh_keys.create", "POST", "/account/keys", json=body)
        return await self._one(SSHKey, "ssh_key", ask, call)

    async def delete_ssh_key(self, of: Connection, key: int, *, call: Call) -> None:
        """Forget a key; droplets that have it keep it.

        Raises:
            NotFound: It is gone.
        """
        ask = self._ask(of, "ssh_keys.delete", "DELETE", f"/account/keys/{key}", key)
        await self.ask(ask, call)
