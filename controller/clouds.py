"""What a replica is given: the outside world, and how often to look at it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.devenv.watch import Metrics
from controller.engine import Timing
from controller.grants import Application
from controller.machine.agent import AgentClient
from controller.providers.cloudflare import WorkersKV
from controller.providers.fly import Fly
from controller.providers.netlify import Netlify
from controller.vps.tools import Gateways
from crds.credentials import MachineTokens
from crds.secrets import Secrets


@dataclass(frozen=True, slots=True)
class Pace:
    """How often things are looked at, in seconds.

    Attributes:
        resync: In so long every object is reconciled once, whether or not anything changed.
        timing: How long shard leases live.
        shards: How many shards there are; the same on all replicas, for ever.
    """

    resync: float = 600.0
    timing: Timing = field(default_factory=Timing)
    shards: int = 16


@dataclass(frozen=True, slots=True)
class Clouds:
    """The outside world of a replica.

    Attributes:
        fly: The provider of machines.
        kv: The edge's memory.
        agent: How machines are reached.
        tokens: The machines' credentials.
        installation: Whose marks we put and heed.
        agent_env: What every agent is told.
        secrets: The table of secrets.
        fingerprint: A keyed hash of a value that may stand in a row in place of it.
        gateways: How the gateways in users' droplets come to be and are reached.
        random: So many random bytes, fit for keys.
        netlify: Where front ends are built, if a team's token is configured.
        metrics: The provider's metrics, if they can be asked for.
        digitalocean: DigitalOcean, if an application is configured that users can grant to.
    """

    fly: Fly
    kv: WorkersKV
    agent: AgentClient
    tokens: MachineTokens
    installation: str
    agent_env: Mapping[str, str]
    secrets: Secrets
    fingerprint: Callable[[bytes], str]
    gateways: Gateways
    random: Callable[[int], bytes] = os.urandom
    netlify: Netlify | None = None
    metrics: Metrics | None = None
    digitalocean: Application | None = None
