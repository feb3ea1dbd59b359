"""What connects to a dev environment: who is told which part of it, and when; all of it audited."""

from __future__ import annotations

from itertools import product
from typing import Any, Final, get_args

import psycopg
import pytest
import structlog

from api.silo.access import MATRIX, masked
from crds.access import ROLES, Role
from crds.devenv import Connection
from tests.api.service import Service, code_of, problem_of
from tests.api.silos import OTHER, OWN, PARTS, PASSWORD, SECRET, SILO, Town

pytestmark = pytest.mark.anyio

STATES: Final[tuple[Connection, ...]] = get_args(Connection)
MASKED: Final = "postgres://postgres:***@devenv-acme-erp-pg.fly.dev:5432/postgres"
# Written down from the requirements, by field: in which states each role is told it. F: all is
# well, U: some service is away, P: on the way up. What has no entry is told to nobody.
FRONT_ENDS: Final = ("platform-admin", "support", "account-owner", "dev-orchestrator", "dev-worker")
TOLD: Final[dict[str, dict[str, str]]] = {
    "supabase_url": {"devops": "PFU", **dict.fromkeys(FRONT_ENDS, "F")},
    "supabase_anon_key": {"devops": "FU", **dict.fromkeys(FRONT_ENDS, "F")},
    "silo_preview_url": {"devops": "PFU", **dict.fromkeys(FRONT_ENDS, "F")},
    "studio_url": {"devops": "PFU"},
    "studio_user": {"devops": "FU"},
    "studio_password": {"devops": "FU"},
    "supabase_service_role_key": {"devops": "FU"},
    "db_password": {"devops": "FU"},
    "db_connection_string": {"devops": "FU", "security-auditor": "FU"},
}
NOT_TOLD_EVER: Final = ("clientele", "metrics")


def expected(role: Role, connection: Connection) -> dict[str, str]:
    """What a role is to be told."""
    found = {
        field: PARTS[field]
        for field, roles in TOLD.items()
        if connection[0] in roles.get(role, "") and connection != "None"
    }
    if role == "security-auditor" and "db_connection_string" in found:
        found["db_connection_string"] = MASKED
    return found


@pytest.fixture
async def town(service: Service) -> Town:
    """Two accounts."""
    town = Town(service)
    await town.account(OWN)
    await town.account(OTHER)
    return town


async def reads(town: Town) -> list[tuple[str, str, list[str] | None, str]]:
    """The reads in the audit, the oldest first: who, of what, what they were given, why not."""
    records = await town.service.store.audit.list()
    return [
        (record.role, record.name, record.given, record.refused)
        for record in reversed(records)
        if record.verb == "read"
    ]


@pytest.mark.parametrize(("role", "connection"), [*product(ROLES, STATES)])
async def test_everybody_is_told_what_is_theirs_and_nothing_else(
    town: Town, role: Role, connection: Connection
) -> None:
    """Every cell of role, field and state is as the requirements have it."""
    await town.connected(connection)
    answer = await town.context(role)
    wanted = expected(role, connection)
    told = {name: value for name, value in answer.json().items() if name in PARTS}

    assert wanted == told
    status = 403 if role in NOT_TOLD_EVER else 200 if wanted else 409
    assert status == answer.status_code
    assert "no-store" == answer.headers["cache-control"]
    leaked = [name for name in SECRET if name not in wanted and PARTS[name] in answer.text]
    assert [] == leaked
    assert [(role, SILO)] == [(who, name) for who, name, _, _ in await reads(town)]


async def test_the_table_has_every_role() -> None:
    """A new role is told nothing until somebody decides what."""
    assert set(ROLES) == MATRIX.keys()


async def test_the_answer_for_a_front_end_has_the_words_of_the_requirements(town: Town) -> None:
    """A worker gets address, public key and preview, and what state they are in."""
    await town.connected("Full")
    body = (await town.context("dev-worker")).json()

    started_at = body.pop("started_at")
    assert started_at
    assert {
        "silo_id": SILO,
        "status": "active",
        "connection": "Full",
        "unsafe": False,
        "reasons": [],
        "supabase_url": PARTS["supabase_url"],
        "supabase_anon_key": PARTS["supabase_anon_key"],
        "silo_preview_url": PARTS["silo_preview_url"],
    } == body


