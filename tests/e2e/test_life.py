"""The life of a machine, as its owner and an operator see it."""

import uuid
from typing import Any

import httpx
import pytest

from crds.store import Store
from tests.e2e.patience import eventually
from tests.e2e.person import CONVERGE_SECONDS, Person
from tests.e2e.product import Product

pytestmark = pytest.mark.slow


def test_stop_and_wake(resident: Person) -> None:
    """A stopped machine's page says asleep; its owner's visit wakes it with all that it kept.

    Slow: a machine stops and starts.
    """
    resident.keep("still here")
    resident.wish("stop")
    eventually(lambda: resident.route() == "stopped", within=CONVERGE_SECONDS)
    asleep = resident.visit("/", signed_in=False, html=True)
    waking = resident.visit("/", html=True)
    resident.until_answered()

    assert 401 == asleep.status_code
    assert "This machine is asleep" in asleep.text
    assert 503 == waking.status_code
    assert "Your machine is starting" in waking.text
    assert int(waking.headers["retry-after"]) > 0
    assert "still here" == resident.notes()


def test_idle_machine_sleeps_and_wakes(product: Product, resident: Person) -> None:
    """Without activity for half an hour a machine is put to sleep; a visit wakes it.

    Slow: a machine stops and starts; the half hour itself is taken off the rows.
    """
    resident.keep("still here")
    _age(product, resident)
    eventually(lambda: resident.route() == "asleep", within=CONVERGE_SECONDS)
    asleep = resident.visit("/", signed_in=False, html=True)
    waking = resident.visit("/", html=True)
    resident.until_answered()

    assert (401, 503) == (asleep.status_code, waking.status_code)
    assert "1" == waking.headers["x-invoker-woken"]
    assert "still here" == resident.notes()
    assert "running" == resident.until("running")["status"]


def test_killed_agent_is_restarted(product: Product, resident: Person) -> None:
    """A crash is visible in the status, and the machine is started again.

    Slow: the crash is noticed by the next look at the provider.
    """
    resident.keep("still here")
    agent = product.agent(str(resident.row("machines")["uid"]))
    assert agent is not None
    agent.kill()
    eventually(lambda: _restarts(resident)["count"] == 1, within=CONVERGE_SECONDS)
    resident.until_answered()

    assert _restarts(resident)["lastAt"] is not None
    assert "still here" == resident.notes()


def test_crash_under_traffic_is_seen(product: Product, resident: Person) -> None:
    """A crash that the owner's next request undoes at once is counted all the same.

    Slow: the crash is noticed by the next look at the provider.
    """
    agent = product.agent(str(resident.row("machines")["uid"]))
    assert agent is not None
    agent.kill()
    resident.until_answered()
    eventually(lambda: _restarts(resident)["count"] == 1, within=CONVERGE_SECONDS)

    assert "running" == resident.until("running")["status"]


def test_rename(product: Product, resident: Person) -> None:
    """After a rename the new name answers, and the old one leads to it.

    Slow: a machine is made for it.
    """
    old, new = resident.subdomain, f"new-{uuid.uuid4().hex[:8]}"
    resident.wish("rename", subdomain=new)
    resident.until_answered(at=new)
    moved = _answered(resident, 308, "/a?b=c", at=old)

    assert f"http://{new}.localhost:{product.ports['edge']}/a?b=c" == moved.headers["location"]


@pytest.mark.anyio
async def test_edit_by_sql(product: Product, resident: Person) -> None:
    """An operator's UPDATE shows in a watch and converges like a call of the API.

    Slow: a machine stops and starts.
    """
    async with Store.opened(product.database) as store:
        before = await store.log.newest()
        _power(product, resident, "Stopped")
        changes = store.watch(["Workspace"], before)
        seen = [await anext(changes)]
        while seen[-1].key.namespace != resident.id or not seen[-1].spec_changed:
            seen.append(await anext(changes))
    resident.until("stopped")
    _power(product, resident, "Running")
    resident.until_answered()

    assert seen[-1].object is not None
    assert "Stopped" == seen[-1].object["spec"]["power"]


