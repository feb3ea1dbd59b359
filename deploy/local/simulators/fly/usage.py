"""What the processes of a machine use, from /proc."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PARENT, _USER, _SYSTEM = 1, 11, 12  # of /proc/<pid>/stat, counted behind the command
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a machine uses.

    Attributes:
        cpu_seconds: Time of all its processors since it started.
        memory_bytes: Memory that is its own.
    """

    cpu_seconds: float
    memory_bytes: float


def usages(roots: Mapping[str, int]) -> dict[str, Usage]:
    """Return what processes with all their descendants use; nothing where that is not known.

    Args:
        roots: The first process of each machine.
    """
    known = dict(_processes())
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in known.items():
        children.setdefault(parent, []).append(pid)
    found = {}
    for machine, root in roots.items():
        family = [root] if root in known else []
        for pid in family:  # which grows meanwhile
            family += children.get(pid, [])
        if family:
            ticks = sum(known[pid][1] for pid in family)
            found[machine] = Usage(ticks / _TICKS, sum(map(_own_memory, family)))
    return found


def _processes() -> Iterator[tuple[int, tuple[int, int]]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = int(fields[_USER]) + int(fields[_SYSTEM])
        yield int(stat.parent.name), (int(fields[_PARENT]), ticks)


def _own_memory(pid: int) -> int:
    """Resident memory that no other process shares, in bytes: shared buffers count for nobody."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * _PAGE