async def test_what_is_unsafe_is_said_to_be_with_the_reason(town: Town) -> None:
    """While a service is away, those who are told are told that too."""
    devenv = await town.connected("Unsafe")
    devenv.status.set_condition(
        "Ready", "False", "Degraded", "does not answer: kong", now=town.now, generation=1
    )
    await town.tell(devenv)
    bodies = [(await town.context(role)).json() for role in ("devops", "security-auditor")]

    assert [(True, ["does not answer: kong"], "degraded")] * 2 == [
        (body["unsafe"], body["reasons"], body["status"]) for body in bodies
    ]


async def test_what_there_is_none_of_is_left_out(town: Town) -> None:
    """No studio and no preview: no such fields, and the audit does not name them."""
    await town.connected("Full", studio_url=None, silo_preview_url=None)
    body = (await town.context("devops")).json()

    assert {"studio_url", "silo_preview_url"}.isdisjoint(body)
    ((_, _, given, _),) = await reads(town)
    assert given is not None
    assert {"studio_url", "silo_preview_url"}.isdisjoint(given)


async def test_a_record_that_says_less_than_the_row_gives_less(town: Town) -> None:
    """Row and record are read one after the other: what is given is what both allow."""
    keys = ("supabase_anon_key", "db_password", "db_connection_string")
    nothing = dict.fromkeys((*keys, "studio_user", "studio_password"))
    await town.connected("Full", **nothing, supabase_service_role_key=None)
    partial = (await town.context("devops")).json()
    await town.tell(await town.row(), connection="Partial")
    await town.record()
    full = (await town.context("devops")).json()

    addresses = {"supabase_url", "studio_url", "silo_preview_url"}
    assert [addresses, addresses] == [body.keys() & PARTS.keys() for body in (partial, full)]


@pytest.mark.parametrize(
    ("state", "role", "words"),
    [
        ({"connection": "None", "phase": "Stopped"}, "dev-worker", "POST /start-silo"),
        ({"connection": "None", "phase": "Stopped"}, "dev-orchestrator", "Have devops start it"),
        ({"connection": "None", "phase": "Stopping"}, "devops", "POST /start-silo"),
        ({"connection": "None", "phase": "Moving"}, "devops", "ask again"),
        ({"connection": "Partial", "phase": "Provisioning"}, "dev-worker", "ask again"),
        ({"connection": "Unsafe", "phase": "Degraded"}, "dev-worker", "only devops"),
    ],
)
async def test_when_there_is_nothing_it_says_what_to_do(
    town: Town, state: dict[str, Any], role: Role, words: str
) -> None:
    """409 tells the state and the next step."""
    devenv = await town.connected("Full")
    await town.tell(devenv, **state)
    answer = await town.context(role)

    assert (409, "connection-unavailable") == (answer.status_code, code_of(answer))
    assert words in problem_of(answer)["detail"]
    assert state["phase"].lower() == problem_of(answer)["overall_status"]


async def test_nothing_is_told_from_the_moment_on_when_it_shall_stop(town: Town) -> None:
    """Before the controller has acted, a wish to stop or to delete ends what is told."""
    devenv = await town.connected("Full")
    await town.post("devops", "/stop-silo")
    stopped = await town.context("devops")
    await town.post("devops", "/start-silo")
    await town.tell(await town.row(), connection="Full", phase="Running")
    again = await town.context("devops")
    row = await town.row()
    row.metadata.finalizers = ["tests"]
    await town.service.store.update(row)
    await town.service.store.delete(type(devenv), SILO, OWN)
    deleted = await town.context("devops")

    assert [409, 200, 409] == [each.status_code for each in (stopped, again, deleted)]


async def test_what_was_withdrawn_meanwhile_is_not_given(town: Town) -> None:
    """The record is gone although the row does not say so yet."""
    await town.connected("Full")
    await town.withdraw()
    answer = await town.context("devops")

    assert (409, "connection-unavailable") == (answer.status_code, code_of(answer))


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
async def test_an_account_that_is_not_active_is_told_nothing(town: Town, state: str) -> None:
    """Quarantine holds for what connects as for everything else."""
    await town.connected("Full")
    await town.change(state=state)
    answer = await town.context("devops")

    assert (403, f"account-{state.lower()}") == (answer.status_code, code_of(answer))
    assert [("devops", SILO, [], f"account-{state.lower()}")] == await reads(town)


async def test_another_accounts_is_as_good_as_none(town: Town) -> None:
    """404 by id, by name, and when the account is said; the attempts are in the audit."""
    await town.connected("Full")
    own = await town.context("devops", of=OTHER)
    said = await town.ask(
        "devops", "GET", "/app-context", of=OTHER, params={"silo_id": SILO, "account": OWN}
    )

    assert [(404, "no-such-silo")] * 2 == [(a.status_code, code_of(a)) for a in (own, said)]
    assert [("devops", SILO, [], "no-such-silo")] * 2 == await reads(town)


