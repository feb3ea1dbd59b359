"""What Prometheus is told about the fleet, beyond the engine and the providers."""

from controller.metrics.database import DatabaseWatch
from controller.metrics.events import EventMetrics
from controller.metrics.fleet import FleetWatch
from controller.metrics.leaks import LeakMetrics
from controller.metrics.usage import UsageMetrics

__all__ = ["DatabaseWatch", "EventMetrics", "FleetWatch", "LeakMetrics", "UsageMetrics"]
