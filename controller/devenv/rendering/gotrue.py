"""GoTrue 2.143: the variables of its `internal/conf/configuration.go`.

The paths of mails and the settings of tokens are those of self-hosted Supabase.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from controller.devenv.rendered import Rendered
from controller.devenv.rendering.facts import JWT_SECONDS, Facts
from crds.devenv import PORTS

HEALTH: Final = "/health"
VERIFY: Final = "/auth/v1/verify"
# Front ends that are being worked on.
LOCAL: Final = ("http://localhost:3000", "https://localhost:3000")


def render(facts: Facts) -> Rendered:
    """What GoTrue is told.

    There is no mail server: who signs up is confirmed at once, for a mail could not be sent.
    """
    return Rendered(
        env={
            "GOTRUE_API_HOST": "0.0.0.0",  # noqa: S104 - the provider's proxy comes from outside
            "GOTRUE_API_PORT": str(PORTS["gotrue"]),
            "GOTRUE_DB_DRIVER": "postgres",
            "GOTRUE_DISABLE_SIGNUP": "false",
            "GOTRUE_JWT_ADMIN_ROLES": "service_role",
            "GOTRUE_JWT_AUD": "authenticated",
            "GOTRUE_JWT_DEFAULT_GROUP_NAME": "authenticated",
            "GOTRUE_JWT_EXP": JWT_SECONDS,
            "GOTRUE_EXTERNAL_EMAIL_ENABLED": "true",
            "GOTRUE_EXTERNAL_PHONE_ENABLED": "false",
            "GOTRUE_MAILER_AUTOCONFIRM": "true",
            "GOTRUE_MAILER_URLPATHS_INVITE": VERIFY,
            "GOTRUE_MAILER_URLPATHS_CONFIRMATION": VERIFY,
            "GOTRUE_MAILER_URLPATHS_RECOVERY": VERIFY,
            "GOTRUE_MAILER_URLPATHS_EMAIL_CHANGE": VERIFY,
        },
        secrets={
            # Where users come in: no row says so, for it would say so while all is down.
            "API_EXTERNAL_URL": facts.public_url,
            "GOTRUE_SITE_URL": facts.site_url,
            "GOTRUE_URI_ALLOW_LIST": ",".join(_allowed(facts.site_url)),
            "GOTRUE_DB_DATABASE_URL": facts.database_url("supabase_auth_admin"),
            "GOTRUE_JWT_SECRET": facts.keys.jwt_secret,
        },
        check_path=HEALTH,
    )


def _allowed(site_url: str) -> list[str]:
    """Where GoTrue may lead people to: the list is split at commas, and each item is a glob.

    A malformed glob ends GoTrue at its start, so everything that has a meaning there is encoded.
    """
    found = re.match(r"https?://[^/?#]+", site_url)
    origins = [quote(found[0], safe=":/")] if found else []
    return [each for origin in (*origins, *LOCAL) for each in (origin, f"{origin}/**")]
