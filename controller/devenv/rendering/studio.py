"""Studio of January 2024, as self-hosted Supabase runs it, behind a gate.

Studio asks nobody who he is: self-hosted Supabase hides it behind Kong's basic authentication, of
whose variables the names are. Here it has an address of its own, so a gate stands in the same
machine: it listens on the public port, and Studio on the machine's own loopback.

Studio's pages about tables and SQL ask a seventh service, postgres-meta (`STUDIO_PG_META_URL`),
which a dev environment does not have; those about users and files ask the gateway.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from controller.devenv.keys import DASHBOARD_USER, dashboard_password
from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import Facts
from crds.devenv import PORTS

# What the image's own health check asks for.
HEALTH: Final = "/api/profile"
GATE: Final = "/invoker/studio_gate.js"
# Where the image has its program, before and after Studio moved into `apps`.
PROGRAMS: Final = ("studio/server.js", "apps/studio/server.js")


def render(facts: Facts) -> Rendered:
    """What Studio and its gate are told."""
    return Rendered(
        env={
            "PORT": str(PORTS["studio"]),
            "STUDIO_GATE_OPEN_PATH": HEALTH,
            "DASHBOARD_USERNAME": DASHBOARD_USER,
            "DEFAULT_ORGANIZATION_NAME": facts.spec.client,
            "DEFAULT_PROJECT_NAME": facts.spec.app,
            "SUPABASE_URL": facts.inside("kong"),
            "NEXT_PUBLIC_ENABLE_LOGS": "false",
        },
        secrets={
            # Where users come in: no row says so, for it would say so while all is down.
            "SUPABASE_PUBLIC_URL": facts.public_url,
            "DASHBOARD_PASSWORD": dashboard_password(facts.keys),
            "POSTGRES_PASSWORD": facts.keys.db_password,
            "SUPABASE_ANON_KEY": facts.keys.anon_key,
            "SUPABASE_SERVICE_KEY": facts.keys.service_role_key,
        },
        check_path=HEALTH,
        public=True,
        command=["node", GATE, *PROGRAMS],
        files={GATE: gate()},
    )


@cache
def gate() -> str:
    """The gate's program, which comes with this package."""
    return files("controller.devenv.rendering").joinpath("studio_gate.js").read_text("utf-8")
