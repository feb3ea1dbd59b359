"""What all commands have in common: where the database is, errors, help."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from crds.registry import KINDS
from crds.store.migrate import migrations
from deploy.command import running
from deploy.command.app import app
from deploy.command.kinds import complete_kind, kind_of, words_of
from deploy.local.postgres import DATABASE, EmbeddedPostgres
from deploy.local.settings import LocalSettings
from tests.command.invoking import NONE, Invoker
from tests.support.postgres import TEMPLATE, Databases


def test_help_names_every_command() -> None:
    """Without a word the command says what it can do, in plain text."""
    result = CliRunner().invoke(app, ["--help"])

    assert 0 == result.exit_code
    for name in ("up", "migrate", "why", "plan", "leaks", "token", "kubeconfig", "audit"):
        assert f"\n  {name} " in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kinds_by_every_name(kind: type) -> None:
    """A kind goes by its singular, plural and short names, in any case."""
    words = words_of(kind)

    assert [kind] * 2 * len(words) == [
        kind_of(form) for word in words for form in (word, word.upper())
    ]


def test_kinds_complete() -> None:
    """A beginning becomes every kind that begins so."""
    assert ["workspace", "workspaces", "ws"] == complete_kind("w")


def test_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database the error says how to name one."""
    monkeypatch.chdir(tmp_path)
    result = Invoker()("why", "ws", "alice")

    assert 2 == result.exit_code
    assert "set DATABASE_URL, or name a local stack's state with --state" in result.stderr


def test_a_database_that_is_down(tmp_path: Path) -> None:
    """A database that does not answer is one line, at once."""
    url = f"postgresql://invoker@/invoker?host={tmp_path}"
    result = Invoker(DATABASE_URL=url)("why", "ws", "alice")

    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("invoker: the database does not answer: ")
    assert 1 == len(result.stderr.splitlines())


def test_a_database_of_another_kind() -> None:
    """A URL that is none is an error of settings, and is not repeated."""
    result = Invoker(DATABASE_URL="mysql://user:secret@host/db")("audit")

    assert 2 == result.exit_code
    assert "invoker: DATABASE_URL: must be a postgresql:// URL\n" == result.stderr


def test_an_empty_database(databases: Databases) -> None:
    """A database without our schema says what to run."""
    with databases.empty() as url:
        result = Invoker(DATABASE_URL=url)("why", "ws", "alice")

    assert 1 == result.exit_code
    assert "run `invoker migrate`" in result.stderr


@pytest.fixture
def state(postgres: EmbeddedPostgres, database_url: str, tmp_path: Path) -> Iterator[Path]:
    """A local stack's state, whose database runs."""
    assert database_url
    (tmp_path / "postgres").symlink_to(postgres.data_dir)
    LocalSettings.read(["--state", str(tmp_path)], {}).save()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        yield tmp_path
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_database_of_a_local_stack(state: Path, by: str) -> None:
    """Beside `make run` no setting is needed but where its state is."""
    if by == "option":
        result = Invoker()("migrate", "--check", "--state", str(state))
    else:
        result = Invoker(INVOKER_STATE=str(state))("migrate", "--check")

    assert (0, "the schema is up to date\n") == (result.exit_code, result.stderr)


def test_a_local_stack_that_does_not_run(tmp_path: Path) -> None:
    """A state whose database is down says how to start it, and nothing is written there."""
    result = Invoker()("audit", "--state", str(tmp_path))

    assert 1 == result.exit_code
    assert [] == list(tmp_path.iterdir())
    assert f"no database runs on {tmp_path}: start it with `make run`" in result.stderr


def test_migrate(databases: Databases) -> None:
    """The steps are listed as pending, applied and printed once, and then there is nothing left."""
    names = [step.name for step in migrations()]
    with databases.empty() as url:
        invoker = Invoker(DATABASE_URL=url)
        before = invoker("migrate", "--check")
        applied = invoker.json("migrate")
        after = invoker("migrate", "--check")

    assert (3, names) == (before.exit_code, before.stdout.splitlines())
    assert {"applied": names} == applied
    assert (0, "") == (after.exit_code, after.stdout)


def test_a_newer_database(database_url: str) -> None:
    """A database that a newer version migrated is refused with the reason."""
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999')")
    result = Invoker(DATABASE_URL=database_url)("migrate")

    assert 1 == result.exit_code
    assert "migrations that this version does not know: ['9999']" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (("up", "--state", "here", "--help"), ("deploy.local", "--state", "here", "--help")),
        (("api",), ("api",)),
        (("controller",), ("controller",)),
    ],
)
def test_processes_take_over(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], module: tuple[str, ...]
) -> None:
    """A process takes this one's place, with its own options, so signals reach it."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execve", lambda _, command, __: became.append(command))
    Invoker()(*arguments)

    assert [[sys.executable, "-m", *module]] == became


@pytest.mark.slow
def test_as_a_program(database_url: str) -> None:
    """`python -m deploy.command` answers without colours where there is no terminal.

    Slow: it starts an interpreter.
    """
    done = subprocess.run(
        [sys.executable, "-m", "deploy.command", "audit", "pod"],
        env={**os.environ, **NONE, "DATABASE_URL": database_url},
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (2, "", "invoker: unknown kind 'pod'") == (
        done.returncode,
        done.stdout,
        done.stderr.partition(";")[0],
    )
