"""Plans: what a wish would do, and that planning it does nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from deploy.plan import rehearsal
from deploy.plan.scratch import PREFIX
from tests.command.invoking import TOKEN, Invoker, everything, operations
from tests.simulation.processes import USER

WORKSPACE = f"""
apiVersion: invoker.dev/v1
kind: Workspace
metadata: {{name: main, namespace: {USER}}}
spec: {{SPEC}}
"""
BOB = """
apiVersion: invoker.dev/v1
kind: Account
metadata: {name: bob}
spec: {email: bob@example.com}
---
apiVersion: invoker.dev/v1
kind: Workspace
metadata: {name: main, namespace: bob}
spec: {subdomain: bobby, region: fra, volumeGb: 3}
"""
SMALL_USD, DISK_USD = 5.69, 0.15


@pytest.fixture
def planner(lived_in: str) -> Invoker:
    """The command on a database that a running workspace is in; no plan changes it."""
    return Invoker(DATABASE_URL=lived_in)


def planned(planner: Invoker, spec: str) -> Any:
    """The plan of a change of alice's workspace."""
    return planner.json("plan", "-f", "-", given=WORKSPACE.replace("SPEC", spec))


def test_nothing_to_do(planner: Invoker) -> None:
    """What has converged would stay as it is, and the plan says so."""
    result = planner("plan", "workspace/alice")

    assert (0, "nothing to do", "cost a month: 5.84 → 5.84 USD") == (
        result.exit_code,
        *result.stdout.splitlines(),
    )


def test_create(planner: Invoker) -> None:
    """A new workspace: every call in its order, with region, sizes and cost."""
    plan = planner.json("plan", "-f", "-", given=BOB)

    assert [
        "apps.create",
        "addresses.create",
        "addresses.create",
        "volumes.create",
        "machines.create",
        "kv.put",
    ] == operations(plan)
    assert {"region": "fra", "size": "3 GB"} == plan["steps"][3]["attributes"]
    assert ("Machine/bob/main", "new machine") == (
        plan["steps"][4]["object"],
        plan["steps"][4]["thing"],
    )
    assert {"before": 0.0, "after": round(SMALL_USD + 3 * DISK_USD, 2)} == plan["monthlyUsd"]


def test_resize(planner: Invoker) -> None:
    """Another size and a larger disk: extended and updated in place, and what it costs then."""
    plan = planned(planner, "size: {cpuKind: shared, cpus: 2, memoryMb: 2048}, volumeGb: 2")

    assert ["volumes.extend", "leases.create", "machines.update", "leases.release"] == operations(
        plan, "fly"
    )
    sizes = [step["attributes"].get("size") for step in plan["steps"]]
    assert ["2 GB", "shared-2x 2048 MB"] == [size for size in sizes if size]
    assert plan["monthlyUsd"]["before"] < plan["monthlyUsd"]["after"]


def test_region_change_is_refused(planner: Invoker) -> None:
    """Volumes cannot move: nothing would happen, the reason is told, and the exit code says so."""
    result = planner("plan", "-f", "-", given=WORKSPACE.replace("SPEC", "region: fra"))

    assert 4 == result.exit_code
    assert "nothing to do" == result.stdout.splitlines()[0]
    assert "RegionRefused: the volume is in iad" in result.stdout


def test_region_change_that_is_asked_for(planner: Invoker) -> None:
    """With `recreate` machine and volume go, and others come in the new region."""
    plan = planned(planner, "region: fra, recreate: OnRegionChange")

    wanted = ["machines.destroy", "volumes.delete", "volumes.create", "machines.create"]
    assert wanted == [each for each in operations(plan) if each in wanted]
    assert {"fra"} == {
        step["attributes"]["region"] for step in plan["steps"] if "region" in step["attributes"]
    }


