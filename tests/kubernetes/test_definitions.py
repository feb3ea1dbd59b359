"""Definitions of our kinds: the files are current, a cluster could take them, clients read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import ApiClient, V1CustomResourceDefinition

from api.kubernetes.definitions import definition_of
from api.kubernetes.jsonpath import steps_of
from crds.registry import KINDS
from deploy.kubernetes.__main__ import FOLDER, files
from tests.kubernetes.doors import Door

Json = dict[str, Any]

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TYPES = {"date": {"string"}}


def field(schema: Json, path: str) -> Json:
    """The schema of what a path leads to."""
    for name, _, _ in steps_of(path):
        schema = schema["items"] if name is None else schema["properties"][name]
    return schema


def test_the_files_are_current() -> None:
    """`python -m deploy.kubernetes` was run after the kinds changed."""
    assert files() == {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kubernetes_own_client_knows_every_field(kind: Any) -> None:
    """A definition that goes through the client's models comes out whole: nothing is unknown."""
    definition = definition_of(kind)
    client: Any = ApiClient()
    text = json.dumps(definition)
    parsed = client.deserialize(text, "V1CustomResourceDefinition", "application/json")

    assert isinstance(parsed, V1CustomResourceDefinition)
    assert definition == client.sanitize_for_serialization(parsed)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_names_and_paths_agree_with_the_schema(kind: Any) -> None:
    """The rules that a cluster holds definitions to: the name, the columns, the selectable fields.

    A selectable field is a text, a number or a truth value, and there are at most eight.
    """
    definition = definition_of(kind)
    names, (version,) = definition["spec"]["names"], definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    selectable = [each["jsonPath"] for each in version.get("selectableFields", [])]

    assert f"{names['plural']}.{definition['spec']['group']}" == definition["metadata"]["name"]
    assert {"type": "object"} == {
        word: value
        for word, value in schema["properties"]["metadata"].items()
        if word != "description"
    }
    assert len(selectable) <= 8
    assert {"string", "integer", "boolean"} >= {field(schema, path)["type"] for path in selectable}
    for column in version["additionalPrinterColumns"]:
        if not column["jsonPath"].startswith(".metadata"):
            found = field(schema, column["jsonPath"])["type"]
            assert found in TYPES.get(column["type"], {column["type"]}), column["name"]


@pytest.mark.anyio
async def test_clients_find_the_definitions(door: Door) -> None:
    """They are listed, read one by one, in tables, established, and nobody changes them."""
    listed = (await door.ask("GET", PATH)).json()["items"]
    one = (await door.ask("GET", f"{PATH}/workspaces.invoker.dev")).json()
    page = (await door.ask("GET", PATH, params={"limit": "2"})).json()
    more = (await door.ask("GET", PATH, params={"continue": page["metadata"]["continue"]})).json()
    refused = await door.ask("DELETE", f"{PATH}/workspaces.invoker.dev")

    names = [each["metadata"]["name"] for each in listed]
    assert sorted(f"{kind.PLURAL}.invoker.dev" for kind in KINDS.values()) == names
    assert {"Established": "True", "NamesAccepted": "True"} == {
        each["type"]: each["status"] for each in one["status"]["conditions"]
    }
    assert names == [each["metadata"]["name"] for each in [*page["items"], *more["items"]]]
    assert refused.status_code in (403, 405)
    assert 404 == (await door.ask("GET", f"{PATH}/pods")).status_code
