"""Creating, replacing, patching, applying, scaling and deleting through the door."""

import asyncio
from typing import Any

import pytest

from crds.meta import Key
from crds.workspace import Workspace
from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, account, workspace

pytestmark = pytest.mark.anyio

HERE = WORKSPACES.format("alice")
MAIN = f"{HERE}/main"


async def test_a_created_object_is_a_row_with_its_writer_in_the_audit(door: Door) -> None:
    """What kubectl creates is what the store holds, and the audit says who did it."""
    made = await door.workspace(power="Stopped")
    row = await door.store.get(Workspace, "main", "alice")
    record = (await door.store.audit.list())[0]

    assert (made["metadata"]["uid"], "Stopped") == (str(row.uid), row.spec.power)
    assert ("create", "kubernetes", "platform-admin") == (record.verb, record.via, record.role)
    assert record.subject.startswith("token:")


async def test_the_object_ignores_status_and_the_status_ignores_the_rest(door: Door) -> None:
    """Each endpoint writes its own half."""
    made = await door.workspace()
    both = {**made, "spec": {**made["spec"], "power": "Stopped"}, "status": {"phase": "Running"}}
    through_object = (await door.ask("PUT", MAIN, both)).json()
    both["metadata"]["resourceVersion"] = through_object["metadata"]["resourceVersion"]
    both["spec"]["power"] = "Running"
    through_status = (await door.ask("PUT", f"{MAIN}/status", both)).json()

    assert ("Stopped", "Pending") == _power_and_phase(through_object)
    assert ("Stopped", "Running") == _power_and_phase(through_status)
    assert through_object["metadata"]["generation"] == through_status["metadata"]["generation"]


def _power_and_phase(body: dict[str, Any]) -> tuple[str, str]:
    return body["spec"]["power"], body["status"]["phase"]


