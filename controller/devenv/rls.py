"""Row-level security of a dev environment in three modes, each of which can be left again.

production
    As the developers defined it.
permissive
    As they defined it, and every table that has it shows everything to signed-in users,
    by one policy more (`invoker_permissive`); who is not signed in stays under theirs.
disabled
    On no table; what was enabled is remembered and comes back.

What counts as drift, and what a developer can change in which mode, says decision 0048.
"""

from __future__ import annotations

from typing import Final

from controller.devenv.psql import Psql, text_of
from crds.devenv import RlsMode

MOST: Final = 50
"""Tables that are told of: a status has to stay readable."""


async def apply(psql: Psql, mode: RlsMode) -> None:
    """Bring every table of schema public into a mode; does nothing where it is so.

    All or nothing, and it never waits long: who comes in the way of somebody's work tries again.

    Raises:
        RetryLater: The database refused, or somebody works on a table.
    """
    await psql.query(f"\\set mode {mode}\n{text_of('rls_apply.sql')}")


async def inspect(psql: Psql, mode: RlsMode) -> list[str]:
    """The tables, as `schema.table`, that are not as the mode says; sorted, at most 50.

    Raises:
        RetryLater: The database refused.
    """
    variables = f"\\set mode {mode}\n\\set most {MOST}\n"
    return [name for (name,) in await psql.query(variables + text_of("rls_inspect.sql"))]