async def test_what_was_given_is_audited_by_name(town: Town) -> None:
    """Who, in which role, of which object, which fields; no value anywhere."""
    devenv = await town.connected("Full")
    await town.context("security-auditor")
    await town.context("dev-worker")
    await town.context("clientele")
    records = await town.service.store.audit.list(uid=devenv.uid)

    assert [
        ("clientele", [], "role-not-allowed"),
        ("dev-worker", ["supabase_url", "supabase_anon_key", "silo_preview_url"], ""),
        ("security-auditor", ["db_connection_string (masked)"], ""),
    ] == [(r.role, r.given, r.refused) for r in records if r.verb == "read"]
    assert all(r.subject.startswith("token:") for r in records if r.verb == "read")
    assert not any(PARTS[name] in str(records) for name in SECRET)


async def test_what_cannot_be_noted_is_not_given(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its line in the audit an answer is none."""

    async def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("the disk is full")

    await town.connected("Full")
    monkeypatch.setattr(town.service.store.audit, "note_read", fail)
    answer = await town.context("devops")

    assert 503 == answer.status_code
    assert not any(value in answer.text for value in PARTS.values())


async def test_a_record_under_another_key_is_said_without_it(town: Town) -> None:
    """What cannot be decrypted is an operator's matter, and is audited as refused."""
    await town.connected("Full")
    await town.service.store.database.execute("UPDATE secrets SET ciphertext = 'x'")
    answer = await town.context("devops")

    assert (503, "connection-unreadable") == (answer.status_code, code_of(answer))
    assert [("devops", SILO, [], "connection-unreadable")] == await reads(town)


async def test_no_secret_is_in_the_log(town: Town) -> None:
    """What is logged of a request names who asked, and nothing of what they were given."""
    await town.connected("Full")
    with structlog.testing.capture_logs() as lines:
        await town.context("devops")

    assert any(line["event"] == "request" for line in lines)
    assert not any(value in str(lines) for value in PARTS.values())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "silo_id"),
        ({"silo_id": ""}, "silo_id"),
        ({"silo_id": "UPPER"}, "silo_id"),
        ({"silo_id": "x" * 64}, "silo_id"),
        ({"silo_id": ["a", "b"]}, "silo_id"),
        ({"silo_id": "a", "account": "/"}, "account"),
        ({"silo_id": "a", "colour": "red"}, "colour"),
    ],
)
@pytest.mark.parametrize("path", ["/app-context", "/silo-status"])
async def test_queries_are_judged_field_by_field(
    town: Town, path: str, query: dict[str, Any], field: str
) -> None:
    """422 names the field and the rule."""
    answer = await town.ask("devops", "GET", path, params=query)

    assert (422, [field]) == (
        answer.status_code,
        [error["field"] for error in problem_of(answer)["errors"]],
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/app-context?silo_id=x"),
        ("GET", "/silo-status?silo_id=x"),
        ("POST", "/start-silo"),
        ("POST", "/stop-silo"),
        ("POST", "/rotate-keys"),
    ],
)
@pytest.mark.parametrize("header", ["", "Bearer inv_x_y", "Bearer x.y.z", "Basic YTpi"])
async def test_nobody_is_let_in(service: Service, method: str, path: str, header: str) -> None:
    """Without a token that proves something there is 401."""
    headers = {"Authorization": header} if header else {}
    answer = await service.client.request(method, path, headers=headers, json={"silo_id": "x"})

    assert 401 == answer.status_code


PLACE: Final = "devenv-a-b-pg.fly.dev:5432/postgres"
STRINGS: Final = [
    *(
        (f"postgres://postgres:{password}@{PLACE}", f"postgres://postgres:***@{PLACE}")
        for password in (PASSWORD, "simple", "", "a@b@c", "://", "%40")
    ),
    (f"postgres://u:x@{PLACE}?password=hidden", f"postgres://u:***@{PLACE}"),
    ("postgres://host/db", "postgres://:***@host/db"),
]


@pytest.mark.parametrize(("whole", "left"), STRINGS)
async def test_a_password_is_masked_whatever_it_holds(whole: str, left: str) -> None:
    """Nothing between the user's name and the last `@` is kept."""
    assert left == masked(whole)
