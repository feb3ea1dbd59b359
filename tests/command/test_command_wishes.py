"""Pause, restart, quarantine, force-delete; and the audit that tells of them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.kind import FINALIZER
from crds.account import Account, AccountSpec
from crds.errors import ConflictError
from crds.meta import ObjectMeta
from crds.store import Actor, Store
from crds.workspace import Workspace, WorkspaceSpec
from deploy.command import wishes
from deploy.command.frame import CommandError
from deploy.command.place import person
from tests.command.invoking import Invoker

Write = Callable[[Callable[[Store], Any]], Any]


@pytest.fixture(autouse=True)
def alice(write: Write) -> None:
    """Alice's account and workspace."""

    async def made(store: Store) -> None:
        spec = AccountSpec(email="alice@example.com")
        await store.create(Account(metadata=ObjectMeta(name="acct"), spec=spec))
        meta = ObjectMeta(name="main", namespace="acct", finalizers=[FINALIZER])
        await store.create(Workspace(metadata=meta, spec=WorkspaceSpec(subdomain="alice")))

    write(made)


def workspace(write: Write) -> Workspace:
    """Alice's workspace as it stands."""
    found: Workspace = write(lambda store: store.get(Workspace, "main", "acct"))
    return found


def account(write: Write) -> Account:
    """Alice's account as it stands."""
    found: Account = write(lambda store: store.get(Account, "acct"))
    return found


def test_pause_and_resume(invoker: Invoker, write: Write) -> None:
    """A pause is an annotation, and resuming takes it away."""
    paused = invoker("pause", "ws", "alice", "--yes")
    then = workspace(write).metadata.annotations
    resumed = invoker("resume", "ws", "alice", "--yes")

    assert (0, 0) == (paused.exit_code, resumed.exit_code)
    assert {"invoker.dev/paused": "true"} == then
    assert {} == workspace(write).metadata.annotations


def test_restart(invoker: Invoker, write: Write) -> None:
    """A restart is wished for as of the present moment."""
    before = datetime.now(UTC)
    invoker("restart", "workspace", "alice", "--yes")
    wished = workspace(write).spec.restart_at

    assert wished is not None
    assert before <= wished <= datetime.now(UTC)


def test_quarantine_and_lift(invoker: Invoker, write: Write) -> None:
    """A quarantine ends the tokens issued so far; lifting it does not make them good again."""
    invoker("quarantine", "alice@example.com", "--yes")
    then = account(write).spec
    invoker("quarantine", "acct", "--lift", "--yes")
    lifted = account(write).spec

    assert "Quarantined" == then.state
    assert then.tokens_valid_after is not None
    assert ("Active", then.tokens_valid_after) == (lifted.state, lifted.tokens_valid_after)