async def test_a_stale_version_conflicts_and_no_version_does_not(door: Door) -> None:
    """Optimistic concurrency holds for who names a version."""
    made = await door.workspace()
    await door.patch(MAIN, {"spec": {"power": "Stopped"}})
    stale = await door.ask("PUT", MAIN, made)
    del made["metadata"]["resourceVersion"]
    free = await door.ask("PUT", MAIN, made)

    assert (409, "Conflict", 200) == (stale.status_code, stale.json()["reason"], free.status_code)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"spec": {"power": "Flying"}}, 422, "spec.power"),
        ({"spec": {"subdomain": "no"}}, 422, "3 to 20 characters"),
        ({"metadata": {"labels": {"a b": "1"}}}, 422, "metadata.labels.a b"),
        ({"metadata": {"finalizers": ["No Finalizer"]}}, 422, "metadata.finalizers[0]"),
        ({"metadata": {"name": "other"}}, 400, "name of the provided object"),
        ({"kind": "Machine"}, 400, "does not match the expected"),
        ({"spec": {"powr": "Running"}}, 400, 'unknown field "spec.powr"'),
        ({"metadata": {"ownerReferences": [{"kind": "X"}]}}, 422, "ownerReferences[0].uid"),
    ],
)
async def test_bad_patches_name_field_and_rule_and_change_nothing(
    door: Door, change: dict[str, Any], code: int, words: str
) -> None:
    """One clear refusal, with nothing half done."""
    made = await door.workspace()
    answer = await door.patch(f"{MAIN}?fieldValidation=Strict", change)
    after = (await door.ask("GET", MAIN)).json()

    assert code == answer.status_code
    assert words in answer.json()["message"]
    assert made["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]


async def test_unknown_fields_are_warned_of_or_ignored(door: Door) -> None:
    """The client decides what a field that the kind does not have leads to."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    body = workspace()
    body["spec"]["colour"] = "red"
    warned = await door.ask("POST", f"{HERE}?dryRun=All", body)
    ignored = await door.ask("POST", f"{HERE}?dryRun=All&fieldValidation=Ignore", body)

    assert warned.headers["warning"] == '299 - "unknown field \\"spec.colour\\""'
    assert (201, None) == (ignored.status_code, ignored.headers.get("warning"))


async def test_a_json_patch_tests_and_changes(door: Door) -> None:
    """A failed test of a JSON patch refuses all of it."""
    await door.workspace()
    path = "/spec/power"
    good = [{"op": "test", "path": path, "value": "Running"}]
    good += [{"op": "replace", "path": path, "value": "Stopped"}]
    first = await door.patch(MAIN, good, "json-patch+json")
    second = await door.patch(MAIN, good, "json-patch+json")

    assert (200, 422) == (first.status_code, second.status_code)
    assert first.json()["spec"]["power"] == "Stopped"


async def test_a_dry_run_answers_like_the_write_and_leaves_nothing(door: Door) -> None:
    """dryRun=All goes through everything and keeps nothing."""
    made = await door.workspace()
    tried = await door.patch(f"{MAIN}?dryRun=All", {"spec": {"power": "Stopped"}})
    gone = await door.ask("DELETE", f"{MAIN}?dryRun=All")
    after = (await door.ask("GET", MAIN)).json()

    assert ("Stopped", 200) == (tried.json()["spec"]["power"], gone.status_code)
    assert made == after


async def test_apply_conflicts_over_a_field_that_another_manager_changed(door: Door) -> None:
    """Server-side apply refuses to take a field over unless it is forced."""
    await door.workspace(power="Stopped")
    config = workspace(power="Running")
    apply = "?fieldManager=ci"
    refused = await door.patch(f"{MAIN}{apply}", config, "apply-patch+yaml")
    forced = await door.patch(f"{MAIN}{apply}&force=true", config, "apply-patch+yaml")
    again = await door.patch(f"{MAIN}{apply}", config, "apply-patch+yaml")

    assert refused.status_code == 409
    assert [".spec.power"] == [cause["field"] for cause in refused.json()["details"]["causes"]]
    assert refused.json()["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    assert (200, "Running") == (forced.status_code, forced.json()["spec"]["power"])
    assert forced.json()["metadata"] == again.json()["metadata"]


async def test_apply_creates_and_gives_up_what_is_left_out(door: Door) -> None:
    """Applying makes a missing object; a field left out later goes back to its default."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    config = workspace(power="Stopped", region="ams")
    made = await door.patch(f"{MAIN}?fieldManager=ci", config, "apply-patch+yaml")
    del config["spec"]["region"], config["spec"]["power"]
    less = await door.patch(f"{MAIN}?fieldManager=ci", config, "apply-patch+yaml")

    assert (201, "ams") == (made.status_code, made.json()["spec"]["region"])
    assert ("Running", None) == (less.json()["spec"]["power"], less.json()["spec"].get("region"))


async def test_scaling_starts_and_stops(door: Door) -> None:
    """The scale subresource is the wish for power; only nothing and one are possible."""
    await door.workspace()
    stopped = await door.patch(f"{MAIN}/scale", {"spec": {"replicas": 0}})
    two = await door.patch(f"{MAIN}/scale", {"spec": {"replicas": 2}})
    none_for_accounts = await door.ask("GET", f"{ACCOUNTS}/x/scale")
    row = await door.store.get(Workspace, "main", "alice")

    assert ("Scale", 0, "Stopped") == (
        stopped.json()["kind"],
        stopped.json()["spec"]["replicas"],
        row.spec.power,
    )
    assert (422, 404) == (two.status_code, none_for_accounts.status_code)


async def test_deletion_heeds_preconditions_and_finalizers(door: Door) -> None:
    """An object with a finalizer stays and says so; a wrong uid deletes nothing."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    body = workspace()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    made = (await door.ask("POST", HERE, body)).json()
    wrong = {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
    refused = await door.ask("DELETE", MAIN, wrong)
    asked = (await door.ask("DELETE", MAIN)).json()
    await door.patch(MAIN, {"metadata": {"finalizers": None}})
    gone = await door.ask("GET", MAIN)

    assert (409, 404) == (refused.status_code, gone.status_code)
    assert asked["metadata"]["deletionTimestamp"]
    assert made["metadata"]["uid"] == asked["metadata"]["uid"]


async def test_orphaning_is_refused_and_collections_go_by_selector(door: Door) -> None:
    """What an object owns outside goes with it; a collection's deletion takes what matches."""
    for name in ("a1", "a2", "b1"):
        body = account(name)
        body["metadata"]["labels"] = {"group": name[0]}
        await door.ask("POST", ACCOUNTS, body)
    orphan = await door.ask("DELETE", f"{ACCOUNTS}/a1", {"propagationPolicy": "Orphan"})
    await door.ask("DELETE", f"{ACCOUNTS}?labelSelector=group=a")
    left = (await door.ask("GET", ACCOUNTS)).json()["items"]

    assert orphan.status_code == 400
    assert ["b1"] == [item["metadata"]["name"] for item in left]


async def test_a_row_that_sql_broke_is_shown_and_can_be_mended(door: Door) -> None:
    """An operator sees the broken row as it is, and puts it right with kubectl."""
    await door.workspace()
    await door.store.database.execute(
        """UPDATE workspaces SET spec = spec || '{"power": "Flying"}'"""
    )
    shown = (await door.ask("GET", MAIN)).json()
    mended = await door.patch(MAIN, {"spec": {"power": "Stopped"}})
    row = await door.store.find_row(Key("Workspace", "alice", "main"))

    assert ("Flying", 200) == (shown["spec"]["power"], mended.status_code)
    assert row is not None
    assert row["spec"]["power"] == "Stopped"


async def test_generated_names_and_taken_names(door: Door) -> None:
    """A prefix is made a name; a taken one is AlreadyExists."""
    body = account("x")
    body["metadata"] = {"generateName": "acc-"}
    made = await door.ask("POST", ACCOUNTS, body)
    taken = await door.ask("POST", ACCOUNTS, account(made.json()["metadata"]["name"]))

    assert made.json()["metadata"]["name"].startswith("acc-")
    assert (409, "AlreadyExists") == (taken.status_code, taken.json()["reason"])


@pytest.mark.parametrize(
    ("body", "type_", "code"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100 + b"]" * 100, "application/json", 400),
        (b"\xff\xfe", "application/yaml", 400),
        (b"a: &a [*a]", "application/yaml", 400),
        (b"{}", "text/html", 415),
        (b" " * (3 * 1024 * 1024 + 1), "application/json", 413),
        (b'{"metadata": []}', "application/json", 400),
    ],
)
async def test_bodies_that_cannot_be_read_are_refused(
    door: Door, body: bytes, type_: str, code: int
) -> None:
    """Whatever is sent, the answer is one Status and never a crash."""
    headers = {"Authorization": f"Bearer {door.admin}", "Content-Type": type_}
    answer = await door.client.post(HERE, content=body, headers=headers)

    assert (code, "Status") == (answer.status_code, answer.json()["kind"])


