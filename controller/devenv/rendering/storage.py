"""Supabase Storage 0.43.11: the variables of its `src/config.ts`.

Files lie on its volume; the names of a region and of a bucket are required all the same, as in
self-hosted Supabase. Images are not transformed: that takes a service of its own.
"""

from __future__ import annotations

from typing import Final

from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import Facts
from crds.devenv import PORTS

HEALTH: Final = "/status"
VOLUME: Final = "/var/lib/storage"
STUB: Final = "stub"
# The default of Supabase, 50 MiB, in bytes.
LARGEST_FILE: Final = 52_428_800


def render(facts: Facts) -> Rendered:
    """What Storage is told."""
    return Rendered(
        env={
            "PORT": str(PORTS["storage"]),
            "STORAGE_BACKEND": "file",
            "FILE_STORAGE_BACKEND_PATH": VOLUME,
            "FILE_SIZE_LIMIT": str(LARGEST_FILE),
            # Together the directory below the volume: it never changes, or files are lost.
            "TENANT_ID": STUB,
            "GLOBAL_S3_BUCKET": STUB,
            "REGION": STUB,
            "ENABLE_IMAGE_TRANSFORMATION": "false",
        },
        secrets={
            "ANON_KEY": facts.keys.anon_key,
            "SERVICE_KEY": facts.keys.service_role_key,
            "PGRST_JWT_SECRET": facts.keys.jwt_secret,
            "DATABASE_URL": facts.database_url("supabase_storage_admin"),
        },
        check_path=HEALTH,
        volume_path=VOLUME,
    )
