"""The hub and the gateways of users' droplets, in memory: docs/protocols.md on the loop's time."""

from deploy.local.simulators.gateways.control import (
    EDGE_TOKEN,
    HUB_HOST,
    RELEASE,
    TOKENS,
    gateways,
)
from deploy.local.simulators.gateways.droplets import DropletGateways
from deploy.local.simulators.gateways.gateway import Faults, SimulatedGateway, Timings
from deploy.local.simulators.gateways.hub import Hub
from deploy.local.simulators.gateways.outbox import UnknownGatewayError
from deploy.local.simulators.gateways.places import authentication, into_store

__all__ = [
    "EDGE_TOKEN",
    "HUB_HOST",
    "RELEASE",
    "TOKENS",
    "DropletGateways",
    "Faults",
    "Hub",
    "SimulatedGateway",
    "Timings",
    "UnknownGatewayError",
    "authentication",
    "gateways",
    "into_store",
]