def test_bad_edit_by_sql(product: Product, resident: Person) -> None:
    """A spec that breaks a rule is told on the row, stops nothing, and heals with the next edit.

    Slow: a machine is made for it.
    """
    good = resident.row("workspaces")["spec"]
    _spec(product, resident, "'{region}', '\"moon\"'")
    eventually(lambda: "region" in str(resident.row("workspaces")["status"]), within=30)
    resident.until_answered()
    product.sql("UPDATE workspaces SET spec = spec - 'region' WHERE namespace = %s", resident.id)
    eventually(lambda: "moon" not in str(resident.row("workspaces")["status"]), within=30)

    assert good == resident.row("workspaces")["spec"]
    assert "running" == resident.until("running")["status"]


def test_delete(product: Product, resident: Person) -> None:
    """A deleted machine leaves nothing: no page, no app, no disk, no route.

    Slow: a machine is made and removed.
    """
    app = resident.row("machines")["status"]["app"]["name"]
    assert httpx.codes.OK == product.fly(f"/v1/apps/{app}").status_code
    resident.wish("delete")
    resident.until("none")
    gone = _answered(resident, 404)

    assert "Account not found" in gone.text
    assert httpx.codes.NOT_FOUND == product.fly(f"/v1/apps/{app}").status_code
    assert app not in product.fly("/v1/apps?org_slug=invoker").text
    assert resident.subdomain not in product.routes()


@pytest.mark.parametrize("state", ["Suspended", "Quarantined"])
def test_account_that_may_not(product: Product, resident: Person, state: str) -> None:
    """An account that an operator closes gets its page, and nothing else, until it is opened.

    Slow: a machine stops and starts.
    """
    _account(product, resident, state)
    page = _answered(resident, 403)
    resident.until("stopped")
    with pytest.raises(httpx.HTTPStatusError) as refusal:
        resident.wish("start")
    _account(product, resident, "Active")
    resident.until_answered()

    assert f"This account is {state.lower()}" in page.text
    assert 403 == refusal.value.response.status_code


def test_incident(product: Product, resident: Person) -> None:
    """With the switch on, what cannot be answered is told with the operator's words.

    Slow: a machine stops, and the edge is told of the incident and of its end.
    """
    resident.wish("stop")
    resident.until("stopped")
    _incident(product, '{"active": true, "message": "Moving house."}')
    page = _answered(resident, 503, words="Moving house.")
    _incident(product, '{"active": false, "message": ""}')
    resident.until_answered()

    assert "experiencing issues" in page.text


def _restarts(person: Person) -> dict[str, Any]:
    restarts: dict[str, Any] = person.row("machines")["status"]["restarts"]
    return restarts


def _answered(
    person: Person, status: int, path: str = "/", *, at: str | None = None, words: str = ""
) -> httpx.Response:
    """Open a page until the edge answers with this status and these words."""

    def ask() -> httpx.Response:
        answer = person.visit(path, at=at, html=True)
        assert status == answer.status_code
        assert words in answer.text
        return answer

    return eventually(ask, within=CONVERGE_SECONDS)


def _incident(product: Product, incident: str) -> None:
    product.sql("UPDATE platforms SET spec = jsonb_set(spec, '{incident}', %s::jsonb)", incident)


def _account(product: Product, person: Person, state: str) -> None:
    product.sql(
        "UPDATE accounts SET spec = jsonb_set(spec, '{state}', to_jsonb(%s::text)) WHERE name = %s",
        state,
        person.id,
    )


def _power(product: Product, person: Person, power: str) -> None:
    _spec(product, person, "'{power}', to_jsonb(%s::text)", power)


def _spec(product: Product, person: Person, change: str, *values: Any) -> None:
    product.sql(
        f"UPDATE workspaces SET spec = jsonb_set(spec, {change}) WHERE namespace = %s",  # noqa: S608 - ours
        *values,
        person.id,
    )


def _age(product: Product, person: Person) -> None:
    """Take an hour off every sign of activity, and touch the workspace so that it is looked at."""
    uid = person.row("machines")["uid"]
    product.sql(
        "UPDATE heartbeats SET last_activity_at = now() - interval '1 hour' WHERE machine = %s",
        uid,
    )
    product.sql(
        "UPDATE machines SET status = jsonb_set(status, '{instance,startedAt}', "
        "to_jsonb(now() - interval '1 hour')) WHERE uid = %s",
        uid,
    )
    _spec(product, person, "'{wakeAt}', to_jsonb(now() - interval '1 hour')")
