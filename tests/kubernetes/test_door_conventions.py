"""Conventions that clients lean on, beyond those that kubectl shows."""

import json

import pytest

from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, account, workspace

pytestmark = pytest.mark.anyio

MAIN = f"{WORKSPACES.format('alice')}/main"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def test_partial_objects_say_what_they_are(door: Door) -> None:
    """Items of a metadata list carry their kind, as those of Kubernetes do."""
    await door.workspace("alice")
    answer = await door.ask("GET", ACCOUNTS, headers={"Accept": PARTIAL})

    assert {"PartialObjectMetadata"} == {each["kind"] for each in answer.json()["items"]}


async def test_a_deleted_object_takes_no_new_finalizer(door: Door) -> None:
    """What is going cannot be held back by somebody who comes later."""
    body = workspace()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await door.ask("POST", ACCOUNTS, account("alice"))
    await door.ask("POST", WORKSPACES.format("alice"), body)
    await door.ask("DELETE", MAIN)
    finalizers = ["example.com/hold", "example.com/more"]
    answer = await door.patch(MAIN, {"metadata": {"finalizers": finalizers}})

    assert (422, "Invalid") == (answer.status_code, answer.json()["reason"])
    assert "metadata.finalizers" == answer.json()["details"]["causes"][0]["field"]


async def test_a_second_deletion_moves_nothing(door: Door) -> None:
    """The deletion timestamp is set once, and asking again is no change."""
    body = workspace()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    await door.ask("POST", ACCOUNTS, account("alice"))
    await door.ask("POST", WORKSPACES.format("alice"), body)
    first = (await door.ask("DELETE", MAIN)).json()["metadata"]
    second = (await door.ask("DELETE", MAIN)).json()["metadata"]

    assert first == second


async def test_what_the_server_sets_cannot_be_sent(door: Door) -> None:
    """Identity, versions and times of a body are the server's to say."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    body = workspace()
    uid = "00000000-0000-4000-8000-000000000000"
    body["metadata"] |= {
        "uid": uid,
        "generation": 7,
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "selfLink": "/x",
    }
    body["status"] = {"phase": "Running"}
    made = (await door.ask("POST", WORKSPACES.format("alice"), body)).json()

    assert uid != made["metadata"]["uid"]
    assert (1, "Pending") == (made["metadata"]["generation"], made["status"]["phase"])
    assert not {"deletionTimestamp", "selfLink"} & made["metadata"].keys()
    assert "2001" not in made["metadata"]["creationTimestamp"]


async def test_generation_moves_with_the_spec_alone(door: Door) -> None:
    """Labels, status and who manages what leave it; a wish and a deletion move it."""
    await door.workspace("alice")
    found = [
        (await door.patch(MAIN, {"metadata": {"labels": {"a": "b"}}})).json(),
        (await door.patch(f"{MAIN}/status", {"status": {"phase": "Running"}})).json(),
        (await door.patch(MAIN, {"spec": {"power": "Stopped"}})).json(),
    ]

    assert [1, 1, 2] == [each["metadata"]["generation"] for each in found]
    versions = [int(each["metadata"]["resourceVersion"]) for each in found]
    assert versions == sorted(set(versions))


async def test_every_write_says_who_manages_what(door: Door) -> None:
    """Each way of writing leaves the manager's name, its operation and its subresource."""
    await door.workspace("alice")
    await door.patch(f"{MAIN}?fieldManager=p", {"spec": {"power": "Stopped"}})
    await door.patch(f"{MAIN}/status?fieldManager=s", {"status": {"phase": "Running"}})
    await door.patch(f"{MAIN}/scale?fieldManager=h", {"spec": {"replicas": 1}})
    config = workspace(recreate="OnRegionChange")
    await door.patch(f"{MAIN}?fieldManager=a&force=true", config, "apply-patch+yaml")
    entries = (await door.ask("GET", MAIN)).json()["metadata"]["managedFields"]
    managers = {(e["manager"], e["operation"], e.get("subresource", "")) for e in entries}

    assert {
        ("a", "Apply", ""),
        ("s", "Update", "status"),
        ("h", "Update", "scale"),
    } <= managers
    assert "p" not in {e["manager"] for e in entries}, json.dumps(entries)


async def test_a_patch_and_a_put_of_nothing_have_no_version(door: Door) -> None:
    """A write that changes nothing wakes nobody."""
    made = await door.workspace("alice")
    patched = await door.patch(MAIN, {"spec": {"power": "Running"}})
    put = await door.ask("PUT", MAIN, made)
    versions = {each.json()["metadata"]["resourceVersion"] for each in (patched, put)}

    assert {made["metadata"]["resourceVersion"]} == versions


async def test_unknown_verbs_and_kinds_are_refused_as_kubernetes_does(door: Door) -> None:
    """Rollouts and autoscalers are not here, and clients are told so in a way they understand."""
    await door.workspace("alice")
    autoscaler = "/apis/autoscaling/v2/namespaces/alice/horizontalpodautoscalers"
    answers = [
        await door.ask("POST", autoscaler, {}),
        await door.patch(MAIN, {"spec": {}}, "strategic-merge-patch+json"),
        await door.ask("POST", MAIN, {}),
        await door.ask("PUT", WORKSPACES.format("alice"), {}),
        await door.ask("GET", f"{MAIN}/log"),
    ]

    assert [404, 415, 405, 405, 403] == [each.status_code for each in answers]
    assert {"Status"} == {each.json()["kind"] for each in answers}