def test_force_delete(invoker: Invoker, write: Write) -> None:
    """An object that is being deleted is let go with a reason."""
    write(lambda store: store.delete(Workspace, "main", "acct"))
    result = invoker("force-delete", "ws", "alice", "--reason", "Fly lost the app", "--yes")

    assert 0 == result.exit_code
    assert {"invoker.dev/force-delete": "Fly lost the app"} == workspace(write).metadata.annotations


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("resume", "ws", "alice"), 1, "Workspace/acct/main is not paused"),
        (("restart", "account", "acct"), 2, "Account/acct cannot be restarted"),
        (("quarantine", "acct", "--lift"), 1, "Account/acct is Active, not Quarantined"),
        (("quarantine", "nobody"), 1, "Account/nobody does not exist"),
        (("pause", "pod", "alice"), 2, "unknown kind 'pod'"),
        (
            ("force-delete", "ws", "alice", "--reason", "because"),
            1,
            "Workspace/acct/main is not being deleted; delete it first",
        ),
        (("force-delete", "ws", "alice", "--reason", " "), 2, "--reason: must be 1 to 500"),
    ],
)
def test_refusals(
    invoker: Invoker, write: Write, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """What makes no sense is refused, and nothing is written."""
    before = workspace(write), account(write)
    result = invoker(*arguments, "--yes")

    assert code == result.exit_code
    assert result.stderr.startswith(f"invoker: {message}")
    assert before == (workspace(write), account(write))


def test_nobody_to_ask(invoker: Invoker, write: Write) -> None:
    """Without a terminal and without --yes nothing is done; the object is named."""
    result = invoker("pause", "ws", "alice")

    assert 2 == result.exit_code
    assert "would pause Workspace/acct/main: say --yes" in result.stderr
    assert {} == workspace(write).metadata.annotations


class Terminal(io.StringIO):
    """A terminal at which somebody has typed."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize("typed", ["y\n", "YES\n"])
def test_a_yes_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    """At a terminal the object is named in the question, which is no part of the answer."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    wishes.confirm("pause Workspace/acct/main", yes=False)

    assert ("", "pause Workspace/acct/main? [y/N] ") == capsys.readouterr()


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yesterday\n"])
def test_no_yes_at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """Whatever is no yes is a no."""
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    with pytest.raises(CommandError, match="nothing was changed"):
        wishes.confirm("pause Workspace/acct/main", yes=False)


def test_a_row_that_moves_meanwhile(
    invoker: Invoker, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that loses a race is made again on the newer row."""
    update = Store.update
    lost: list[Any] = []

    async def loses(self: Store, resource: Any, **options: Any) -> Any:
        if not lost:
            lost.append(resource)
            raise ConflictError("the row moved")
        return await update(self, resource, **options)

    monkeypatch.setattr(Store, "update", loses)
    result = invoker("pause", "ws", "alice", "--yes")

    assert 0 == result.exit_code
    assert workspace(write).metadata.annotations


def test_the_audit_tells_who_and_what(invoker: Invoker) -> None:
    """Every wish stands in the audit under its author's name, field by field."""
    invoker("quarantine", "acct", "--yes")
    told = invoker("audit", "account", "acct").stdout
    (record,) = invoker.json("audit", "account", "acct")

    assert (person(), "platform-admin", "cli", "update") == tuple(
        record[name] for name in ("subject", "role", "via", "verb")
    )
    assert record["request"]
    assert {"field": "spec.state", "before": "Active", "after": "Quarantined"} in record["changes"]
    assert f"{person()} (platform-admin, cli)  update Account/acct" in told
    assert "    spec.state: Active → Quarantined" in told
    assert "tokensValidAfter: - → 2" in told


def test_the_audit_of_everything(invoker: Invoker) -> None:
    """Without an object it tells of all, newest first, at most so many."""
    for word in ("pause", "resume", "restart"):
        invoker(word, "ws", "alice", "--yes")
    records = invoker.json("audit", "--limit", "2")

    assert 2 == len(records)
    assert "spec.restartAt" == records[0]["changes"][0]["field"]


def test_the_audit_of_what_is_gone(invoker: Invoker, write: Write) -> None:
    """An object that is gone can still be asked about by its name."""

    async def gone(store: Store) -> None:
        found = await store.get(Workspace, "main", "acct")
        found.metadata.finalizers.clear()
        await store.update(found)
        await store.delete(Workspace, "main", "acct")

    invoker("pause", "ws", "alice", "--yes")
    write(gone)
    records = invoker.json("audit", "ws", "main", "-n", "acct")

    assert ["update"] == [record["verb"] for record in records]


def test_the_audit_of_what_was_read(invoker: Invoker, write: Write) -> None:
    """Who asked for secrets is told with the names of what they were given, or why not."""

    async def reads(store: Store) -> None:
        found = await store.get(Workspace, "main", "acct")
        agent = Actor("token:1:agent", "devops", "api", "r1")
        note = store.audit.note_read
        await note(agent, found.key, found.uid, given=["supabase_url", "db_password"])
        await note(agent, found.key, found.uid, given=[], refused="role-not-allowed")

    write(reads)
    told = invoker("audit", "ws", "main", "-n", "acct").stdout
    refused, given = invoker.json("audit", "ws", "main", "-n", "acct")

    assert "token:1:agent (devops, api)  read Workspace/acct/main" in told
    assert "    given: supabase_url, db_password\n" in told
    assert "    given: nothing; refused: role-not-allowed\n" in told
    assert (["supabase_url", "db_password"], "role-not-allowed") == (
        given["given"],
        refused["refused"],
    )
    assert [[], []] == [given["changes"], refused["changes"]]


def test_audits_that_are_refused(invoker: Invoker) -> None:
    """A kind needs a name, and an object that never was is said."""
    nameless, unknown = invoker("audit", "ws"), invoker("audit", "ws", "nobody")

    assert (2, "invoker: name the object too, or no kind\n") == (
        nameless.exit_code,
        nameless.stderr,
    )
    assert (1, "invoker: Workspace/nobody does not exist\n") == (unknown.exit_code, unknown.stderr)
