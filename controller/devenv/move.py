"""A database moves to another region: copied by the new machine itself, compared, switched to.

The new machine's own database stays what it was until `switch`, and a copy beside it is thrown
away by the next `begin`; so every step can be broken off anywhere and done again.
Where the copy is stands in a file on the new machine's volume; that it runs, in a lock which
the kernel lets go of when the last process of the copy ends.
"""

from __future__ import annotations

import shlex
from typing import Final, Literal, NamedTuple

from controller.devenv.psql import DATABASE, RETRY_SECONDS, Psql, text_of
from controller.engine import RetryLater
from crds.connection import Keys

MOVING: Final = "invoker_moving"
"""The name of the restored database until the switch; the scripts know it too."""
PORT: Final = "5432"
COUNT_SECONDS: Final = 60
SWITCH_SECONDS: Final = 60
LARGE_OBJECTS: Final = "select count(*) from pg_largeobject_metadata"
_NAMED: Final = 5

CopyState = Literal["None", "Running", "Restored", "Failed"]
_STATES: Final[dict[str, CopyState]] = {
    "none": "None",
    "running": "Running",
    "restored": "Restored",
    "switched": "Restored",
    "failed": "Failed",
}


class Progress(NamedTuple):
    """How far a copy is.

    Attributes:
        state: What it does, or came to.
        message: What was wrong, if it failed.
    """

    state: CopyState
    message: str = ""


class DataDiffersError(RetryLater):
    """The copy is not like the original any more; the next `begin` makes a new one."""


async def begin(target: Psql, *, source_host: str, keys: Keys) -> None:
    """Have the new machine fetch everything from the old one, in the background.

    Does nothing while a copy runs or when it is through; a failed or interrupted one is begun anew.

    Args:
        target: The new machine's database.
        source_host: Where the new machine reaches the old one's, as `host` or `host:port`.
        keys: With the password of the old one's superuser.

    Raises:
        RetryLater: The machine refused.
    """
    host, _, port = source_host.partition(":")
    script = f"copy={shlex.quote(_script('copy'))}\n{_script('begin')}"
    await target.shell(script, stdin=f"{host}\n{port or PORT}\n{keys.db_password}\n")


async def progress(target: Psql) -> Progress:
    """How far the copy is.

    Raises:
        RetryLater: The machine refused.
    """
    word, _, message = (await target.shell(_script("progress"))).partition("\n")
    # A file that a crash of the machine left empty is as good as none.
    return Progress(_STATES.get(word.strip(), "None"), message.strip())


async def count(psql: Psql, database: str = DATABASE) -> dict[str, int]:
    """How many rows every ordinary table has, by `schema.table`, all at the same moment.

    PostgreSQL's own tables, those that extensions keep and ours (`invoker`) are left out.

    Raises:
        RetryLater: The database refused.
    """
    rows = await psql.query(text_of("counts.sql"), database=database, timeout=COUNT_SECONDS)
    return {name: int(number) for name, number in rows}


async def verify(source: Psql, target: Psql) -> tuple[int, int]:
    """Compare what was restored with where it comes from, table by table.

    Returns:
        How many tables there are, and how many rows in all of them.

    Raises:
        DataDiffersError: Somebody wrote to the old database; `progress` is `Failed` from now on.
        RetryLater: One of the databases refused.
    """
    old, new = await count(source), await count(target, MOVING)
    differing = [
        f"{name} ({_rows(old, name)} here, {_rows(new, name)} there)"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    objects = [await _large_objects(source, DATABASE), await _large_objects(target, MOVING)]
    if objects[0] != objects[1]:
        differing.append(f"large objects ({objects[0]} here, {objects[1]} there)")
    if differing:
        message = f"the copy differs in {_some(differing)}"
        await target.shell(_script("again"), stdin=f"{message}\n")
        raise DataDiffersError("DataDiffers", message, after=RETRY_SECONDS)
    return len(new), sum(new.values())


async def switch(target: Psql) -> None:
    """Make the restored database the one that services use; does nothing when that was done.

    Raises:
        RetryLater: Nothing was restored, or the machine refused.
    """
    await target.shell(_script("switch"), timeout=SWITCH_SECONDS)


def _script(name: str) -> str:
    return text_of("move_common.sh") + text_of(f"move_{name}.sh")


def _rows(counts: dict[str, int], name: str) -> str:
    number = counts.get(name)
    return "no table" if number is None else f"{number} rows"


def _some(texts: list[str]) -> str:
    more = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


async def _large_objects(psql: Psql, database: str) -> int:
    [[number]] = await psql.query(LARGE_OBJECTS, database=database)
    return int(number)
