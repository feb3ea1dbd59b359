"""The clients that people write programs with work against us, unmodified."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import APIObject, new_class
from kubernetes import client, config, dynamic, watch

from tests.kubectl.door import Door

# The first import of the clients alone takes a second.
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

GROUP: Final = ("invoker.dev", "v1")

# The official client tells its types only here and there.
CONNECT: Final[Any] = config.new_client_from_config
WATCH: Final[Any] = watch.Watch
DYNAMIC: Final[Any] = dynamic.DynamicClient
CORE: Final[Any] = client.CoreV1Api
ACCESS: Final[Any] = client.AuthorizationV1Api


def account(name: str) -> dict[str, Any]:
    """An account's manifest."""
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "Account",
        "metadata": {"name": name},
        "spec": {"email": f"{name}@example.com"},
    }


def workspace(namespace: str, name: str, **metadata: Any) -> dict[str, Any]:
    """A workspace's manifest."""
    return {
        "apiVersion": "invoker.dev/v1",
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"subdomain": f"{name}-{namespace[-6:]}", "power": "Stopped"},
    }


@pytest.fixture
def api(door: Door) -> Iterator[Any]:
    """The official client."""
    with CONNECT(str(door.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def objects(api: Any) -> Any:
    """Its part for kinds that it does not know."""
    return client.CustomObjectsApi(api)


@pytest.fixture
def namespace(objects: Any) -> str:
    """The namespace of a new account."""
    name = f"client-{uuid.uuid4().hex[:6]}"
    objects.create_cluster_custom_object(*GROUP, "accounts", account(name))
    return name


def test_custom_objects_live_their_life(objects: Any, namespace: str) -> None:
    """Create, read, patch, patch the status, scale, replace, list in pages, delete."""
    where = (*GROUP, namespace, "workspaces")
    objects.create_namespaced_custom_object(*where, workspace(namespace, "one"))
    objects.create_namespaced_custom_object(*where, workspace(namespace, "two"))
    objects.patch_namespaced_custom_object(*where, "one", {"spec": {"volumeGb": 4}})
    objects.patch_namespaced_custom_object_status(*where, "one", {"status": {"phase": "Seen"}})
    objects.patch_namespaced_custom_object_scale(*where, "one", {"spec": {"replicas": 1}})
    read = objects.get_namespaced_custom_object(*where, "one")
    read["spec"]["region"] = "ams"
    replaced = objects.replace_namespaced_custom_object(*where, "one", read)
    page = objects.list_namespaced_custom_object(*where, limit=1)
    rest = objects.list_namespaced_custom_object(*where, _continue=page["metadata"]["continue"])
    deleted = objects.delete_namespaced_custom_object(*where, "two")

    assert ("Running", 4, "ams") == tuple(
        replaced["spec"][name] for name in ("power", "volumeGb", "region")
    )
    assert "Seen" == replaced["status"]["phase"]
    assert [["one"], ["two"]] == [
        [item["metadata"]["name"] for item in part["items"]] for part in (page, rest)
    ]
    assert page["metadata"]["resourceVersion"] == rest["metadata"]["resourceVersion"]
    assert "two" in (deleted.get("details", {}).get("name"), deleted["metadata"].get("name"))


def test_a_stale_write_is_a_conflict(objects: Any, namespace: str) -> None:
    """A program that read an older version does not overwrite a newer one."""
    where = (*GROUP, namespace, "workspaces")
    read = objects.create_namespaced_custom_object(*where, workspace(namespace, "one"))
    objects.patch_namespaced_custom_object(*where, "one", {"spec": {"volumeGb": 4}})

    with pytest.raises(client.ApiException) as refused:
        objects.replace_namespaced_custom_object(*where, "one", read)
    assert (409, "Conflict") == (refused.value.status, refused.value.reason)


def test_a_watch_resumes_after_the_last_event_it_saw(objects: Any, namespace: str) -> None:
    """From a list's version on, in two parts, every change comes once."""
    where = (*GROUP, namespace, "workspaces")
    since = objects.list_namespaced_custom_object(*where)["metadata"]["resourceVersion"]
    objects.create_namespaced_custom_object(*where, workspace(namespace, "one"))
    objects.patch_namespaced_custom_object(*where, "one", {"spec": {"volumeGb": 4}})
    objects.delete_namespaced_custom_object(*where, "one")
    seen = []
    for count in (1, 2):
        watching = WATCH()
        events = watching.stream(
            objects.list_namespaced_custom_object,
            *where,
            resource_version=since,
            timeout_seconds=10,
        )
        for _, event in zip(range(count), events, strict=False):
            seen.append((event["type"], event["object"]["spec"].get("volumeGb")))
            since = event["object"]["metadata"]["resourceVersion"]
        events.close()

    assert [("ADDED", None), ("MODIFIED", 4), ("DELETED", 4)] == seen


def test_the_dynamic_client_finds_and_applies_our_kinds(
    api: Any, namespace: str, tmp_path: Path
) -> None:
    """It discovers the kind by itself, applies on the server's side, and hears of a conflict."""
    connected = DYNAMIC(api, cache_file=str(tmp_path / "discovery"))
    workspaces = connected.resources.get(api_version="invoker.dev/v1", kind="Workspace")
    wish = workspace(namespace, "one")
    workspaces.server_side_apply(wish, field_manager="first")
    wish["spec"]["power"] = "Running"
    with pytest.raises(dynamic.exceptions.ConflictError):
        workspaces.server_side_apply(wish, field_manager="second")
    workspaces.server_side_apply(wish, field_manager="second", force_conflicts=True)
    found = workspaces.get(namespace=namespace, field_selector="metadata.name=one").items

    assert ["Running"] == [item.spec.power for item in found]
    assert "workspaces" == workspaces.name
    assert ["ws"] == workspaces.short_names


def test_programs_ask_what_they_may_do(api: Any, namespace: str) -> None:
    """Access reviews are answered in the form that the client knows."""
    attributes = client.V1ResourceAttributes(
        group="invoker.dev", resource="workspaces", verb="create", namespace=namespace
    )
    review = ACCESS(api).create_self_subject_access_review(
        client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
        )
    )

    assert review.status.allowed


def test_the_core_kinds_decode_as_the_client_knows_them(api: Any, namespace: str) -> None:
    """Namespaces, events and the version have every field that is compulsory."""
    core = CORE(api)
    involved = client.V1ObjectReference(kind="Workspace", name="one", namespace=namespace)
    core.create_namespaced_event(
        namespace,
        client.CoreV1Event(
            metadata=client.V1ObjectMeta(generate_name="made-"),
            involved_object=involved,
            reason="Tried",
            message="It was tried.",
            type="Normal",
        ),
    )
    events = core.list_namespaced_event(namespace).items

    assert ["Tried"] == [event.reason for event in events]
    assert "Active" == core.read_namespace(namespace).status.phase
    assert client.VersionApi(api).get_code().major


@pytest.fixture
async def kr8s_api(door: Door) -> AsyncIterator[Any]:
    """The asynchronous client, whose connections end with the test."""
    api: Any = await kr8s.asyncio.api(kubeconfig=str(door.kubeconfig))
    yield api
    await api._session.aclose()


Workspace: Final = new_class(kind="Workspace", version="invoker.dev/v1", namespaced=True)


async def test_kr8s_makes_patches_labels_and_deletes(kr8s_api: Any, namespace: str) -> None:
    """Its objects follow ours."""
    made = await Workspace(workspace(namespace, "one"), api=kr8s_api)
    await made.create()
    await made.patch({"spec": {"volumeGb": 5}})
    await made.label({"tier": "one"})
    await made.annotate({"note": "some words"})
    found: list[APIObject] = [
        item
        async for item in kr8s_api.get(
            "workspaces.invoker.dev", namespace=namespace, label_selector="tier=one"
        )
    ]
    await made.delete()
    left = await made.exists()

    assert [("one", 5)] == [(item.name, item.spec.volumeGb) for item in found]
    assert not left


async def test_kr8s_hears_of_changes(kr8s_api: Any, namespace: str) -> None:
    """Its watch begins with what is there and goes on with what happens."""
    made = await Workspace(workspace(namespace, "one"), api=kr8s_api)
    await made.create()
    seen: list[tuple[str, int | None]] = []
    async with aclosing(kr8s_api.watch("workspaces.invoker.dev", namespace=namespace)) as events:
        async for type_, item in events:
            seen.append((type_, item.spec.get("volumeGb")))
            if type_ == "ADDED":
                await made.patch({"spec": {"volumeGb": 6}})
            if type_ == "MODIFIED":
                await made.delete()
            if type_ == "DELETED":
                break

    assert [("ADDED", None), ("MODIFIED", 6), ("DELETED", 6)] == seen


async def test_kr8s_waits_for_a_condition(kr8s_api: Any, namespace: str) -> None:
    """A status that is written meanwhile ends the wait."""
    made = await Workspace(workspace(namespace, "one"), api=kr8s_api)
    await made.create()
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Said",
        "message": "",
        "lastTransitionTime": "2026-11-21T06:00:00Z",
        "observedGeneration": 1,
    }
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(made.wait("condition=Ready"))
        other = await Workspace(workspace(namespace, "one"), api=kr8s_api)
        await other.patch({"status": {"conditions": [ready]}}, subresource="status")
    await made.refresh()

    assert "True" == made.status.conditions[0].status
