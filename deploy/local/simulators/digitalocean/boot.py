"""What runs in droplets: the gateway of those whose cloud-init installs one, as a real process.

A droplet's disk is a folder; the gateway takes it for `/`, and it is there until the droplet is
destroyed.
"""

import asyncio
import base64
import binascii
import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

import deploy
from deploy.gateway.__main__ import NO_MORE
from deploy.local.children import bound
from deploy.local.simulators.digitalocean import boot_init
from deploy.local.simulators.digitalocean.cloud import DigitalOceanCloud
from deploy.local.simulators.digitalocean.state import Droplet
from deploy.local.simulators.fly.groups import signal_group, signal_one, told

GATEWAY_FILE: Final = "/etc/invoker/gateway.env"
"""Where a droplet's cloud-init leaves the gateway's settings."""

_HEADER: Final = "#cloud-config"
_VARIABLE: Final = re.compile(r"GATEWAY_[A-Z_]+")
_INHERITED: Final = ("LANG", "PATH", "TMPDIR", "TZ", "VIRTUAL_ENV")
_HALT_SECONDS: Final = 5.0
_ROOT: Final = "GATEWAY_ROOT"
_LOG: Final = "var/log/invoker-gateway.log"
_OWNER_ONLY: Final = 0o700

log = structlog.get_logger("deploy.local.simulators.digitalocean")


def gateway_settings(user_data: str) -> dict[str, str]:
    """Return the gateway's variables from a droplet's user data; empty where there is no gateway.

    Args:
        user_data: cloud-init's; only `#cloud-config` is read, and of it only `write_files`.
    """
    first, _, _ = user_data.partition("\n")
    if first.strip() != _HEADER:
        return {}
    with contextlib.suppress(yaml.YAMLError):
        document = yaml.safe_load(user_data)
        files = document.get("write_files") if isinstance(document, dict) else None
        for file in files if isinstance(files, list) else []:
            if isinstance(file, dict) and file.get("path") == GATEWAY_FILE:
                return _variables(_content(file))
    return {}


def _content(file: Mapping[str, Any]) -> str:
    text = str(file.get("content") or "")
    if file.get("encoding") not in {"b64", "base64"}:
        return text
    try:
        return base64.b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _variables(text: str) -> dict[str, str]:
    """Read lines as systemd's EnvironmentFile does, as far as settings need it."""
    found = {}
    for line in text.splitlines():
        name, is_set, value = line.strip().partition("=")
        if is_set and _VARIABLE.fullmatch(name):
            with contextlib.suppress(ValueError):
                found[name] = "".join(shlex.split(value))
    return found


class Boots:
    """Boots and halts droplets.

    Args:
        state: The folder for disks (`droplets/`).
        exists: Whether a droplet is still there.
    """

    def __init__(self, state: Path, exists: Callable[[int], bool]) -> None:
        self._disks = state.resolve() / "droplets"
        self._exists = exists
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._turns: dict[int, asyncio.Lock] = {}

    def end_leftovers(self) -> list[int]:
        """Kill what an earlier simulator left, and remove what no droplet has; return the pids."""
        ended = list(told(_ROOT, self._disks))
        for pid in ended:
            signal_one(pid, signal.SIGKILL)
        for disk in self._disks.glob("*"):
            if not self._exists(int(disk.name)):
                shutil.rmtree(disk, ignore_errors=True)
        return ended

    def disk(self, droplet: Droplet) -> Path:
        """Return the folder of a droplet's disk."""
        return self._disks / str(droplet.id)

    async def boot(self, droplet: Droplet, user_data: str) -> None:
        """Start the gateway of a droplet that has one."""
        settings = gateway_settings(user_data)
        if not settings:
            return
        async with self._turn(droplet):
            await self._end(droplet)
            if self._exists(droplet.id):
                self._running[droplet.id] = await self._start(droplet, settings)

    async def halt(self, droplet: Droplet) -> None:
        """End everything in a droplet at once; the disk of one that is destroyed goes too."""
        async with self._turn(droplet):
            await self._end(droplet)
            if not self._exists(droplet.id):
                await asyncio.to_thread(shutil.rmtree, self.disk(droplet), ignore_errors=True)
                self._turns.pop(droplet.id, None)

    async def aclose(self) -> None:
        """End everything in all droplets; their disks stay."""
        await asyncio.gather(*(self._end_process(each) for each in self._running.values()))
        self._running.clear()

    def _turn(self, droplet: Droplet) -> asyncio.Lock:
        return self._turns.setdefault(droplet.id, asyncio.Lock())

    async def _start(
        self, droplet: Droplet, settings: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        disk = self.disk(droplet)
        _furnish(disk, droplet.name)
        gateway = [sys.executable, "-P", "-m", "deploy.gateway"]
        init = [sys.executable, "-IS", boot_init.__file__, str(NO_MORE), *gateway]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        tree = str(Path(deploy.__file__).parents[1])
        with (disk / _LOG).open("ab") as output:
            # SIGTERM also when this process dies: the droplet's own first process ends the rest.
            return await asyncio.create_subprocess_exec(
                *bound(init, death_signal=signal.SIGTERM),
                cwd=disk,
                env={**environment, "PYTHONPATH": tree, **settings, _ROOT: str(disk)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _end(self, droplet: Droplet) -> None:
        process = self._running.pop(droplet.id, None)
        if process is not None:
            await self._end_process(process)
        for pid in told(_ROOT, self.disk(droplet)):
            signal_one(pid, signal.SIGKILL)

    @staticmethod
    async def _end_process(process: asyncio.subprocess.Process) -> None:
        signal_one(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_HALT_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("a droplet does not end", pid=process.pid)
            signal_group(process.pid, signal.SIGKILL)
            await process.wait()


def _furnish(disk: Path, name: str) -> None:
    """Make the folders that every machine has, and a prompt that says whose machine it is."""
    disk.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
    for folder in ("root", "tmp", "home", "usr/local/bin", Path(_LOG).parent):
        (disk / folder).mkdir(parents=True, exist_ok=True)
    profile = disk / "root" / ".bashrc"
    if not profile.exists():
        profile.write_text(f"PS1='\\u@{name}:\\w\\$ '\n", encoding="utf-8")


@asynccontextmanager
async def booted(cloud: DigitalOceanCloud, state: Path) -> AsyncIterator[Boots]:
    """Let a cloud's droplets really run; whatever runs in them ends with this.

    Args:
        cloud: The cloud, with its state and before `resume`.
        state: The folder for the droplets' disks.
    """
    boots = Boots(state, lambda number: number in cloud.droplets)
    boots.end_leftovers()
    cloud.on_boot, cloud.on_halt = boots.boot, boots.halt
    try:
        yield boots
    finally:
        await cloud.aclose()
        await boots.aclose()
