"""Tests of what makes a fresh database fit for the services."""

import hmac
from base64 import b64decode

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from controller.devenv import database
from controller.engine import Blocked
from tests.devenv.guests import KEYS, PASSWORD, Guest

pytestmark = pytest.mark.anyio


def login(guest: Guest, role: str, password: str) -> str:
    """Come in by TCP, where PostgreSQL asks for the password; gives who it took us for."""
    address = make_conninfo(
        host="127.0.0.1",
        port=guest.cluster.port or 0,
        user=role,
        password=password,
        dbname="postgres",
        require_auth="scram-sha-256",
    )
    with psycopg.connect(address) as connection:
        row = connection.execute("select current_user").fetchone()
        return str(row and row[0])


def test_the_verifier_is_that_of_the_rfc() -> None:
    """The server key of RFC 7677's example (section 3) signs its messages as it says."""
    salt = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    messages = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )

    ours = database.verifier("pencil", lambda _: salt)

    assert ours.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    signature = hmac.digest(b64decode(ours.rpartition(":")[2]), messages, "sha256")
    assert b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == signature


def test_no_two_verifiers_are_alike() -> None:
    """Equal passwords are not recognised as equal: every salt is random."""
    verifiers = {database.verifier(PASSWORD) for _ in range(3)}

    assert 3 == len(verifiers)


@pytest.mark.parametrize("password", ["", "naïve", "a\nb"])
def test_a_password_that_saslprep_would_change_is_refused(password: str) -> None:
    """It would be another one for PostgreSQL; the error does not repeat it."""
    with pytest.raises(ValueError, match=r"^a database password must be printable ASCII$"):
        database.verifier(password)


async def test_every_role_logs_in_with_the_keys_password_and_no_other(shared_guest: Guest) -> None:
    """A real PostgreSQL takes our verifiers; another key replaces the password."""
    await database.prepare(shared_guest.psql, KEYS)

    assert list(database.ROLES) == [login(shared_guest, role, PASSWORD) for role in database.ROLES]
    for role in database.ROLES:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            login(shared_guest, role, "another")


async def test_preparing_again_changes_nothing_that_can_be_seen(shared_guest: Guest) -> None:
    """It is run whenever keys changed, and after every crash in between."""
    shared_guest.sql(
        "drop schema if exists invoker cascade; create schema invoker authorization postgres;"
        " grant all on schema invoker to anon"
    )

    await database.prepare(shared_guest.psql, KEYS)
    await database.prepare(shared_guest.psql, KEYS)

    assert "authenticator" == login(shared_guest, "authenticator", PASSWORD)
    assert [("3600",)] == shared_guest.sql('show "app.settings.jwt_exp"')
    assert [("supabase_admin",)] == shared_guest.sql(
        "select nspowner::regrole::text from pg_namespace where nspname = 'invoker'"
    )
    assert [(False, False)] == shared_guest.sql(
        "select has_schema_privilege('authenticated', 'invoker', 'usage'),"
        " has_schema_privilege('postgres', 'invoker', 'create')"
    )


async def test_neither_password_nor_verifier_is_logged_or_sent_in_a_command(
    shared_guest: Guest,
) -> None:
    """Even where every statement is logged, as some of the image's versions do."""
    shared_guest.sql("alter system set log_statement = 'all'", "select pg_reload_conf()")
    shared_guest.commands.clear()

    await database.prepare(shared_guest.psql, KEYS)
    shared_guest.sql("alter system reset log_statement", "select pg_reload_conf()")

    log = shared_guest.cluster.log.read_text()
    said = log + " ".join(word for command in shared_guest.commands for word in command)
    assert "log_statement" in log
    assert [] == [word for word in (PASSWORD, KEYS.jwt_secret, "SCRAM-SHA") if word in said]


async def test_the_jwt_secret_is_not_in_the_database(shared_guest: Guest) -> None:
    """Whoever can run SQL could make tokens of any role with it."""
    await database.prepare(shared_guest.psql, KEYS)

    found = shared_guest.sql(
        "select coalesce(string_agg(setconfig::text, ''), '') from pg_db_role_setting"
    )
    assert KEYS.jwt_secret not in found[0][0]


async def test_an_image_without_the_roles_is_refused_by_name(shared_guest: Guest) -> None:
    """Another image than Supabase's would leave services at the door without a word."""
    shared_guest.sql("alter role authenticator rename to somebody")

    try:
        with pytest.raises(Blocked, match=r"no role authenticator$"):
            await database.prepare(shared_guest.psql, KEYS)
    finally:
        shared_guest.sql("alter role somebody rename to authenticator")
