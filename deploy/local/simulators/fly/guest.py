"""What a machine's process finds around it: its folders, its files, its environment.

A machine is one process with one port: `PORT` says which, and every port of its configuration
is that one.
`INVOKER_DATA_DIR` is the folder of its volume.
`FLY_SIM_ROOT` is the folder below which the files of `config.files` lie, each at its absolute
path; it is empty at every boot, as a machine's file system is.
`FLY_SIM_CMD` is `config.init.cmd` as JSON, if there is one.
"""

import base64
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.simulators.fly.state import Machine

Names = Callable[[str, str], Awaitable[str]]
"""Takes an app's name and a text, and returns it with private host names led to this computer."""

_INHERITED = (
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)
_READABLE = 0o644


async def as_written(app: str, text: str) -> str:
    """Return the text as it is: no private host is known."""
    del app
    return text


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine as its process sees it.

    Attributes:
        machine: The machine.
        port: Where its process listens.
        data: The folder of its volume.
        root: The folder of its files.
        secrets: Its app's secrets, as they were when it booted.
        names: What leads private host names to this computer.
    """

    machine: Machine
    port: int
    data: Path
    root: Path
    secrets: Mapping[str, str]
    names: Names

    async def furnish(self) -> None:
        """Make the folders anew and write the files.

        Raises:
            OSError: A file cannot be written, or its secret is not set.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (self.root, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        for file in self.machine.config.get("files") or []:
            path = self.root / file["guest_path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(await self._content(file))
            path.chmod(file.get("mode") or _READABLE)

    async def environment(self) -> dict[str, str]:
        """Return the environment of the machine's process."""
        machine = self.machine
        place = {
            "FLY_APP_NAME": machine.app,
            "FLY_MACHINE_ID": machine.id,
            "FLY_MACHINE_VERSION": machine.version,
            "FLY_PRIVATE_IP": machine.private_ip,
            "FLY_REGION": machine.region,
        }
        theirs = {**self.secrets, **machine.env, **self._told()}
        named = {key: await self.names(machine.app, text) for key, text in theirs.items()}
        return self._inherited() | place | named | self._places()

    def _inherited(self) -> dict[str, str]:
        return {name: os.environ[name] for name in _INHERITED if name in os.environ}

    def _told(self) -> dict[str, str]:
        command = (self.machine.config.get("init") or {}).get("cmd")
        return {"FLY_SIM_CMD": json.dumps(command)} if command else {}

    def _places(self) -> dict[str, str]:
        return {
            "PORT": str(self.port),
            "INVOKER_DATA_DIR": str(self.data),
            "FLY_SIM_ROOT": str(self.root),
            "PYTHONUNBUFFERED": "1",
        }

    async def _content(self, file: Mapping[str, Any]) -> bytes:
        value = file.get("raw_value")
        if value is None:
            name = file.get("secret_name") or ""
            if name not in self.secrets:
                raise FileNotFoundError(f"the secret {name} of a file is not set")
            value = self.secrets[name]
        raw = base64.b64decode(value)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return raw
        return (await self.names(self.machine.app, text)).encode()
