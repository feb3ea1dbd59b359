"""What runs on this computer in place of a dev environment's images.

`python -m deploy.local.services <name>` takes the variables of the image that it stands for,
the port in `PORT`, the volume in `INVOKER_DATA_DIR` and,
in `FLY_SIM_ROOT`, the directory below which the machine's configured files lie.
"""

import os
from pathlib import Path
from typing import Final

_PROGRAMS: Final = {
    "supabase/postgres": "postgres",
    "postgrest/postgrest": "postgrest",
    "supabase/gotrue": "gotrue",
    "kong": "kong",
    "library/kong": "kong",
    "supabase/storage-api": "storage",
    "supabase/studio": "studio",
}


def program(image: str) -> str | None:
    """The name of what stands for a container image, by its repository; None if nothing does.

    Args:
        image: As in a machine's config: registry and tag or digest may be there or not.
    """
    repository = image.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    first, _, rest = repository.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        repository = rest
    return _PROGRAMS.get(repository)


def shell(name: str, data: Path, port: int) -> dict[str, str]:
    """The variables that a command run inside a machine gets beside the machine's own.

    Inside a postgres machine `psql -h 127.0.0.1 -U supabase_admin` comes in without a password.

    Args:
        name: What runs there, as `program` says.
        data: The machine's volume.
        port: Where the machine listens.
    """
    if name != "postgres":
        return {}
    # Here, since whoever starts another program need not load PostgreSQL's client.
    from deploy.local.postgres import BINARIES  # noqa: PLC0415 - see above

    path = os.pathsep.join([str(data.resolve() / "bin"), str(BINARIES), os.defpath])
    return {"PATH": path, "PGPORT": str(port)}
