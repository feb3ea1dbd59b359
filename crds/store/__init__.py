"""The store: objects in PostgreSQL, their log of changes, and what is kept beside them."""

from crds.store.audit import Actor, Audit, AuditRecord
from crds.store.doorbell import Doorbell, LocalDoorbell, PostgresDoorbell
from crds.store.events import EventRecord, Events
from crds.store.heartbeats import Heartbeat, HeartbeatRecord, Heartbeats, Probe, UsageSample
from crds.store.leases import Fence, LeaseRecord, Leases
from crds.store.migrate import MigrationError, migrate
from crds.store.reads import Page
from crds.store.rows import WatchEvent
from crds.store.store import StatusWish, Store

__all__ = [
    "Actor",
    "Audit",
    "AuditRecord",
    "Doorbell",
    "EventRecord",
    "Events",
    "Fence",
    "Heartbeat",
    "HeartbeatRecord",
    "Heartbeats",
    "LeaseRecord",
    "Leases",
    "LocalDoorbell",
    "MigrationError",
    "Page",
    "PostgresDoorbell",
    "Probe",
    "StatusWish",
    "Store",
    "UsageSample",
    "WatchEvent",
    "migrate",
]
