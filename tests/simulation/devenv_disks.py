"""What is on the disk of a dev environment's database, as a model that answers what we ask."""

from __future__ import annotations

import base64
import copy
import csv
import hashlib
import hmac
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from controller.devenv.move import LARGE_OBJECTS, MOVING
from controller.devenv.psql import DATABASE, text_of

Ran = tuple[int, str, str]
# How long a copy of a small database takes, in seconds.
COPY_SECONDS = 12.0
VERIFIERS = re.compile(r"\\set verifiers '(.*)'\n")
MODE = re.compile(r"\\set mode (\w+)\n")
SCRIPTS = ("begin", "progress", "again", "switch")


class Disk(Protocol):
    """A database's disk, with its server when that runs."""

    def boot(self) -> None:
        """Start the server."""

    def halt(self, *, politely: bool) -> None:
        """Stop the server, with all that runs beside it; does nothing when it does not run."""

    def remove(self) -> None:
        """Take it away for good."""

    @property
    def running(self) -> bool:
        """Whether the server runs."""

    def run(self, command: list[str], stdin: str, find: Callable[[str], Disk | None]) -> Ran:
        """Run a command beside the server, and all that it leaves in the background.

        Args:
            command: The command.
            stdin: What it reads.
            find: The disk whose machine has a name on the private network, if that runs.
        """

    def lets_in(self, role: str, password: str) -> bool:
        """Whether a role may log in with a password; kept, so that it may be asked often."""

    def rows(self) -> dict[str, int]:
        """How many rows every table of the developers has."""

    def insert(self, table: str, number: int) -> None:
        """Add so many rows to a table of schema public, made when missing, under RLS."""

    def open_table(self, table: str) -> None:
        """Switch row-level security off by hand."""

    def secured(self) -> dict[str, bool]:
        """Which tables of schema public are under row-level security."""


@cache
def fits(verifier: str, password: str) -> bool:
    """Whether a password is the one that a SCRAM verifier was made of."""
    match = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", verifier)
    if match is None:
        return False
    salt = base64.b64decode(match[2])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, int(match[1]))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return stored == base64.b64decode(match[3])


@dataclass
class Contents:
    """One database.

    Attributes:
        tables: How many rows each has.
        secured: Whether each is under row-level security.
        known: Whether its developers wanted it to be, as last seen.
        mode: The mode of row-level security that was applied last.
    """

    tables: dict[str, int] = field(default_factory=dict)
    secured: dict[str, bool] = field(default_factory=dict)
    known: dict[str, bool] = field(default_factory=dict)
    mode: str = "production"


@dataclass
class Copy:
    """The copy of another database.

    Attributes:
        state: As the scripts say it.
        why: What was wrong.
        due: When it will be through.
        boot: The number of the boot during which it began.
        found: What it read at its beginning, with the roles' passwords.
    """

    state: str = "none"
    why: str = ""
    due: float = 0.0
    boot: int = 0
    found: tuple[Contents, dict[str, str]] | None = None


