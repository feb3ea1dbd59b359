"""OpenAPI v3: what clients need of it, and that the real kubectl can work with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator

from api.kubernetes import openapi
from api.kubernetes.common_schemas import kind_schema, record, text
from api.kubernetes.served import Served
from crds.registry import KINDS
from crds.schemas import schema_of
from tests.kubectl.binaries import AbsentError, kubectl
from tests.kubernetes.static_server import Asked, run, serving

Json = dict[str, Any]

ALL_VERBS = frozenset("create delete deletecollection get list patch update watch".split())
SERVED = [
    *(
        Served(
            group="invoker.dev",
            version="v1",
            kind=kind.KIND,
            plural=kind.PLURAL,
            namespaced=kind.SCOPE == "Namespaced",
            verbs=ALL_VERBS,
            schema=schema_of(kind),
            short_names=kind.SHORT_NAMES,
            subresources=("status", "scale") if kind.KIND == "Workspace" else ("status",),
            model=kind,
        )
        for kind in KINDS.values()
    ),
    Served(
        group="",
        version="v1",
        kind="Thing",
        plural="things",
        namespaced=True,
        verbs=frozenset({"get", "list"}),
        schema=kind_schema(
            "v1", "Thing", "A thing.", about=record("A part.", name=text("A name."))
        ),
    ),
    Served(
        group="authorization.k8s.io",
        version="v1",
        kind="SelfSubjectAccessReview",
        plural="selfsubjectaccessreviews",
        namespaced=False,
        verbs=frozenset({"create"}),
        schema=kind_schema("authorization.k8s.io/v1", "SelfSubjectAccessReview", "A question."),
    ),
]
WORKSPACE = {"group": "invoker.dev", "version": "v1", "kind": "Workspace"}
ONE = "/apis/invoker.dev/v1/namespaces/{namespace}/workspaces/{name}"


def document(group: str = "invoker.dev") -> Json:
    """The document of a group's first version."""
    found = openapi.document(group, "v1", SERVED)
    assert found is not None
    return found


def references(part: object) -> Iterator[str]:
    """Every component that is referred to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].removeprefix("#/components/schemas/")
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.mark.parametrize("group", ["invoker.dev", "", "authorization.k8s.io"])
def test_nothing_leads_nowhere(group: str) -> None:
    """Every reference is to a component that is there, and every component is a schema."""
    found = document(group)
    schemas = found["components"]["schemas"]

    assert set() == set(references(found)) - schemas.keys()
    for schema in schemas.values():
        OAS30Validator.check_schema(schema)


def test_a_patch_names_its_kind_and_takes_field_validation() -> None:
    """Without both of them kubectl refuses to validate, and so to apply."""
    patch = document()["paths"][ONE]["patch"]

    assert WORKSPACE == patch["x-kubernetes-group-version-kind"]
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {
        parameter["name"] for parameter in patch["parameters"]
    }


def test_schemas_name_their_kinds() -> None:
    """A client finds the schema of a kind by the kind."""
    schemas = document()["components"]["schemas"]

    assert [WORKSPACE] == schemas["dev.invoker.v1.Workspace"]["x-kubernetes-group-version-kind"]
    assert "dev.invoker.v1.WorkspaceList" in schemas
    assert "io.k8s.api.core.v1.Thing" in document("")["components"]["schemas"]
    assert (
        "io.k8s.api.authorization.v1.SelfSubjectAccessReview"
        in document("authorization.k8s.io")["components"]["schemas"]
    )


def test_paths_have_the_operations_of_the_verbs() -> None:
    """What a resource does not take is in no document."""
    ours, core, reviews = document(), document(""), document("authorization.k8s.io")

    assert {"parameters", "get", "put", "patch", "delete"} == ours["paths"][ONE].keys()
    assert {"get"} == ours["paths"]["/apis/invoker.dev/v1/workspaces"].keys()
    assert {"parameters", "get"} == core["paths"][
        "/api/v1/namespaces/{namespace}/things/{name}"
    ].keys()
    assert ["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] == [*reviews["paths"]]
    assert (
        "Scale" == ours["paths"][f"{ONE}/scale"]["put"]["x-kubernetes-group-version-kind"]["kind"]
    )
    operations = [
        operation["operationId"]
        for path in ours["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(operations) == len(set(operations))


def test_the_index_changes_with_the_documents() -> None:
    """A cached document is used as long as it is the same, and no longer."""
    index = openapi.index(SERVED)["paths"]
    fewer = openapi.index(SERVED[1:])["paths"]

    assert ["apis/invoker.dev/v1", "api/v1", "apis/authorization.k8s.io/v1"] == [*index]
    assert index["api/v1"] == fewer["api/v1"]
    assert index["apis/invoker.dev/v1"] != fewer["apis/invoker.dev/v1"]
    assert index == openapi.index(SERVED)["paths"]


def test_what_is_not_served_has_no_document() -> None:
    """There is nothing to say of it."""
    assert openapi.document("apps", "v1", SERVED) is None


@pytest.fixture(params=["1.32", "1.37"])
def binary(request: pytest.FixtureRequest) -> Path:
    """A real kubectl."""
    try:
        return kubectl(request.param)
    except AbsentError as error:
        pytest.skip(str(error))


def refuse(asked: Asked) -> tuple[int, Json]:
    """Have nothing."""
    return 404, {"kind": "Status", "message": f"nothing at {asked.path}", "code": 404}


def test_kubectl_explains(binary: Path, tmp_path: Path) -> None:
    """A kind, a nested field, the metadata and a core kind are explained."""
    with serving(SERVED, refuse) as server:

        def explained(*words: str) -> str:
            done = run(binary, server, tmp_path, "explain", *words)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "FIELD: power <string>" in explained("ws.spec.power")
        assert "Whether it shall run" in explained("ws.spec.power")
        assert "-required-" in explained("ws.spec")
        assert "<ObjectMeta>" in explained("workspaces")
        assert "uid\t<string>" in explained("ws.metadata.ownerReferences")
        assert "name\t<string>" in explained("things.about")
        assert "lastTransitionTime" in explained("account", "--recursive")


MANIFEST = """\
apiVersion: invoker.dev/v1
kind: Workspace
metadata: {name: main, namespace: a}
spec: {subdomain: alice, power: POWER}
"""


def test_kubectl_applies_and_edits(binary: Path, tmp_path: Path) -> None:
    """What is applied is validated by the server; changes go as merge patches."""
    kept: list[Json] = []

    def answer(asked: Asked) -> tuple[int, Json]:
        if asked.method == "POST":
            kept.append(asked.json())
        return (200, kept[0]) if kept else refuse(asked)

    with serving(SERVED, answer) as server:
        for words, stdin in (
            ("apply -f -", MANIFEST.replace("POWER", "Running")),
            ("apply -f -", MANIFEST.replace("POWER", "Stopped")),
            ("edit workspace main -n a", ""),
        ):
            editor = "sed -i s/alice/alicia/"
            done = run(binary, server, tmp_path, *words.split(), stdin=stdin, EDITOR=editor)
            assert done.returncode == 0, done.stderr

    made, changed, edited = [asked for asked in server.asked if asked.method != "GET"]
    assert ("/apis/invoker.dev/v1/namespaces/a/workspaces", ["Strict"]) == (
        made.path,
        made.query["fieldValidation"],
    )
    assert ["Strict"] == changed.query["fieldValidation"]
    assert {"power": "Stopped"} == changed.json()["spec"]
    assert {"subdomain": "alicia"} == edited.json()["spec"]
