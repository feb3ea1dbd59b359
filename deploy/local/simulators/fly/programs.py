"""Which local program stands for which image."""

import sys
from pathlib import Path

from deploy.local import services
from deploy.local.simulators.fly.state import Machine


def local_command(machine: Machine) -> list[str]:
    """Return the command of a machine: a service's stand-in, or the agent for any other image."""
    name = services.program(machine.config.get("image") or "")
    module = ["deploy.agent"] if name is None else ["deploy.local.services", name]
    return [sys.executable, "-m", *module]


def shell_environment(machine: Machine, data: Path, port: int) -> dict[str, str]:
    """Return what a command run inside a machine finds beside the machine's own environment."""
    name = services.program(machine.config.get("image") or "")
    return {} if name is None else services.shell(name, data, port)
