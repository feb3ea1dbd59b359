"""Clients of the clouds: what can be asked, how fast, and what the answers mean."""

from controller.providers.breaker import Breaker, BreakerState
from controller.providers.budget import Budget, Rate
from controller.providers.call import Call, Priority
from controller.providers.errors import (
    AlreadyExists,
    CircuitOpen,
    Forbidden,
    InsufficientCapacity,
    InvalidRequest,
    LeaseHeld,
    NameTaken,
    NotFound,
    NotReady,
    NotStopped,
    ProviderError,
    QuotaReached,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnclassifiedConflict,
    VersionConflict,
    VolumeBound,
    VolumeClaimed,
    WaitTimeout,
)
from controller.providers.http import Gear, ProviderClient
from controller.providers.metrics import ProviderMetrics
from controller.providers.transport import aiohttp_transport

__all__ = [
    "AlreadyExists",
    "Breaker",
    "BreakerState",
    "Budget",
    "Call",
    "CircuitOpen",
    "Forbidden",
    "Gear",
    "InsufficientCapacity",
    "InvalidRequest",
    "LeaseHeld",
    "NameTaken",
    "NotFound",
    "NotReady",
    "NotStopped",
    "Priority",
    "ProviderClient",
    "ProviderError",
    "ProviderMetrics",
    "QuotaReached",
    "Rate",
    "RateLimited",
    "Unauthorized",
    "Unavailable",
    "UnclassifiedConflict",
    "VersionConflict",
    "VolumeBound",
    "VolumeClaimed",
    "WaitTimeout",
    "aiohttp_transport",
]
