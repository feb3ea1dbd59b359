"""What developers want of their tables, in a few lines: the oracle of the property test."""

from dataclasses import dataclass, field
from typing import Literal, Self, get_args

from crds.devenv import RlsMode

Action = Literal[
    "create",
    "create secured",
    "create partitioned",
    "drop",
    "rename",
    "leave",
    "enable",
    "disable",
    "force",
    "no force",
    "write policy",
    "drop ours",
]
ACTIONS: tuple[Action, ...] = get_args(Action)

CATALOGUE = """
select c.relnamespace::regnamespace::text, c.relname, relrowsecurity, relforcerowsecurity,
  count(*) filter (where p.polname = 'theirs') > 0,
  count(*) filter (where p.polname = 'invoker_permissive') > 0
from pg_class c left join pg_policy p on p.polrelid = c.oid
where relnamespace in ('public'::regnamespace, 'elsewhere'::regnamespace)
  and relkind in ('r', 'p')
group by 1, 2, 3, 4 order by 1, 2
"""


@dataclass
class Table:
    """One table.

    Attributes:
        name: Its name.
        schema: Where it is.
        wanted: Whether its developers want row-level security, as of the last mode applied.
        enabled: Whether it is on.
        forced: Whether it is forced.
        policy: Whether they wrote a policy.
        parent: What it is a partition of.
    """

    name: str
    schema: str = "public"
    wanted: bool = False
    enabled: bool = False
    forced: bool = False
    policy: bool = False
    parent: Self | None = None


@dataclass
class Model:
    """A database and its mode.

    Attributes:
        sql: What the developers did, to be done in the real one.
    """

    tables: list[Table] = field(default_factory=list)
    mode: RlsMode = "production"
    sql: list[str] = field(default_factory=list)
    made: int = 0

    def act(self, action: Action, number: int) -> None:
        """A developer does something, to one of the tables of public where it needs one."""
        mine = [table for table in self.tables if table.schema == "public"]
        if action.startswith("create"):
            self._create(action)
        elif mine:
            self._change(action, mine[number % len(mine)])

    def apply(self, mode: RlsMode) -> None:
        """A mode is applied: what they want is what is on, and what we had turned off."""
        for table in self.tables:
            table.wanted = table.enabled or (table.wanted and self.mode == "disabled")
            table.enabled = table.wanted and (mode != "disabled" or table.schema != "public")
        self.mode = mode

    def rows(self) -> list[tuple[object, ...]]:
        """What the catalogue has to say when a mode was just applied."""
        return sorted(
            (t.schema, t.name, t.enabled, t.forced, t.policy, self._is_open(t)) for t in self.tables
        )

    def _is_open(self, table: Table) -> bool:
        return table.wanted and self.mode == "permissive" and table.schema == "public"

    def _new_name(self) -> str:
        self.made += 1
        return f"t{self.made:02d}"

    def _create(self, action: Action) -> None:
        table = Table(self._new_name())
        self.tables.append(table)
        if action == "create partitioned":
            part = Table(self._new_name(), parent=table)
            self.tables.append(part)
            self.sql.append(f"create table {table.name} (id int) partition by list (id)")
            self.sql.append(f"create table {part.name} partition of {table.name} default")
            return
        self.sql.append(f"create table {table.name} (id int)")
        if action == "create secured":
            self._change("enable", table)

    def _change(self, action: Action, table: Table) -> None:
        name = table.name
        match action:
            case "enable" | "disable":
                table.enabled = action == "enable"
                self.sql.append(f"alter table {name} {action} row level security")
            case "force" | "no force":
                table.forced = action == "force"
                self.sql.append(f"alter table {name} {action} row level security")
            case "write policy":
                table.policy = True
                self.sql.append(f"drop policy if exists theirs on {name}")
                self.sql.append(f"create policy theirs on {name} using (id > 0)")
            case "drop ours":
                self.sql.append(f"drop policy if exists invoker_permissive on {name}")
            case "rename":
                table.name = self._new_name()
                self.sql.append(f"alter table {name} rename to {table.name}")
            case "leave":
                table.schema = "elsewhere"
                self.sql.append(f"alter table {name} set schema elsewhere")
            case _:
                self.tables = [t for t in self.tables if table not in (t, t.parent)]
                self.sql.append(f"drop table {name} cascade")
