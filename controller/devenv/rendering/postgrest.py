"""PostgREST 12.0.1: its configuration parameters, as variables (its `Config.hs`).

It connects as `authenticator`, which the image of PostgreSQL makes and which may become every role
that a token can name.
"""

from __future__ import annotations

from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import JWT_SECONDS, Facts
from crds.devenv import PORTS


def render(facts: Facts) -> Rendered:
    """What PostgREST is told; `/` answers everybody as soon as it knows the schema."""
    return Rendered(
        env={
            "PGRST_SERVER_PORT": str(PORTS["postgrest"]),
            "PGRST_DB_SCHEMAS": "public",
            # Where the image of PostgreSQL puts extensions.
            "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_APP_SETTINGS_JWT_EXP": JWT_SECONDS,
        },
        secrets={
            # Where users come in: no row says so, for it would say so while all is down.
            "PGRST_OPENAPI_SERVER_PROXY_URI": f"{facts.public_url}/rest/v1",
            "PGRST_DB_URI": facts.database_url("authenticator"),
            "PGRST_JWT_SECRET": facts.keys.jwt_secret,
        },
    )