async def test_a_mistyped_namespace_makes_nothing(door: Door) -> None:
    """An object is not made where nobody could own it."""
    answer = await door.ask("POST", WORKSPACES.format("nobody"), workspace(namespace="nobody"))

    assert (404, 'namespaces "nobody" not found') == (
        answer.status_code,
        answer.json()["message"],
    )


async def test_patches_without_a_version_do_not_fail_for_company(door: Door) -> None:
    """Many who change one object at once all succeed: nobody named a version."""
    await door.workspace()
    patches = [{"metadata": {"labels": {f"l{number}": "1"}}} for number in range(24)]
    answers = await asyncio.gather(*(door.patch(MAIN, each) for each in patches))
    after = (await door.ask("GET", MAIN)).json()

    assert {200} == {answer.status_code for answer in answers}
    assert {f"l{number}" for number in range(24)} == after["metadata"]["labels"].keys()


async def test_yaml_is_read_as_kubernetes_reads_it(door: Door) -> None:
    """A moment in YAML is text, whether or not somebody quoted it."""
    await door.workspace()
    text = (
        b"apiVersion: invoker.dev/v1\nkind: Workspace\nmetadata: {name: main}\n"
        b"spec: {wakeAt: 2026-01-01T00:00:00Z}\n"
    )
    headers = {
        "Authorization": f"Bearer {door.admin}",
        "Content-Type": "application/apply-patch+yaml",
    }
    path = f"{MAIN}?fieldManager=ci"
    answer = await door.client.patch(path, content=text, headers=headers)

    assert (200, "2026-01-01T00:00:00Z") == (answer.status_code, answer.json()["spec"]["wakeAt"])
