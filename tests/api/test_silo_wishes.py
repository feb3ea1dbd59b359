"""Starting, stopping and rotating: who may, what is written, whose it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from api.silo.wishes import MAKING
from crds.access import ROLES, Role
from crds.devenv import DevEnv, KeysStatus
from tests.api.service import PASSWORD, Service, code_of, problem_of
from tests.api.silos import OTHER, OWN, SILO, Town

pytestmark = pytest.mark.anyio

KEEPERS: Final = {"platform-admin", "account-owner", "devops"}
# From the requirements: a worker may wake what is there, and make nothing.
STARTERS: Final = KEEPERS | {"dev-worker"}
NEW: Final = {"client": "acme", "app": "erp"}


@pytest.fixture
async def town(service: Service) -> Town:
    """Two accounts."""
    town = Town(service)
    await town.account(OWN)
    await town.account(OTHER)
    return town


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_start_stop_and_rotate(town: Town, role: Role) -> None:
    """Each role gets 202 for what is its own to wish, and 403 for the rest."""
    await town.devenv(power="Stopped")
    answers = {
        path: await town.post(role, path) for path in ("/start-silo", "/stop-silo", "/rotate-keys")
    }

    allowed = {"/start-silo": STARTERS, "/stop-silo": KEEPERS, "/rotate-keys": KEEPERS}
    wanted = {path: 202 if role in roles else 403 for path, roles in allowed.items()}
    assert wanted == {path: answer.status_code for path, answer in answers.items()}
    refused = [answer for answer in answers.values() if answer.status_code == 403]
    assert all("devops" in problem_of(answer)["detail"] for answer in refused)


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_make_one(town: Town, role: Role) -> None:
    """Only those who keep dev environments make one; a worker's wish finds none."""
    account = {"account": OWN} if role == "platform-admin" else {}
    answer = await town.post(role, "/start-silo", **NEW, **account)
    rows = await town.service.store.rows(DevEnv)

    made = role in KEEPERS
    assert (int(made), made) == (len(rows), answer.status_code == 202)
    if not made:
        assert ("no-such-silo" if role == "dev-worker" else "role-not-allowed") == code_of(answer)


async def test_what_is_made_is_as_wished(town: Town) -> None:
    """Every field is written, the wish counts as use, and the audit names who wished."""
    wish: dict[str, Any] = {
        **NEW,
        "region": "yyz",
        "studio": False,
        "rls_mode": "permissive",
        "auto_stop_minutes": None,
        "netlify": {"site": "site-1", "team": "somtech"},
        "preview_url": "https://silo-acme-erp--prod.netlify.app",
    }
    await town.change(netlify_sites=["site-1"])
    answer = await town.post("devops", "/start-silo", **wish)
    body, row = answer.json(), await town.row()
    (record,) = await town.service.store.audit.list(uid=row.uid)

    assert wish == {name: row.spec.model_dump()[name] for name in MAKING}
    assert ("Running", True) == (row.spec.power, row.spec.wake_at is not None)
    assert (SILO, OWN, True, "pending") == (
        body["silo_id"],
        body["account"],
        body["made"],
        body["overall_status"],
    )
    assert ("create", "devops", "api") == (record.verb, record.role, record.via)


