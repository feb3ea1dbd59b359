"""Volumes and their snapshots."""

import re
from typing import Any

import anyio

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly import views
from deploy.local.simulators.fly.core import CloudCore
from deploy.local.simulators.fly.state import REGIONS, FlyError, Snapshot, Volume

_NAME = re.compile(r"[a-z0-9_]{1,30}")
_DEFAULT_REGION = "iad"
_MAX_SIZE_GB = 500


class Volumes(CloudCore):
    """What can be done to volumes."""

    def create_volume(self, app_name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a volume where there is room; names need not be unique.

        With `source_volume_id` it is a fork: a copy of what is on another volume at this
        moment, in any region, that can be used while it is still `hydrating`.

        Raises:
            FlyError: 400 for a bad name, size or region, 404 for a source that is not there,
                412 `volume_placement_capacity`.
        """
        app = self.app(app_name)
        forked = self._forked(body)
        region = body.get("region") or (forked.region if forked else _DEFAULT_REGION)
        _check(body, region)
        if region in self.full_regions:
            raise FlyError(
                412,
                f"failed_precondition: insufficient capacity to place volume in {region}",
                "volume_placement_capacity",
            )
        source = forked.size_gb if forked else self._restored_size(body.get("snapshot_id"))
        volume = Volume(
            id=self.ids.volume(),
            app=app.name,
            name=body["name"],
            region=region,
            size_gb=body.get("size_gb") or source or 1,
            created_at=self.now(),
            encrypted=body.get("encrypted", True),
            auto_backup=body.get("auto_backup_enabled", True),
            retention_days=body.get("snapshot_retention") or 5,
            restored_from=body.get("snapshot_id") or "",
            forked_from=forked.id if forked else "",
            state="hydrating" if forked else "created",
        )
        self.volumes[volume.id] = volume
        app.volumes[volume.id] = None
        self.show_volume(volume)
        if forked:
            self.spawn(self.hydrate(volume))
        return views.volume_view(volume)

    async def hydrate(self, volume: Volume) -> None:
        """Copy what is on a fork's source; in the end the fork is as any other volume."""
        await self.runtime.fork(volume.forked_from, volume.id)
        await anyio.sleep(self.timings.hydrate_seconds)
        if volume.state == "hydrating":
            volume.state = "created"
            self.show_volume(volume)

    def get_volume(self, app_name: str, volume_id: str) -> dict[str, Any]:
        """Return a volume."""
        return views.volume_view(self.volume(app_name, volume_id))

    def update_volume(self, app_name: str, volume_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change backups and how long they are kept."""
        volume = self.volume(app_name, volume_id)
        volume.auto_backup = body.get("auto_backup_enabled", volume.auto_backup)
        volume.retention_days = body.get("snapshot_retention", volume.retention_days)
        self.show_volume(volume)
        return views.volume_view(volume)

    def extend_volume(self, app_name: str, volume_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a volume larger.

        Raises:
            FlyError: 400 when the size does not grow.
        """
        volume = self.volume(app_name, volume_id)
        size = body.get("size_gb") or 0
        if not volume.size_gb < size <= _MAX_SIZE_GB:
            raise FlyError(400, f"volume size must be greater than {volume.size_gb}GB")
        volume.size_gb = size
        self.show_volume(volume)
        return {"volume": views.volume_view(volume), "needs_restart": False}

    def delete_volume(self, app_name: str, volume_id: str) -> dict[str, Any]:
        """Delete a volume; it may be listed for a while yet.

        Raises:
            FlyError: 412 while a machine holds it.
        """
        volume = self.volume(app_name, volume_id)
        if volume.machine:
            raise FlyError(
                412,
                f"failed_precondition: volume is currently bound to machine: {volume.machine}",
            )
        if volume.state != "pending_destroy":
            volume.state = "pending_destroy"
            self.show_volume(volume)
            self._forget_later(volume)
        return views.volume_view(volume)

    def list_snapshots(self, app_name: str, volume_id: str) -> list[dict[str, Any]]:
        """Return a volume's snapshots."""
        volume = self.volume(app_name, volume_id)
        return [views.snapshot_view(s, self.now()) for s in volume.snapshots]

    def create_snapshot(self, app_name: str, volume_id: str) -> dict[str, Any]:
        """Take a snapshot.

        Raises:
            FlyError: 412 while another one is pending.
        """
        volume = self.volume(app_name, volume_id)
        now = self.now()
        if pending := next((s for s in volume.snapshots if s.ready_at > now), None):
            at = rfc3339(pending.created_at)
            raise FlyError(412, f"failed_precondition: snapshot is already scheduled at {at}")
        ready = now + self.timings.snapshot_seconds
        snapshot = Snapshot(self.ids.snapshot(), now, ready, volume.size_gb)
        volume.snapshots.append(snapshot)
        self._notify()
        return views.snapshot_view(snapshot, now)

    def forget_volume(self, volume: Volume) -> None:
        """Remove a volume for good."""
        if self.volumes.pop(volume.id, None) is None:
            return
        if app := self.apps.get(volume.app):
            app.volumes.pop(volume.id, None)
        self.show_volume(volume)
        self.spawn(self.runtime.discard(volume.id))

    def _forget_later(self, volume: Volume) -> None:
        if self.timings.deleted_volume_lists_seconds > 0:
            self.spawn(self._forget(volume))
        else:
            self.forget_volume(volume)

    async def _forget(self, volume: Volume) -> None:
        await anyio.sleep(self.timings.deleted_volume_lists_seconds)
        self.forget_volume(volume)

    def _forked(self, body: dict[str, Any]) -> Volume | None:
        source_id = body.get("source_volume_id")
        if not source_id:
            return None
        source = self.volumes.get(source_id)
        if source is None or source.state == "pending_destroy":
            raise FlyError(404, "source volume not found")
        self.app(source.app)
        if (body.get("size_gb") or source.size_gb) < source.size_gb:
            raise FlyError(400, f"volume size must be at least {source.size_gb}GB")
        return source

    def _restored_size(self, snapshot_id: str | None) -> int:
        if not snapshot_id:
            return 0
        every = (s for volume in self.volumes.values() for s in volume.snapshots)
        found = next((s for s in every if s.id == snapshot_id), None)
        if found is None:
            raise FlyError(404, "snapshot not found")
        return found.size_gb


def _check(body: dict[str, Any], region: str) -> None:
    if not _NAME.fullmatch(body.get("name") or ""):
        raise FlyError(400, "invalid volume name: must match ^[a-z0-9_]{1,30}$")
    if not 1 <= (body.get("size_gb") or 1) <= _MAX_SIZE_GB:
        raise FlyError(400, f"invalid volume size: must be between 1 and {_MAX_SIZE_GB}GB")
    if region not in REGIONS:
        raise FlyError(400, f"invalid region: {region}")