def test_delete(planner: Invoker) -> None:
    """The route is withdrawn before the machine goes; in the end it costs nothing."""
    plan = planner.json("plan", "ws/alice", "--delete")

    assert ["kv.delete", "machines.destroy", "apps.delete"] == operations(plan)
    assert 0.0 == plan["monthlyUsd"]["after"]
    assert {None} == {each["after"] for each in plan["outcomes"] if "Account" not in each["key"]}


def test_quarantine(planner: Invoker) -> None:
    """A quarantined account's machine is stopped and its entry says so."""
    plan = planner.json(
        "plan",
        "-f",
        "-",
        given=json.dumps(
            {
                "apiVersion": "invoker.dev/v1",
                "kind": "Account",
                "metadata": {"name": USER},
                "spec": {"state": "Quarantined"},
            }
        ),
    )

    assert ["machines.cordon", "machines.stop"] == operations(plan, "fly")
    (entry,) = (step for step in plan["steps"] if step["provider"] == "cloudflare")
    assert {"state": "quarantined"} == entry["attributes"]


def test_a_cap_blocks(planner: Invoker) -> None:
    """What a quota forbids would not come true, and the plan says which quota."""
    other = WORKSPACE.replace("name: main", "name: second").replace("SPEC", "subdomain: other")
    result = planner("plan", "-f", "-", given=other)

    assert 4 == result.exit_code
    assert "Blocked, QuotaReached: the account may have 1 workspaces" in result.stdout


def test_a_taken_name_blocks(planner: Invoker) -> None:
    """Another account's claim on a name holds in the plan too."""
    result = planner("plan", "-f", "-", given=BOB.replace("bobby", "alice"))

    assert 4 == result.exit_code
    assert "SubdomainTaken: alice is taken" in result.stdout


def test_a_platform_wish_concerns_all(planner: Invoker) -> None:
    """Another default image is rolled out to every workspace that names none."""
    plan = planner.json(
        "plan",
        "-f",
        "-",
        given="apiVersion: invoker.dev/v1\nkind: Platform\nmetadata: {name: platform}\n"
        "spec: {image: 'registry.example.com/new:1'}\n",
    )

    updates = [step for step in plan["steps"] if step["operation"] == "machines.update"]
    assert ["registry.example.com/new:1"] == [step["attributes"]["image"] for step in updates]


def test_real_rows_stay_as_they_are(planner: Invoker, lived_in: str) -> None:
    """A plan leaves every row, the log's version and every sequence as they were, and no copy."""
    before = everything(lived_in)
    planned(planner, "power: Stopped")

    assert before == everything(lived_in)


def test_no_secret_is_printed(planner: Invoker) -> None:
    """A configuration holds its machine's token; a plan shows nothing of it."""
    table = planner("plan", "-f", "-", given=BOB).output
    data = json.dumps(planner.json("plan", "-f", "-", given=BOB))

    for text in (table, data):
        assert "INVOKER_MACHINE_TOKEN" not in text
        assert [] == TOKEN.findall(text)


