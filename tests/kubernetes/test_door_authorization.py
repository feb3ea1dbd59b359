"""Nobody reads or changes what is not theirs, however they word the request."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from crds.workspace import Workspace
from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, account, workspace

pytestmark = pytest.mark.anyio

OWN = WORKSPACES.format("alice")
OTHER = WORKSPACES.format("bob")
ELSEWHERE = "fieldSelector=metadata.namespace%3Dbob"


async def _two(door: Door) -> str:
    """Two accounts with a workspace each; the token of the first one's owner."""
    await door.workspace("alice")
    await door.workspace("bob")
    return await door.token("account-owner", "alice")


async def test_a_selector_does_not_widen_the_namespace_of_the_path(door: Door) -> None:
    """A field selector narrows what the path allows, and never names another namespace."""
    owner = await _two(door)
    listed = await door.ask("GET", f"{OWN}?{ELSEWHERE}", token=owner)
    events = await door.ask("GET", f"/api/v1/namespaces/alice/events?{ELSEWHERE}", token=owner)
    deleted = await door.ask("DELETE", f"{OWN}?{ELSEWHERE}", token=owner)
    names = [each["metadata"]["name"] for each in (await _all(door))]

    assert ([], []) == (listed.json()["items"], events.json()["items"])
    assert (200, ["main", "main"]) == (deleted.status_code, names)


async def _all(door: Door) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await door.ask("GET", "/apis/invoker.dev/v1/workspaces")).json()[
        "items"
    ]
    return items


async def test_a_selector_narrows_all_namespaces_to_one(door: Door) -> None:
    """Who may read all namespaces may ask for one of them by a selector."""
    await _two(door)
    answer = await door.ask("GET", f"/apis/invoker.dev/v1/workspaces?{ELSEWHERE}")

    assert ["bob"] == [each["metadata"]["namespace"] for each in answer.json()["items"]]


async def test_a_name_in_a_path_is_no_selector(door: Door) -> None:
    """A name with commas and signs in it is looked for as it is."""
    owner = await _two(door)
    name = quote("main,metadata.namespace=bob")
    read = await door.ask("GET", f"{OWN}/{name}", token=owner)
    door.service.api.feed.end()  # so that the watch ends when it has told of what there is
    watch = await door.ask("GET", f"{OWN}/{name}?watch=true&timeoutSeconds=1", token=owner)

    assert (404, 200, "") == (read.status_code, watch.status_code, watch.text)


async def test_a_watch_by_namespace_stays_there(door: Door) -> None:
    """What a watch begins with and what it goes on with are of the path's namespace alone."""
    owner = await _two(door)
    door.service.api.feed.end()
    query = f"watch=true&timeoutSeconds=1&{ELSEWHERE}"
    answer = await door.ask("GET", f"{OWN}?{query}", token=owner)

    assert (200, "") == (answer.status_code, answer.text)


@pytest.mark.parametrize("subresource", ["status", "scale"])
async def test_a_subresource_is_neither_deleted_nor_watched(door: Door, subresource: str) -> None:
    """DELETE of a part must not take the whole."""
    await door.workspace("alice")
    deleted = await door.ask("DELETE", f"{OWN}/main/{subresource}")
    watched = await door.ask("GET", f"{OWN}/main/{subresource}?watch=true&timeoutSeconds=1")
    applied = await door.patch(
        f"{OWN}/main/scale?fieldManager=x", workspace(power="Stopped"), "apply-patch+yaml"
    )

    assert (405, 405, 415) == (deleted.status_code, watched.status_code, applied.status_code)
    assert "Running" == (await door.store.get(Workspace, "main", "alice")).spec.power


