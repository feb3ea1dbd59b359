"""The engine: queue, workers, sources, shards. It knows no kind and no provider."""

from controller.engine.controller import Controller
from controller.engine.leader import Leader
from controller.engine.leases import LeaseKeeper, Timing
from controller.engine.manager import Manager, Runnable
from controller.engine.metrics import EngineMetrics
from controller.engine.outcome import Blocked, Failure, ReconcileError, RetryLater, Terminal
from controller.engine.queue import Backoff, Item, Priority, ShutDownError, WorkQueue
from controller.engine.reconciler import Grip, Ownership, Reconciler, Request, SoleOwner
from controller.engine.recorder import EventRecorder
from controller.engine.result import DONE, Result
from controller.engine.router import Router
from controller.engine.shards import Shards
from controller.engine.sources import (
    TimerSource,
    WatchSource,
    any_change,
    wish_changed,
)

__all__ = [
    "DONE",
    "Backoff",
    "Blocked",
    "Controller",
    "EngineMetrics",
    "EventRecorder",
    "Failure",
    "Grip",
    "Item",
    "Leader",
    "LeaseKeeper",
    "Manager",
    "Ownership",
    "Priority",
    "ReconcileError",
    "Reconciler",
    "Request",
    "Result",
    "RetryLater",
    "Router",
    "Runnable",
    "Shards",
    "ShutDownError",
    "SoleOwner",
    "Terminal",
    "TimerSource",
    "Timing",
    "WatchSource",
    "WorkQueue",
    "any_change",
    "wish_changed",
]