async def test_what_is_not_said_is_as_usual(town: Town) -> None:
    """Null says nothing, but of auto-stop: 30 minutes unless said."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("region", "studio", "rls_mode", "netlify", "preview_url")
    )
    await town.post("devops", "/start-silo", **NEW, **nothing)
    spec = (await town.row()).spec

    assert ("yyz", True, "production", 30) == (
        spec.region,
        spec.studio,
        spec.rls_mode,
        spec.auto_stop_minutes,
    )


async def test_wishing_again_makes_nothing_twice(town: Town) -> None:
    """A repeated wish is the same wish: one object, one version."""
    first = await town.post("devops", "/start-silo", **NEW)
    made = await town.row()
    again = await town.post("devops", "/start-silo", **NEW)

    assert [(202, True), (202, False)] == [
        (a.status_code, a.json()["made"]) for a in (first, again)
    ]
    assert made.metadata.resource_version == (await town.row()).metadata.resource_version


async def test_many_who_make_the_same_one_get_one(town: Town) -> None:
    """Wishes at the same moment meet in one object."""
    answers = await asyncio.gather(*(town.post("devops", "/start-silo", **NEW) for _ in range(5)))

    assert {202} == {answer.status_code for answer in answers}
    assert 1 == sum(answer.json()["made"] for answer in answers)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client", "globex"),
        ("app", "crm"),
        ("region", "fra"),
        ("studio", False),
        ("rls_mode", "disabled"),
        ("auto_stop_minutes", None),
        ("netlify", {"site": "s", "team": "t"}),
        ("preview_url", "https://example.com"),
    ],
)
async def test_starting_changes_nothing_but_the_power(town: Town, field: str, value: Any) -> None:
    """A wish that says of what is there that it were otherwise is refused with the field."""
    before = await town.devenv(power="Stopped", client="acme", app="erp")
    answer = await town.post("devops", "/start-silo", **{**NEW, field: value})

    assert (409, "silo-differs") == (answer.status_code, code_of(answer))
    assert [field] == [error["field"] for error in problem_of(answer)["errors"]]
    assert before.spec == (await town.row()).spec


async def test_one_that_fell_asleep_is_woken_at_once(town: Town) -> None:
    """What was stopped since it was asked for is asked for anew, however short ago that was."""
    devenv = await town.devenv(wake_at=town.now - timedelta(seconds=5))
    await town.tell(
        devenv,
        phase="Stopped",
        stopped_for="Idle",
        last_stopped_at=town.now - timedelta(seconds=2),
        observed_generation=1,
    )
    answer = await town.post("dev-worker", "/start-silo")
    row = await town.row()

    assert row.spec.wake_at is not None
    assert row.status.last_stopped_at is not None
    assert row.spec.wake_at > row.status.last_stopped_at
    assert "starting" == answer.json()["overall_status"]


async def test_stopping_is_said_at_once_and_may_be_repeated(town: Town) -> None:
    """The wish is answered with what will be, and a second one writes nothing."""
    await town.devenv(status={"phase": "Running"})
    first = await town.post("devops", "/stop-silo")
    row = await town.row()
    second = await town.post("devops", "/stop-silo")

    assert ["stopping", "stopping"] == [a.json()["overall_status"] for a in (first, second)]
    assert "Stopped" == row.spec.power
    assert row.metadata.resource_version == (await town.row()).metadata.resource_version


async def test_keys_are_rotated_once_until_they_are(town: Town) -> None:
    """While new keys are being made, asking again asks for the same ones; later for newer ones."""
    long_ago = town.now - timedelta(days=1)
    devenv = await town.devenv(status={"keys": KeysStatus(fingerprint="a", made_at=long_ago)})
    first = (await town.post("devops", "/rotate-keys")).json()["rotate_at"]
    again = (await town.post("devops", "/rotate-keys")).json()["rotate_at"]
    row = await town.row()
    row.spec.rotate_at = town.now - timedelta(hours=2)
    row = await town.service.store.update(row)
    made = KeysStatus(fingerprint="b", made_at=town.now - timedelta(hours=1))
    await town.tell(row, keys=made)
    later = (await town.post("devops", "/rotate-keys")).json()["rotate_at"]

    assert devenv.spec.rotate_at is None
    assert first is not None
    assert first == again
    assert later > first


async def test_a_silo_id_of_its_own_comes_before_a_name(town: Town) -> None:
    """Both find it; where one's id is another's name, the id wins."""
    await town.devenv(name="first", silo_id="second", power="Stopped")
    await town.devenv(name="second", silo_id="third", power="Stopped")
    found = [
        (await town.post("devops", "/start-silo", silo_id=silo)).json()["name"]
        for silo in ("second", "third", "first")
    ]

    assert ["first", "second", "first"] == found


async def test_several_of_one_id_are_told_apart(town: Town) -> None:
    """In one account by name; an administrator, who sees all, says whose."""
    await town.devenv(name="one", silo_id="same", app="one")
    await town.devenv(name="two", silo_id="same", app="two")
    await town.devenv(OTHER, name="one", silo_id="else")
    own = await town.post("devops", "/stop-silo", silo_id="same")
    all_of = await town.post("platform-admin", "/stop-silo", silo_id="one")
    said = await town.post("platform-admin", "/stop-silo", silo_id="one", account=OTHER)

    assert [(409, "ambiguous-silo")] * 2 == [(a.status_code, code_of(a)) for a in (own, all_of)]
    assert (202, OTHER) == (said.status_code, said.json()["account"])


@pytest.mark.parametrize("path", ["/start-silo", "/stop-silo", "/rotate-keys"])
async def test_another_accounts_is_not_there(town: Town, path: str) -> None:
    """404, whether or not the account is said, and nothing changes."""
    before = await town.devenv(power="Stopped")
    answers = [
        await town.post("devops", path, of=OTHER),
        await town.post("devops", path, of=OTHER, account=OWN),
        await town.post("devops", path, silo_id="nothing"),
    ]

    assert [(404, "no-such-silo")] * 3 == [(a.status_code, code_of(a)) for a in answers]
    assert before.spec == (await town.row()).spec


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
async def test_an_account_that_is_not_active_wishes_for_nothing_but_rest(
    town: Town, state: str
) -> None:
    """Neither starting nor making nor rotating; stopping may be wished for."""
    await town.devenv()
    await town.change(state=state)
    answers = [
        await town.post("devops", "/start-silo"),
        await town.post("devops", "/start-silo", **{**NEW, "silo_id": "new"}),
        await town.post("devops", "/rotate-keys"),
    ]
    stopped = await town.post("devops", "/stop-silo")

    code = f"account-{state.lower()}"
    assert [(403, code)] * 3 == [(a.status_code, code_of(a)) for a in answers]
    assert 202 == stopped.status_code


async def test_one_that_is_being_deleted_is_left_alone(town: Town) -> None:
    """409 says when it can be made anew."""
    devenv = await town.devenv()
    devenv.metadata.finalizers = ["tests"]
    await town.service.store.update(devenv)
    await town.service.store.delete(DevEnv, SILO, OWN)
    answer = await town.post("devops", "/start-silo")

    assert (409, "being-deleted") == (answer.status_code, code_of(answer))
    assert "deleting" == (await town.status())["overall_status"]


async def test_a_user_of_supabase_keeps_their_own(town: Town) -> None:
    """An account's owner comes with their usual access token."""
    user = await town.service.user()
    made = await town.service.call(user, "POST", "/start-silo", {"silo_id": "mine", **NEW})

    assert (202, user.id) == (made.status_code, made.json()["account"])


