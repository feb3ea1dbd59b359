"""`supabase/postgres`: a real PostgreSQL on the machine's volume."""

import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from deploy.local.postgres import PostgresError
from deploy.local.services.cluster import Cluster
from deploy.local.services.settings import Variables

SCRIPTS: Final = ("docker-entrypoint-initdb.d/**/*.sql", "etc/postgresql.schema.sql")
"""Where the image looks for SQL to be run at the first start."""

_DEFAULT_DATABASE: Final = "postgres"
_LOGGER = logging.getLogger("postgres")


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM, then shut down in order.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        cluster = _cluster(environ)
        _serve(cluster)
    except PostgresError as error:
        sys.exit(str(error))
    sys.exit(f"PostgreSQL ended by itself; {cluster.log.name} on the volume says why")


def _serve(cluster: Cluster) -> None:
    try:
        cluster.start()
        _LOGGER.info("listening on port %s", cluster.port)
        if cluster.process:
            cluster.process.wait()
    finally:
        # A second signal must not cut the shutdown off.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        cluster.stop()


def _cluster(environ: Mapping[str, str]) -> Cluster:
    variables = Variables(environ, "postgres")
    port, data = variables.port(), variables.volume()
    password = variables.text("POSTGRES_PASSWORD")
    database = variables.text("POSTGRES_DB", default=_DEFAULT_DATABASE)
    root = variables.optional_directory("FLY_SIM_ROOT")
    templates = variables.optional_directory("INVOKER_CLUSTER_TEMPLATES")
    variables.check()
    return Cluster(
        data,
        port,
        password=password,
        extra_database=None if database == _DEFAULT_DATABASE else database,
        scripts=_scripts(root) if root else (),
        template=Cluster.template(templates) if templates else None,
    )


def _scripts(root: Path) -> tuple[Path, ...]:
    return tuple(path for pattern in SCRIPTS for path in sorted(root.glob(pattern)))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(0)
