"""Keys are made once, replaced once when that is wished for, and told only as far as they may."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.fernet import Fernet

from controller.devenv.keys import connection_of, dashboard_password, ensure_keys, make_keys
from crds.connection import Keys, keys_name
from crds.devenv import DevEnvSpec
from crds.secrets import Cipher, SecretError, Secrets
from crds.store import Store

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 2, 9, 10, 15, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SPEC = DevEnvSpec(client="acme", app="erp", preview_url="https://silo-acme-erp.netlify.app")
HELD = ("acme", keys_name("erp"))


def public_url(app: str) -> str:
    """The public address of an app."""
    return f"https://{app}.fly.dev"


@pytest.fixture
async def secrets(database_url: str) -> AsyncIterator[Secrets]:
    """The table of secrets, empty."""
    async with Store.opened(database_url) as store:
        yield Secrets(store, Cipher.from_keys(Fernet.generate_key().decode()))


async def ensured(secrets: Secrets, now: datetime, before: datetime | None = None) -> Keys:
    """The keys that hold, after a reconcile at this moment."""
    return await ensure_keys(
        secrets, "acme", "erp", SPEC, now=now, random=os.urandom, replace_before=before
    )


async def test_tokens_hold_for_ten_years_and_say_who_they_are() -> None:
    """Both are signed with the environment's own secret, for the two roles of Supabase."""
    keys = make_keys(SPEC, NOW, os.urandom)

    for token, role in ((keys.anon_key, "anon"), (keys.service_role_key, "service_role")):
        claims = jwt.decode(token, keys.jwt_secret, ["HS256"], options={"verify_exp": False})
        years = (claims["exp"] - claims["iat"]) / timedelta(days=365).total_seconds()
        assert (role, "supabase", NOW.timestamp()) == (claims["role"], claims["iss"], claims["iat"])
        assert years == 10


async def test_keys_need_no_escaping_and_are_long_enough() -> None:
    """They go into URLs, shells and SQL as they are; PostgREST refuses secrets below 32."""
    keys = make_keys(SPEC, NOW, os.urandom)

    assert all(
        re.fullmatch(r"[A-Za-z0-9_-]{32,}", key)
        for key in (keys.db_password, keys.jwt_secret, keys.probe_key, dashboard_password(keys))
    )
    assert len(keys.jwt_secret) >= 40


async def test_keys_are_made_once(secrets: Secrets) -> None:
    """Every later reconcile finds the first one's, whatever the time."""
    first = await ensured(secrets, NOW)

    assert first == await ensured(secrets, LATER)
    assert first == await ensured(secrets, LATER, before=NOW)


async def test_old_keys_are_replaced_once(secrets: Secrets) -> None:
    """What was made before the moment goes as a whole; what was made at it stays."""
    first = await ensured(secrets, NOW)
    second = await ensured(secrets, LATER, before=LATER)

    assert second == await ensured(secrets, LATER + timedelta(hours=1), before=LATER)
    assert not {first.db_password, first.jwt_secret, first.probe_key} & {
        second.db_password,
        second.jwt_secret,
        second.probe_key,
    }


async def test_a_moment_to_come_replaces_nothing_yet(secrets: Secrets) -> None:
    """Keys that are made before it would be older than it as well, over and over."""
    first = await ensured(secrets, NOW)

    assert first == await ensured(secrets, NOW, before=LATER)


async def test_all_writers_agree(secrets: Secrets) -> None:
    """However many make or replace keys at once, all are told the ones that are kept."""
    made = await asyncio.gather(*(ensured(secrets, NOW) for _ in range(8)))
    replaced = await asyncio.gather(*(ensured(secrets, LATER, before=LATER) for _ in range(8)))
    kept = Keys.from_bytes(await secrets.get(*HELD) or b"")

    assert len(set(made)) == 1
    assert {kept} == set(replaced)
    assert kept not in made


async def test_a_value_is_replaced_only_while_it_holds(secrets: Secrets) -> None:
    """Who read something older is told what holds, and a value that is gone is not made again."""
    await secrets.put("ns", "name", b"first")

    assert await secrets.replace("ns", "name", b"first", b"second") == b"second"
    assert await secrets.replace("ns", "name", b"first", b"third") == b"second"
    assert await secrets.get("ns", "name") == b"second"
    with pytest.raises(SecretError):
        await secrets.replace("ns", "none", b"first", b"second")


async def test_a_partial_connection_has_no_key() -> None:
    """While it is being made, users are told addresses."""
    keys = make_keys(SPEC, NOW, os.urandom)
    told = connection_of(SPEC, keys, public_url, partial=True)

    assert told.supabase_url == "https://devenv-acme-erp-kong.fly.dev"
    assert told.studio_url == "https://devenv-acme-erp-studio.fly.dev"
    assert told.silo_preview_url == SPEC.preview_url
    assert b"eyJ" not in told.to_bytes()
    assert keys.db_password.encode() not in told.to_bytes()


async def test_a_full_connection_has_what_connects() -> None:
    """Keys, and the database's address on the private network: it has no other."""
    keys = make_keys(SPEC, NOW, os.urandom)
    told = connection_of(SPEC, keys, public_url, partial=False)

    assert (keys.anon_key, keys.service_role_key, keys.db_password) == (
        told.supabase_anon_key,
        told.supabase_service_role_key,
        told.db_password,
    )
    assert told.db_connection_string == (
        f"postgres://postgres:{keys.db_password}@devenv-acme-erp-pg.flycast:5432/postgres"
    )
    assert keys.db_password not in repr(told)


async def test_an_environment_without_studio_tells_no_address_of_it() -> None:
    """What is not there is not told."""
    spec = SPEC.model_copy(update={"studio": False})

    assert (
        connection_of(spec, make_keys(spec, NOW, os.urandom), public_url, partial=True).studio_url
        is None
    )


async def test_what_was_encrypted_stays_readable(secrets: Secrets) -> None:
    """New keys leave alone the one with which the database's Vault was encrypted."""
    first = await ensured(secrets, NOW)
    second = await ensured(secrets, LATER, before=LATER)

    assert first.jwt_secret != second.jwt_secret
    assert first.vault_key == second.vault_key
