"""What answers in the databases of a plan: everything that is asked of them succeeds."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from typing import Final

from controller.devenv.move import LARGE_OBJECTS
from controller.devenv.psql import text_of
from deploy.local.simulators.fly.state import Machine

# What each changes, in words; None for what only looks.
DOES: Final[dict[str, str | None]] = {
    "prepare.sql": "give the roles their password",
    "rls_apply.sql": "apply row-level security",
    "rls_inspect.sql": None,
    "counts.sql": None,
    "move_begin.sh": "copy the data here",
    "move_progress.sh": None,
    "move_again.sh": "copy again",
    "move_switch.sh": "use the copy",
}
MODE: Final = re.compile(r"^\\set mode (\w+)$", re.MULTILINE)


class Guests:
    """Answers as databases without any tables, whose copies are through at once.

    Attributes:
        done: By machine, what each command changed, in their order; None for what only looked.
    """

    def __init__(self) -> None:
        self.done: defaultdict[str, deque[str | None]] = defaultdict(deque)
        self._copied: set[str] = set()
        self._switched: set[str] = set()

    async def __call__(
        self, machine: Machine, command: list[str], stdin: str, _: float
    ) -> tuple[int, str, str]:
        """Run a command; gives exit code, output and errors."""
        script = "\n".join([*command, stdin])
        name = next((each for each in DOES if text_of(each) in script), "")
        does = DOES.get(name)
        if name == "move_switch.sh" and machine.id in self._switched:
            does = None
        if does is not None and (mode := MODE.search(script)) is not None:
            does = f"{does}: {mode[1]}"
        self.done[machine.id].append(does)
        return 0, self._answer(machine, name, script), ""

    def _answer(self, machine: Machine, name: str, script: str) -> str:
        if name == "move_begin.sh":
            self._copied.add(machine.id)
        if name == "move_switch.sh":
            self._switched.add(machine.id)
        if name == "move_progress.sh":
            return "restored\n" if machine.id in self._copied else "none\n"
        return "0\n" if LARGE_OBJECTS in script else ""
