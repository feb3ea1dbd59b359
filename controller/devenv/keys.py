"""Keys: made once, replaced on wish, and what follows from them for whoever connects."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import jwt

from crds.connection import ConnectionInfo, Keys, keys_name
from crds.devenv import PORTS, DevEnvSpec
from crds.secrets import Secrets
from crds.store.leases import Fence

ALGORITHM: Final = "HS256"
# What Supabase's own key generator writes.
ISSUER: Final = "supabase"
LIFETIME: Final = timedelta(days=3650)

# Random bytes; four characters are made of every three.
PASSWORD_BYTES: Final = 24
JWT_SECRET_BYTES: Final = 48
PROBE_KEY_BYTES: Final = 32
# As pgsodium wants its root key.
VAULT_KEY_BYTES: Final = 32

DATABASE: Final = "postgres"
DASHBOARD_USER: Final = "supabase"
DASHBOARD_LABEL: Final = b"studio dashboard password"


def make_keys(
    spec: DevEnvSpec,
    now: datetime,
    random: Callable[[int], bytes],
    *,
    vault_key: str | None = None,
) -> Keys:
    """Make all keys.

    Args:
        spec: Whose they are.
        now: When the tokens begin to hold; they hold for ten years.
        random: So many random bytes, from a source fit for keys.
        vault_key: The one that stays, where there are keys already.
    """
    jwt_secret = _text(random(JWT_SECRET_BYTES))
    return Keys(
        db_password=_text(random(PASSWORD_BYTES)),
        jwt_secret=jwt_secret,
        anon_key=_token("anon", spec, now, jwt_secret),
        service_role_key=_token("service_role", spec, now, jwt_secret),
        probe_key=_text(random(PROBE_KEY_BYTES)),
        vault_key=vault_key or random(VAULT_KEY_BYTES).hex(),
        made_at=now,
    )


async def ensure_keys(
    secrets: Secrets,
    namespace: str,
    devenv_name: str,
    spec: DevEnvSpec,
    *,
    now: datetime,
    random: Callable[[int], bytes],
    replace_before: datetime | None,
    fence: Fence | None = None,
) -> Keys:
    """The keys that hold: made if there are none, replaced once if they are too old.

    Whatever is interrupted, and however many do this at once, one set of keys is kept, and
    everybody is told that one.

    Args:
        secrets: Where they are kept.
        namespace: The dev environment's namespace.
        devenv_name: The dev environment's name.
        spec: Whose they are.
        now: The loop's wall time.
        random: So many random bytes, from a source fit for keys.
        replace_before: Keys made before this moment are replaced, once it has come.
        fence: The lease that must still be the writer's.

    Raises:
        FencedError: Some have to be made, and the lease is somebody else's.
        SecretError: No configured key decrypts those that are kept.
    """
    name = keys_name(devenv_name)
    held = await secrets.get(namespace, name)
    if held is None:
        made = make_keys(spec, now, random).to_bytes()
        held = await secrets.ensure(namespace, name, made, fence=fence)
    keys = Keys.from_bytes(held)
    # A moment to come replaces nothing yet: what was made now would be older than it again.
    if replace_before is None or not keys.made_at < replace_before <= now:
        return keys
    new = make_keys(spec, now, random, vault_key=keys.vault_key).to_bytes()
    return Keys.from_bytes(await secrets.replace(namespace, name, held, new, fence=fence))


def connection_of(
    spec: DevEnvSpec, keys: Keys, public_url: Callable[[str], str], *, partial: bool
) -> ConnectionInfo:
    """What connects to a dev environment.

    The database has no public address: its connection string holds on the private network.

    Args:
        spec: The dev environment's.
        keys: Its keys.
        public_url: The public address of an app.
        partial: Whether addresses are all that is told.
    """
    told = ConnectionInfo(
        supabase_url=public_url(spec.app_of("kong")),
        studio_url=public_url(spec.app_of("studio")) if spec.studio else None,
        silo_preview_url=spec.preview_url,
    )
    if partial:
        return told
    return ConnectionInfo(
        supabase_url=told.supabase_url,
        studio_url=told.studio_url,
        silo_preview_url=told.silo_preview_url,
        supabase_anon_key=keys.anon_key,
        supabase_service_role_key=keys.service_role_key,
        db_password=keys.db_password,
        db_connection_string=database_url(spec, "postgres", keys),
        studio_user=DASHBOARD_USER if spec.studio else None,
        studio_password=dashboard_password(keys) if spec.studio else None,
    )


def database_url(spec: DevEnvSpec, role: str, keys: Keys) -> str:
    """Where a role finds the database on the private network; its password is in it."""
    # The password is URL-safe as made.
    host = f"{spec.app_of('postgres')}.flycast:{PORTS['postgres']}"
    return f"postgres://{role}:{keys.db_password}@{host}/{DATABASE}"


def dashboard_password(keys: Keys) -> str:
    """The password of the administrators' page: it follows from the keys and tells none of them."""
    return _text(hmac.new(keys.jwt_secret.encode(), DASHBOARD_LABEL, hashlib.sha256).digest())


def _token(role: str, spec: DevEnvSpec, now: datetime, jwt_secret: str) -> str:
    claims = {
        "iss": ISSUER,
        "ref": f"{spec.client}-{spec.app}",
        "role": role,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME).timestamp()),
    }
    return jwt.encode(claims, jwt_secret, ALGORITHM)


def _text(value: bytes) -> str:
    """Bytes in characters that need no escaping in a URL, a shell or SQL."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
