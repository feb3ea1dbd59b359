"""Leases and metadata of machines."""

from typing import Any

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.fly import views
from deploy.local.simulators.fly.health import Health
from deploy.local.simulators.fly.lifecycle import Lifecycle
from deploy.local.simulators.fly.state import FlyError, Lease, Machine

_DEFAULT_TTL = 60
_NONCE_DIGITS = 12
_OWNER = "invoker@example.invalid"


class Leases(Lifecycle, Health):
    """Who may change a machine, and what is noted on it."""

    def held(self, app_name: str, machine_id: str, nonce: str) -> Machine:
        """Return a machine that the caller may change.

        Raises:
            FlyError: 409 when somebody else leases it, or as `machine` does.
        """
        machine = self.machine(app_name, machine_id)
        lease = self.lease_of(machine)
        if lease is not None and lease.nonce != nonce:
            until = rfc3339(lease.expires_at)
            raise FlyError(
                409,
                f"machine ID {machine.id} lease currently held by {lease.owner}, "
                f"expires at {until}",
            )
        return machine

    def lease_of(self, machine: Machine) -> Lease | None:
        """Return the lease on a machine, None if none is in force."""
        if machine.lease is not None and machine.lease.expires_at <= self.now():
            machine.lease = None
        return machine.lease

    def grant_lease(
        self, machine: Machine, ttl: float, description: str, owner: str = _OWNER
    ) -> Lease:
        """Lease a machine for `ttl` seconds, whoever held it before."""
        nonce = self.ids.hex(_NONCE_DIGITS)
        until = self.now() + ttl
        machine.lease = Lease(nonce, owner, description, until, machine.version)
        return machine.lease

    def create_lease(
        self, app_name: str, machine_id: str, body: dict[str, Any], nonce: str
    ) -> dict[str, Any]:
        """Lease a machine, or with its nonce prolong the lease."""
        machine = self.held(app_name, machine_id, nonce)
        ttl = body.get("ttl") or _DEFAULT_TTL
        lease = machine.lease
        if lease is None:
            lease = self.grant_lease(machine, ttl, body.get("description") or "")
        else:
            lease.expires_at = self.now() + ttl
        return self._lease_answer(lease)

    def get_lease(self, app_name: str, machine_id: str) -> dict[str, Any]:
        """Return the lease on a machine.

        Raises:
            FlyError: 404 when there is none.
        """
        lease = self.lease_of(self.machine(app_name, machine_id))
        if lease is None:
            raise FlyError(404, "lease not found")
        return self._lease_answer(lease)

    def release_lease(self, app_name: str, machine_id: str, nonce: str) -> dict[str, Any]:
        """Release a lease.

        Raises:
            FlyError: 404 when there is none, 409 when it is somebody else's.
        """
        machine = self.held(app_name, machine_id, nonce)
        if machine.lease is None:
            raise FlyError(404, "lease not found")
        machine.lease = None
        return {"ok": True} if self.flat_leases else {"status": "success", "data": {"ok": True}}

    def with_lease(self, view: dict[str, Any], machine: Machine) -> dict[str, Any]:
        """Return a machine's view with what others may know of its lease."""
        lease = self.lease_of(machine)
        return view | ({"lease": views.stripped_lease_view(lease)} if lease else {})

    # Metadata

    def get_metadata(self, app_name: str, machine_id: str) -> dict[str, str]:
        """Return a machine's metadata."""
        return self.machine(app_name, machine_id).config.get("metadata") or {}

    def get_metadata_key(self, app_name: str, machine_id: str, key: str) -> dict[str, str]:
        """Return one entry.

        Raises:
            FlyError: 404 when there is none.
        """
        metadata = self.get_metadata(app_name, machine_id)
        if key not in metadata:
            raise FlyError(404, "metadata key not found")
        return {"value": metadata[key]}

    def set_metadata_key(self, app_name: str, machine_id: str, key: str, value: str | None) -> None:
        """Set one entry, or (None) remove it."""
        metadata = self.get_metadata(app_name, machine_id)
        kept = {name: entry for name, entry in metadata.items() if name != key}
        self._set(self.machine(app_name, machine_id), kept | ({key: value} if value else {}))

    def replace_metadata(
        self, app_name: str, machine_id: str, body: dict[str, Any], *, merge: bool
    ) -> None:
        """Replace all metadata, or merge into it; an empty value removes its entry.

        Raises:
            FlyError: 412 when `machine_version` is not the machine's.
        """
        machine = self.machine(app_name, machine_id)
        wanted = body.get("machine_version")
        if wanted and wanted != machine.version:
            raise FlyError(412, "failed_precondition: machine version mismatch")
        before = self.get_metadata(app_name, machine_id) if merge else {}
        after = before | (body.get("metadata") or {})
        self._set(machine, {name: value for name, value in after.items() if value})

    def _set(self, machine: Machine, metadata: dict[str, str]) -> None:
        machine.config = machine.config | {"metadata": metadata}
        self.show_machine(machine)

    def _lease_answer(self, lease: Lease) -> dict[str, Any]:
        data = views.lease_view(lease)
        return data if self.flat_leases else {"status": "success", "data": data}