@pytest.mark.parametrize(("role", "status"), [("dev-worker", 202), ("clientele", 403)])
async def test_a_users_role_of_an_agent_is_in_their_own_account(
    town: Town, role: str, status: int
) -> None:
    """What the issuer says a user is here holds, also when that is less than an owner."""
    alice = await town.service.user()
    user = next(each for each in town.service.auth.users.values() if each.id == alice.id)
    user.app_metadata = {**user.app_metadata, "invoker_role": role}
    body = {"email": user.email, "password": PASSWORD}
    session = (await town.service.client.post("/api/auth/login", json=body)).json()
    promoted = replace(alice, token=session["access_token"])
    await town.devenv(alice.id, "mine", client="acme", app="erp", power="Stopped")
    await town.devenv(OWN, "theirs", client="acme", app="crm", power="Stopped")
    own = await town.service.call(promoted, "POST", "/start-silo", {"silo_id": "mine"})
    other = await town.service.call(promoted, "POST", "/start-silo", {"silo_id": "theirs"})
    stopped = await town.service.call(promoted, "POST", "/stop-silo", {"silo_id": "mine"})

    assert (status, 403) == (own.status_code, stopped.status_code)
    assert other.status_code == (403 if role == "clientele" else 404)


async def test_rotation_of_some_day_is_none_of_today(town: Town) -> None:
    """Who asks for new keys gets them, whatever was wished for later."""
    made_at, later = town.now - timedelta(days=1), town.now + timedelta(days=365)
    keys = KeysStatus(fingerprint="f", made_at=made_at)
    await town.devenv(status={"keys": keys}, rotate_at=later)
    answer = await town.post("devops", "/rotate-keys")

    row = await town.service.store.get(DevEnv, SILO, OWN)
    assert 202 == answer.status_code
    assert row.spec.rotate_at is not None
    assert made_at < row.spec.rotate_at <= town.now


async def test_wake_is_later_than_the_stop(town: Town) -> None:
    """A stop by a clock that is ahead of the API's is over when somebody asks for the silo."""
    stopped_at = town.now + timedelta(seconds=30)
    status = {"phase": "Stopped", "stopped_for": "Idle", "last_stopped_at": stopped_at}
    await town.devenv(status=status)
    answer = await town.post("dev-worker", "/start-silo")

    row = await town.service.store.get(DevEnv, SILO, OWN)
    assert "starting" == answer.json()["overall_status"]
    assert row.spec.wake_at is not None
    assert row.spec.wake_at > stopped_at