def test_paused_stays_paused(planner: Invoker) -> None:
    """A paused workspace is not acted upon, whatever is wished for it."""
    document = WORKSPACE.replace(
        f"namespace: {USER}",
        f"namespace: {USER}, annotations: {{invoker.dev/paused: 'true'}}",
    ).replace("SPEC", "power: Stopped")

    plan = planner.json("plan", "-f", "-", given=document)

    assert [] == plan["steps"]
    assert [f"Workspace/{USER}/main stays paused: nothing is done about it"] == plan["assumed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no document"),
        ("{", "neither YAML nor JSON"),
        ("- 1", "document 1: must be an object"),
        ("kind: Workspace", "document 1: apiVersion: must be invoker.dev/v1"),
        ("{apiVersion: invoker.dev/v1, kind: Pod}", "document 1: kind: must be one of Account"),
        (
            "{apiVersion: invoker.dev/v1, kind: Account}",
            "document 1: metadata.name: must be a name",
        ),
        (
            "{apiVersion: invoker.dev/v1, kind: Machine, metadata: {name: a}}",
            "document 1: metadata.namespace: must name the account",
        ),
        (
            "{apiVersion: invoker.dev/v1, kind: Account, data: {}}",
            "document 1: data: is no field of an object",
        ),
        (
            BOB + "---\n" + WORKSPACE.replace("SPEC", "region: moon"),
            f"document 3: Workspace/{USER}/main: spec.region: must be one of",
        ),
    ],
)
def test_bad_documents(
    planner: Invoker, documents: Callable[[str], str], text: str, message: str
) -> None:
    """A document that is not usable is one line that names it, the field and the rule."""
    path = documents(text)
    result = planner("plan", "-f", path)

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"invoker: {path}: {message}")
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name an object, or a file with -f"),
        (("ws/alice", "-f", "-"), 2, "name an object, or a file with -f"),
        (("alice",), 2, "name the object as KIND/NAME"),
        (("pod/alice",), 2, "unknown kind 'pod'"),
        (("ws/nobody",), 1, "Workspace/nobody does not exist"),
        (("-f", "/nowhere"), 2, "/nowhere: No such file or directory"),
    ],
)
def test_bad_targets(planner: Invoker, arguments: tuple[str, ...], code: int, message: str) -> None:
    """A target that is not there is one line."""
    result = planner("plan", *arguments)

    assert code == result.exit_code
    assert result.stderr.startswith(f"invoker: {message}")


def test_an_outdated_schema(databases: Any) -> None:
    """Rows of another schema are not copied."""
    with databases.empty() as url:
        result = Invoker(DATABASE_URL=url)("plan", "-f", "-", given=BOB)

    assert 1 == result.exit_code
    assert "`invoker migrate`" in result.stderr


@pytest.mark.parametrize("blow", ["keyboard", "terminated"])
def test_interrupted(
    planner: Invoker, lived_in: str, monkeypatch: pytest.MonkeyPatch, blow: str
) -> None:
    """Ctrl-C and SIGTERM in the middle of a plan leave no scratch copy."""
    before = everything(lived_in)

    async def play(_: object) -> bool:
        os.kill(os.getpid(), signal.SIGINT if blow == "keyboard" else signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setattr(rehearsal.Stage, "play", play)
    result = planner("plan", "ws/alice")

    assert (130, "invoker: interrupted\n") == (result.exit_code, result.stderr)
    assert before == everything(lived_in)


def test_leftovers_are_dropped(planner: Invoker, lived_in: str) -> None:
    """What a killed plan left long ago is dropped by the next one."""
    with psycopg.connect(lived_in, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {PREFIX}1000_dead TEMPLATE template0")
        connection.execute(f"CREATE SCHEMA {PREFIX}1000_dead")
    planner("plan", "ws/alice")
    found = everything(lived_in)

    assert ([], []) == (found["databases"], found["schemas"])


def test_without_the_right_to_make_databases(lived_in: str) -> None:
    """A role that may make no database plans in a scratch schema, which is gone afterwards."""
    before = everything(lived_in)
    with psycopg.connect(lived_in, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute("CREATE ROLE planner LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO planner")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO planner")
        try:
            planner = Invoker(DATABASE_URL=lived_in.replace("//invoker@", "//planner@"))
            result = planner("plan", "-f", "-", given=BOB)
            connection.execute(f"REVOKE CREATE ON DATABASE {name} FROM planner")
            refused = planner("plan", "-f", "-", given=BOB)
        finally:
            connection.execute("DROP OWNED BY planner")
            connection.execute("DROP ROLE planner")

    assert 0 == result.exit_code
    assert "planned on a scratch schema, which is gone" in result.stderr
    assert "machines.create" in result.stdout
    assert 1 == refused.exit_code
    assert refused.stderr.startswith("invoker: a plan needs a scratch copy")
    assert before == everything(lived_in)