class ModelDisk:
    """Answers each of the scripts as a server would, without one.

    Args:
        now: The clock.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._boots = 0
        self._running = False
        self._databases = {DATABASE: Contents()}
        self._verifiers: dict[str, str] = {}
        self._copy = Copy()

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._running

    def boot(self) -> None:
        """Start the server."""
        self._running = True
        self._boots += 1

    def halt(self, *, politely: bool) -> None:
        """Stop the server; the copy goes on from where it is, which is nowhere."""
        del politely
        self._running = False

    def remove(self) -> None:
        """Nothing is left to be taken away."""
        self._running = False

    def lets_in(self, role: str, password: str) -> bool:
        """Whether a role may log in with a password."""
        return fits(self._verifiers.get(role, ""), password)

    def rows(self) -> dict[str, int]:
        """How many rows every table has."""
        return dict(self._databases[DATABASE].tables)

    def insert(self, table: str, number: int) -> None:
        """Add so many rows to a table."""
        here = self._databases[DATABASE]
        here.tables[table] = here.tables.get(table, 0) + number
        here.secured.setdefault(table, True)

    def open_table(self, table: str) -> None:
        """Switch row-level security off by hand."""
        self._databases[DATABASE].secured[table] = False

    def secured(self) -> dict[str, bool]:
        """Which tables are under row-level security."""
        return dict(self._databases[DATABASE].secured)

    def run(self, command: list[str], stdin: str, find: Callable[[str], Disk | None]) -> Ran:
        """Answer one of our scripts."""
        if command[0] == "sh":
            (script,) = (s for s in SCRIPTS if text_of(f"move_{s}.sh") in command[2])
            return self._move(script, stdin, find)
        database = command[command.index("-d") + 1]
        if database not in self._databases:
            return 2, "", f'psql: error: FATAL:  database "{database}" does not exist'
        return 0, self._answer(self._databases[database], stdin), ""

    def _answer(self, database: Contents, sql: str) -> str:
        if found := VERIFIERS.search(sql):
            self._verifiers |= json.loads(found[1])
            return ""
        if text_of("counts.sql") in sql:
            return _csv([f"public.{name}", str(rows)] for name, rows in database.tables.items())
        if LARGE_OBJECTS in sql:
            return "0\n"
        mode = MODE.search(sql)
        assert mode is not None, sql
        if text_of("rls_apply.sql") in sql:
            _apply(database, mode[1])
            return ""
        assert text_of("rls_inspect.sql") in sql
        return _csv([f"public.{name}"] for name in _drifted(database, mode[1]))

    def _move(self, script: str, stdin: str, find: Callable[[str], Disk | None]) -> Ran:
        self._go_on()
        held = self._copy
        match script:
            case "begin" if held.state in ("none", "failed"):
                self._begin(stdin, find)
            case "progress":
                return 0, f"{held.state}\n{held.why}\n", ""
            case "again" if held.state == "restored":
                self._copy = Copy("failed", stdin.strip())
            case "switch" if held.state == "restored":
                self._databases = {DATABASE: self._databases[MOVING]}
                self._copy = Copy("switched")
            case "switch" if held.state != "switched":
                return 1, "", f"ERROR:  there is nothing to switch to: the copy is {held.state}"
            case _:
                pass
        return 0, "", ""

    def _begin(self, stdin: str, find: Callable[[str], Disk | None]) -> None:
        host, _, password = stdin.splitlines()
        source = find(host)
        self._databases.pop(MOVING, None)
        if source is None:
            self._copy = Copy("failed", "could not connect to server")
            return
        assert isinstance(source, ModelDisk)
        if not source.lets_in("supabase_admin", password):
            self._copy = Copy("failed", "FATAL:  password authentication failed")
            return
        found = copy.deepcopy(source._databases[DATABASE]), dict(source._verifiers)
        self._copy = Copy("running", "", self._now() + COPY_SECONDS, self._boots, found)

    def _go_on(self) -> None:
        """Have the copy be where it would be by this time."""
        held = self._copy
        if held.state == "running" and held.boot != self._boots:
            self._copy = Copy("failed", "the copy was broken off")
        elif held.state == "running" and self._now() >= held.due and held.found is not None:
            self._databases[MOVING], self._verifiers = held.found
            self._copy = Copy("restored")


def _apply(database: Contents, mode: str) -> None:
    """What `rls_apply.sql` does, as far as tables are switched on and off."""
    for name, on in database.secured.items():
        defined = on or (database.mode == "disabled" and database.known.get(name, False))
        database.known[name] = defined
        database.secured[name] = defined and mode != "disabled"
    database.mode = mode


def _drifted(database: Contents, mode: str) -> list[str]:
    """The tables that `rls_inspect.sql` names."""
    if mode == "disabled":
        return sorted(name for name, on in database.secured.items() if on)
    return sorted(
        name for name, on in database.secured.items() if database.known.get(name) and not on
    )


def _csv(rows: object) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]  # rows of texts
    return out.getvalue()
