"""Discovery: one set of facts in two forms."""

from __future__ import annotations

from typing import Any

import pytest

from api.kubernetes import discovery
from api.kubernetes.served import Served

Json = dict[str, Any]

WORKSPACES = Served(
    group="invoker.dev",
    version="v1",
    kind="Workspace",
    plural="workspaces",
    namespaced=True,
    verbs=frozenset({"get", "list", "create"}),
    schema={},
    short_names=("ws",),
    subresources=("status", "scale"),
)
ACCOUNTS = Served(
    group="invoker.dev",
    version="v1",
    kind="Account",
    plural="accounts",
    namespaced=False,
    verbs=frozenset({"get"}),
    schema={},
)
NAMESPACES = Served(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    verbs=frozenset({"list"}),
    schema={},
    short_names=("ns",),
)
REVIEWS = Served(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    namespaced=False,
    verbs=frozenset({"create"}),
    schema={},
)
EVERY = [WORKSPACES, ACCOUNTS, NAMESPACES, REVIEWS]


def test_the_aggregated_form_tells_everything_at_once() -> None:
    """One answer has groups, versions, resources and subresources with their kinds."""
    found = discovery.aggregated(EVERY)

    workspace = {"group": "invoker.dev", "version": "v1", "kind": "Workspace"}
    assert {
        "resource": "workspaces",
        "responseKind": workspace,
        "scope": "Namespaced",
        "singularResource": "workspace",
        "verbs": ["create", "get", "list"],
        "shortNames": ["ws"],
        "categories": ["all", "invoker"],
        "subresources": [
            {
                "subresource": "status",
                "responseKind": workspace,
                "verbs": ["get", "patch", "update"],
            },
            {
                "subresource": "scale",
                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    } == found["/apis"]["items"][0]["versions"][0]["resources"][0]
    assert ["invoker.dev", "authorization.k8s.io"] == [
        item["metadata"]["name"] for item in found["/apis"]["items"]
    ]


def test_the_core_group_has_no_name() -> None:
    """Under `/api` is the one group that has no name, and nothing else."""
    (core,) = discovery.aggregated(EVERY)["/api"]["items"]

    assert {} == core["metadata"]
    assert ["namespaces"] == [each["resource"] for each in core["versions"][0]["resources"]]


def test_the_plain_form_lists_groups_and_versions() -> None:
    """Clients without the aggregated form find the same groups."""
    group = {
        "name": "invoker.dev",
        "versions": [{"groupVersion": "invoker.dev/v1", "version": "v1"}],
        "preferredVersion": {"groupVersion": "invoker.dev/v1", "version": "v1"},
    }

    assert ["v1"] == discovery.api_versions(EVERY)["versions"]
    assert group == discovery.api_groups(EVERY)["groups"][0]
    assert group | {"kind": "APIGroup", "apiVersion": "v1"} == discovery.api_group(
        "invoker.dev", EVERY
    )
    assert 2 == len(discovery.api_groups(EVERY)["groups"])


def test_the_plain_form_lists_resources_and_subresources() -> None:
    """A subresource has its own entry, with the kind of its objects."""
    found = discovery.resource_list("invoker.dev", "v1", EVERY)
    assert found is not None
    resources: dict[str, Json] = {each["name"]: each for each in found["resources"]}

    assert "invoker.dev/v1" == found["groupVersion"]
    assert {
        "name": "workspaces",
        "singularName": "workspace",
        "namespaced": True,
        "kind": "Workspace",
        "verbs": ["create", "get", "list"],
        "shortNames": ["ws"],
        "categories": ["all", "invoker"],
    } == resources["workspaces"]
    assert ("autoscaling", "v1", "Scale") == tuple(
        resources["workspaces/scale"][part] for part in ("group", "version", "kind")
    )
    assert "Workspace" == resources["workspaces/status"]["kind"]
    assert ["invoker"] == resources["accounts"]["categories"]


def test_what_is_not_served_is_not_found() -> None:
    """Neither a group nor a version is made up."""
    assert discovery.api_group("apps", EVERY) is None
    assert discovery.api_group("", EVERY) is None
    assert discovery.resource_list("invoker.dev", "v2", EVERY) is None
    core = discovery.resource_list("", "v1", EVERY)
    assert core is not None
    assert "v1" == core["groupVersion"]


V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v2", "v2beta1")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{V2},{V2BETA1},application/json", V2),
        (f"{V2BETA1}, {V2.replace(';', '; ')}", V2),
        (f"{V2};q=0.9", V2),
        (f"{V2BETA1},application/json", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_each_client_gets_the_form_that_it_knows(accept: str, expected: str) -> None:
    """The aggregated form is for those who ask for its second version; the plain one for all."""
    assert expected == discovery.content_type(accept)


def test_the_version_can_be_read_by_kubectl() -> None:
    """It is a semantic version whose numbers stand alone too."""
    found = discovery.version()

    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.0+invoker")
