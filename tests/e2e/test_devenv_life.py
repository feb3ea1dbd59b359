"""The life of a dev environment on the whole product: rest, keys, faults, a move, its end."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from crds.devenv import SERVICES
from tests.e2e.leaks import found, needles
from tests.e2e.patience import eventually
from tests.e2e.product import Product
from tests.e2e.silo import ACCOUNT, CONVERGE_SECONDS, NAME, ROLES, Silo

# Services start, stop and move in every one of them.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOTICED_SECONDS = 30
# What a key or an address is called; the rest of an answer changes with time.
CONNECTS = (
    "supabase_url",
    "supabase_anon_key",
    "supabase_service_role_key",
    "db_password",
    "db_connection_string",
    "studio_url",
    "studio_password",
)


@dataclass
class Rest:
    """What was seen of an environment that was stopped and started again.

    Attributes:
        before: What connected to it.
        shown: Before, where something of it was read.
        refusals: At rest, by role, what came of asking what connects to it.
        leaks: At rest, where something of it was read.
        reached: At rest, the statuses that its public names answered with.
        after: What connects to it after the start.
        rows: The rows after the start.
    """

    before: dict[str, str]
    shown: list[str]
    refusals: dict[str, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)
    after: dict[str, str] = field(default_factory=dict)
    rows: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def rest(example: Silo) -> Rest:
    """An environment stops, is looked for everywhere, and starts again."""
    silo = example
    silo.bring_up()
    silo.sql("set role postgres; create table kept (n int); insert into kept values (1), (2);")
    hidden = needles(silo)
    seen = Rest(_connects(silo), found(silo, hidden))
    silo.rest()
    for role in ROLES:
        seen.refusals[role] = silo.ask("/app-context", role=role).status_code
    seen.leaks = found(silo, hidden)
    for service in ("kong", "studio"):
        with silo.public(service)() as client:
            seen.reached.append(client.get("/").status_code)
    silo.bring_up()
    seen.after = _connects(silo)
    seen.rows = silo.gateway(seen.before["supabase_service_role_key"]).rows("kept", "n")
    return seen


def test_only_one_door_tells(rest: Rest) -> None:
    """Also while it runs, keys and public addresses are read at `GET /app-context` alone.

    Slow: see above.
    """
    assert rest.shown
    assert [] == [each for each in rest.shown if " in /app-context as " not in each]


def test_nobody_is_told_at_rest(rest: Rest) -> None:
    """Nobody is told what connects to an environment that is stopped.

    Slow: see above.
    """
    expected = {role: 403 if role == "clientele" else 409 for role in ROLES}

    assert expected == rest.refusals


def test_nothing_is_left_to_read_at_rest(rest: Rest) -> None:
    """No key, password or public address is in an answer, a page, a metric, a log or a row.

    Slow: see above.
    """
    assert [] == rest.leaks


def test_nobody_is_let_in_at_rest(rest: Rest) -> None:
    """No request reaches a service of it, nor wakes one.

    Slow: see above.
    """
    assert [503, 503] == rest.reached


def test_all_is_as_before_after_a_rest(rest: Rest) -> None:
    """After the start it has the same addresses, the same keys and every row.

    Slow: see above.
    """
    assert rest.before == rest.after
    assert [1, 2] == rest.rows


def test_rotation(silo: Silo) -> None:
    """New keys take the place of the old ones everywhere, and one build tells the front end.

    Slow: see above.
    """
    silo.sql("set role postgres; create table if not exists doors (n int);")
    before, builds = _connects(silo), silo.builds()
    silo.wish("/rotate-keys")
    told = {None, before["supabase_anon_key"]}
    eventually(lambda: _key(silo) not in told, within=CONVERGE_SECONDS)
    silo.until("active")
    after = _connects(silo)
    eventually(lambda: silo.builds() != builds, within=NOTICED_SECONDS)
    old, new = (silo.gateway(each["supabase_anon_key"]) for each in (before, after))

    assert httpx.codes.UNAUTHORIZED == old.ask("GET", "/rest/v1/doors").status_code
    assert [] == new.rows("doors", "n")
    assert after["supabase_anon_key"] == silo.variable("VITE_SUPABASE_ANON_KEY")
    assert after["supabase_url"] == before["supabase_url"] == silo.variable("VITE_SUPABASE_URL")
    assert builds == silo.builds()[1:]
    assert not {before[name] for name in CONNECTS if "key" in name} & set(after.values())
    assert before["db_password"] != after["db_password"]


def test_killed_service_is_repaired(silo: Silo) -> None:
    """While a service is away those who only use it are refused, devops is warned; it comes back.

    Slow: see above.
    """
    silo.process("postgrest").kill()
    told = silo.until("degraded", within=NOTICED_SECONDS)
    worker, context = silo.ask("/app-context", role="dev-worker"), silo.context()
    silo.until("active")

    assert "Unsafe" == told["connection"]
    assert httpx.codes.CONFLICT == worker.status_code
    assert context["unsafe"]
    assert "postgrest" in " ".join(context["reasons"])
    assert not silo.context("dev-worker")["unsafe"]


def test_move_survives_its_controller(product: Product, silo: Silo) -> None:
    """A region move loses no row and no file, though its controller is killed twice meanwhile.

    Slow: see above, and the leases of a killed controller have to run out.
    """
    digest = "select count(*), md5(string_agg(word, '' order by n)) from ledger;"
    silo.sql(
        "insert into storage.buckets (id, name) values ('attic', 'attic');"
        "set role postgres; create table ledger (n int primary key, word text);"
        "insert into ledger select n, md5(n::text) from generate_series(1, 10000) n;"
    )
    before, (sum_before,) = _connects(silo), silo.sql(digest)
    keeper = silo.gateway(before["supabase_service_role_key"])
    keeper.upload("attic/chest.txt", b"old letters").raise_for_status()
    old = {volume["id"] for volume in silo.volumes()}
    source = silo.status()["region"]
    target = "ams" if source == "yyz" else "yyz"
    wish = f'{{"spec": {{"region": "{target}"}}}}'
    silo.kubectl("patch", "devenv", NAME, "-n", ACCOUNT, "--type=merge", "-p", wish)
    for step in ("Copy", "Remove"):
        _until_step(silo, step)
        product.kill("controller")
    eventually(lambda: silo.row()["status"].get("move") is None, within=CONVERGE_SECONDS)
    silo.until("active")
    (sum_after,) = silo.sql(digest)
    volumes, machines = silo.volumes(), silo.machines()

    assert sum_before == sum_after
    assert 10_000 == keeper.count("ledger")
    assert b"old letters" == keeper.download("attic/chest.txt").content
    assert before == _connects(silo)
    assert {target} == {each["region"] for each in (*volumes, *machines)}
    assert (2, len(SERVICES)) == (len(volumes), len(machines))
    assert set() == old & {volume["id"] for volume in volumes}


def test_deletion_leaves_nothing(product: Product, silo: Silo) -> None:
    """A deleted environment leaves no app, no machine, no disk, no secret and no row.

    Slow: see above.
    """
    disks = {volume["id"] for volume in silo.volumes()}
    silo.kubectl("delete", "devenv", NAME, "-n", ACCOUNT, f"--timeout={CONVERGE_SECONDS}s")
    apps = product.fly("/v1/apps?org_slug=invoker").text
    kept = {path.name for path in (product.state / "cloud" / "fly" / "volumes").iterdir()}

    assert [] == [service for service in SERVICES if silo.app(service) in apps]
    assert ([], []) == (silo.machines(), silo.volumes())
    assert set() == disks & kept
    assert [] == silo.secrets()
    assert [] == product.sql("SELECT name FROM objects WHERE namespace = %s", ACCOUNT)


def _key(silo: Silo) -> str | None:
    """The public key that devops is told at present."""
    key: str | None = silo.ask("/app-context").json().get("supabase_anon_key")
    return key


def _until_step(silo: Silo, step: str) -> None:
    eventually(lambda: silo.step() == step, within=CONVERGE_SECONDS)


def _connects(silo: Silo) -> dict[str, str]:
    """What connects to it, as devops is told."""
    told = silo.context()
    return {name: told[name] for name in CONNECTS}
