"""How the machine is, from /proc."""

import os
from pathlib import Path
from typing import Final

from deploy.gateway.protocol import Message

EVERY_SECONDS: Final = 30.0
"""How often it is told (docs/protocols.md, "The gateway")."""

_KIB: Final = 1024
_IDLE: Final = slice(3, 5)  # idle and iowait, of the first line of /proc/stat


class Health:
    """Measures the machine.

    Args:
        disk: A folder of the disk that counts.
        proc: Where the kernel tells of itself.
    """

    def __init__(self, disk: Path = Path("/"), proc: Path = Path("/proc")) -> None:
        self._disk = disk
        self._proc = proc
        self._before = (0, 0)

    def measure(self) -> Message:
        """Return a `gateway.health`; the processor's load is that since the last measure."""
        memory = self._memory()
        total = memory["MemTotal"]
        disk = os.statvfs(self._disk)
        return {
            "type": "gateway.health",
            "cpu_percent": round(self._cpu(), 1),
            "memory_used_bytes": total - memory.get("MemAvailable", memory["MemFree"]),
            "memory_total_bytes": total,
            "disk_used_bytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "disk_total_bytes": disk.f_blocks * disk.f_frsize,
            "uptime_seconds": float(self._text("uptime").split()[0]),
        }

    def _cpu(self) -> float:
        # Guests' time is counted in user time already.
        times = [int(text) for text in self._text("stat").splitlines()[0].split()[1:9]]
        total, idle = sum(times), sum(times[_IDLE])
        passed, rested = total - self._before[0], idle - self._before[1]
        self._before = (total, idle)
        return min(100.0, max(0.0, 100 * (1 - rested / passed))) if passed > 0 else 0.0

    def _memory(self) -> dict[str, int]:
        lines = (line.partition(":") for line in self._text("meminfo").splitlines())
        return {name: int(rest.split()[0]) * _KIB for name, _, rest in lines}

    def _text(self, name: str) -> str:
        return (self._proc / name).read_text(encoding="ascii")
