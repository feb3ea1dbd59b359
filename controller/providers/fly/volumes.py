from collections.abc import Mapping
from typing import Any

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import Extended, Volume, VolumeList
from controller.providers.fly.noun import Noun, part


class Volumes(Noun):
    """Volumes: made before the machine, in whose region the machine then goes (PROVIDERS.md)."""

    async def create_volume(
        self,
        app: str,
        *,
        name: str,
        region: str,
        size_gb: int,
        compute: Mapping[str, Any] | None = None,
        snapshot_id: str | None = None,
        source: str | None = None,
        call: Call,
    ) -> Volume:
        """Create a volume; a repetition makes a second one of the same name.

        Args:
            app: The app.
            name: At most 30 of `a-z0-9_`.
            region: Where; the answer says where it really came to be.
            size_gb: Gigabytes.
            compute: The guest that will use it, so that its host has room for both.
            snapshot_id: The snapshot to restore.
            source: The volume that it begins as a copy of, wherever that is.
            call: On whose behalf.

        Raises:
            InsufficientCapacity: No host in the region has room.
        """
        body = {
            "name": name,
            "region": region,
            "size_gb": size_gb,
            "compute": None if compute is None else dict(compute),
            "snapshot_id": snapshot_id,
            "source_volume_id": source,
        }
        ask = Ask(
            "volumes.create",
            "POST",
            f"/v1/apps/{part(app)}/volumes",
            app,
            app,
            json={key: value for key, value in body.items() if value is not None},
        )
        return await self.fetch(Volume, ask, call)

    async def get_volume(self, app: str, volume: str, *, call: Call) -> Volume:
        """Return a volume.

        Raises:
            NotFound: There is none of this id.
        """
        return await self.fetch(Volume, self._volume("volumes.get", "GET", app, volume), call)

    async def delete_volume(self, app: str, volume: str, *, call: Call) -> None:
        """Delete a volume; it may still be listed for a while.

        Raises:
            VolumeBound: Its machine is not entirely destroyed: allow three minutes.
            NotFound: It is gone.
        """
        await self.ask(self._volume("volumes.delete", "DELETE", app, volume), call)

    async def list_volumes(self, app: str, *, call: Call) -> list[Volume]:
        """Return the app's volumes, perhaps a deleted one among them."""
        ask = Ask("volumes.list", "GET", f"/v1/apps/{part(app)}/volumes", app, app)
        answer = await self.ask(ask, call)
        return self.decode(ask, answer, lambda: VolumeList.model_validate_json(answer.content)).root

    async def extend_volume(self, app: str, volume: str, *, size_gb: int, call: Call) -> Extended:
        """Grow a volume to `size_gb`; it never shrinks."""
        ask = self._volume("volumes.extend", "PUT", app, volume, "/extend")
        ask.json = {"size_gb": size_gb}
        return await self.fetch(Extended, ask, call)

    def _volume(self, operation: str, method: str, app: str, volume: str, tail: str = "") -> Ask:
        path = f"/v1/apps/{part(app)}/volumes/{part(volume)}{tail}"
        return Ask(operation, method, path, volume, app)