async def test_an_owner_sends_back_what_was_read(door: Door) -> None:
    """Defaults that an answer spells out are no change, neither on creation nor later."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    owner = await door.token("account-owner", "alice")
    body = workspace(recreate="Never", idleTimeoutSeconds=1800, power="Stopped")
    made = await door.ask("POST", OWN, body, token=owner)
    again = await door.ask("PUT", f"{OWN}/main", made.json(), token=owner)
    refused = await door.ask("POST", OWN, workspace("b", recreate="OnRegionChange"), token=owner)

    assert (201, 200, 403) == (made.status_code, again.status_code, refused.status_code)
    assert "spec.recreate" in refused.json()["message"]


async def test_an_owner_cannot_make_others_give_fields_up(door: Door) -> None:
    """Ownership of fields steers what a later apply removes: limited roles do not edit it."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    config = workspace()
    config["metadata"]["annotations"] = {"example.com/a": "1"}
    apply = f"{OWN}/main?fieldManager=ci"
    await door.patch(apply, config, "apply-patch+yaml")
    await door.patch(f"{OWN}/main", {"metadata": {"annotations": {"invoker.dev/paused": "true"}}})
    owner = await door.token("account-owner", "alice")
    before = (await door.ask("GET", f"{OWN}/main")).json()["metadata"]
    (applied,) = (each for each in before["managedFields"] if each["operation"] == "Apply")
    claim: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:invoker.dev/paused": {}}}}
    entries = [{**applied, "fieldsV1": claim | {"f:spec": applied["fieldsV1"]["f:spec"]}}]
    await door.patch(f"{OWN}/main", {"metadata": {"managedFields": entries}}, token=owner)
    after = (await door.patch(apply, config, "apply-patch+yaml")).json()["metadata"]

    assert "true" == after["annotations"].get("invoker.dev/paused")


async def test_a_review_of_an_owner_of_nothing_allows_nothing(door: Door) -> None:
    """An owner whose account is not told owns no namespace, least of all every one of them."""
    spec = {
        "groups": ["invoker:account-owner"],
        "resourceAttributes": {"verb": "list", "group": "invoker.dev", "resource": "workspaces"},
    }
    answer = await door.ask(
        "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec}
    )

    assert answer.json()["status"]["allowed"] is False


async def test_head_and_the_host_header_change_nothing(door: Door) -> None:
    """What is asked for is the path that was sent, and HEAD watches nothing."""
    owner = await _two(door)
    head = await door.ask("HEAD", f"{OWN}?watch=true&timeoutSeconds=20", token=owner)
    host = await door.ask("GET", OTHER, token=owner, headers={"Host": f"x{OWN}?"})
    broken = await door.ask("GET", OWN, token=owner, headers={"Host": "[x"})

    assert (200, 403, 200) == (head.status_code, host.status_code, broken.status_code)


@pytest.mark.parametrize(
    "path",
    [
        "/apis/invoker.dev/v1/namespaces/%00/workspaces",
        f"{OWN}?fieldSelector=metadata.name%3D%00",
        "/apis/invoker.dev/v1/workspaces?fieldSelector=metadata.namespace%3D%00",
        "/api/v1/namespaces/alice/events?fieldSelector=metadata.name%3D%00",
    ],
)
async def test_what_cannot_be_stored_is_not_asked_for(door: Door, path: str) -> None:
    """A NUL in a namespace or a selector is the client's mistake."""
    answer = await door.ask("GET", path)

    assert 400 <= answer.status_code < 500
    assert "Status" == answer.json()["kind"]


async def test_nothing_is_made_in_a_namespace_that_is_going(door: Door) -> None:
    """What is about to be removed with all that is in it takes nothing new."""
    made = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "trial"}}
    made["metadata"]["finalizers"] = ["example.com/hold"]  # type: ignore[index]  # it is a dict
    await door.ask("POST", "/api/v1/namespaces", made)
    await door.ask("DELETE", "/api/v1/namespaces/trial")
    answer = await door.ask("POST", WORKSPACES.format("trial"), workspace(namespace="trial"))

    assert (403, "Forbidden") == (answer.status_code, answer.json()["reason"])
    assert "NamespaceTerminating" == json.loads(answer.text)["details"]["causes"][0]["reason"]
