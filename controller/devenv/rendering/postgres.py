"""PostgreSQL, as `supabase/postgres` 15.1.1.78 runs it.

The variables are those of its entry point, which is docker-library's.

The image expects things that a machine of Fly does not give:

- `initdb` refuses a directory that is not empty, and the root of a volume holds `lost+found`:
  the data is one level below, and `postgresql.conf`, which names its directory, is overruled.
- The key of pgsodium, with which Vault encrypts, lies in `/etc/postgresql-custom` and is drawn at
  the first start; a machine's own disk begins anew with every start, and what was encrypted before
  could never be read again, nor what another region's database restored.
  Therefore it is one of the environment's keys, and is put there before the server starts.
- Its `pg_hba.conf` lets passwords in from IPv4 networks; Fly's private networks are IPv6.
"""

from __future__ import annotations

from typing import Final

from controller.devenv.keys import DATABASE
from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import Facts

VOLUME: Final = "/var/lib/postgresql/data"
VAULT_KEY: Final = "/etc/postgresql-custom/pgsodium_root.key"
ACCESS: Final = "/etc/postgresql/pg_hba.conf"
START: Final = f"""\
set -eu
install -o postgres -g postgres -m 0600 /dev/null {VAULT_KEY}
printf %s "$PGSODIUM_ROOT_KEY" > {VAULT_KEY}
unset PGSODIUM_ROOT_KEY
echo 'host all all ::/0 scram-sha-256' >> {ACCESS}
exec docker-entrypoint.sh postgres -D /etc/postgresql -c data_directory="$PGDATA"
"""


def render(facts: Facts) -> Rendered:
    """What PostgreSQL is told; SIGINT asks it for a fast shutdown, as its image does."""
    return Rendered(
        env={"POSTGRES_DB": DATABASE, "PGDATA": f"{VOLUME}/pgdata"},
        secrets={
            "POSTGRES_PASSWORD": facts.keys.db_password,
            "PGSODIUM_ROOT_KEY": facts.keys.vault_key,
        },
        check="tcp",
        volume_path=VOLUME,
        command=["bash", "-c", START],
        stop_signal="SIGINT",
    )
