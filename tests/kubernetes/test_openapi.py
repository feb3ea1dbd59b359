"""OpenAPI v3: what clients need of it, and that the real kubectl can work with it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from openapi_schema_validator import OAS30Validator

from api.kubernetes import discovery, openapi
from api.kubernetes.common_schemas import kind_schema, record, text
from api.kubernetes.served import Served
from crds.registry import KINDS
from crds.schemas import schema_of
from tests.kubectl.binaries import AbsentError, kubectl

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


class Recorder(ThreadingHTTPServer):
    """Serves discovery and OpenAPI as they are, keeps one workspace, and remembers requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict[str, list[str]], Any]] = []
        self.workspace: Json | None = None
        self.fixed = {
            **discovery.aggregated(SERVED),
            "/version": discovery.version(),
            "/openapi/v3": openapi.index(SERVED),
            "/openapi/v3/api/v1": document(""),
            "/openapi/v3/apis/invoker.dev/v1": document(),
        }


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Recorder

    def do_GET(self) -> None:
        """Discovery, OpenAPI, or the workspace."""
        url = urlsplit(self.path)
        self.server.requests.append(("GET", url.path, parse_qs(url.query), None))
        if url.path in self.server.fixed:
            self._answer(200, self.server.fixed[url.path])
        elif url.path.endswith("/workspaces/main") and self.server.workspace is not None:
            self._answer(200, self.server.workspace)
        else:
            self._answer(404, {"kind": "Status", "code": 404, "reason": "NotFound"})

    def do_POST(self) -> None:
        """Keep a workspace."""
        body = self._body("POST")
        self.server.workspace = body
        self._answer(201, body)

    def do_PATCH(self) -> None:
        """Remember the change."""
        self._body("PATCH")
        self._answer(200, self.server.workspace or {})

    def _body(self, method: str) -> Json:
        url = urlsplit(self.path)
        body: Json = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((method, url.path, parse_qs(url.query), body))
        return body

    def _answer(self, code: int, body: Json) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(code)
        plain = not self.path.startswith(("/api?", "/apis?"))
        self.send_header("Content-Type", discovery.PLAIN if plain else discovery.AGGREGATED)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[Recorder]:
    """A server that has nothing but discovery and OpenAPI."""
    with Recorder() as recorder:
        thread = Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield recorder
        recorder.shutdown()
        thread.join()


Run = Callable[..., str]


@pytest.fixture(params=["1.32", "1.37"])
def run(request: pytest.FixtureRequest, server: Recorder, tmp_path: Path) -> Run:
    """Runs kubectl and returns what it printed."""
    try:
        binary = kubectl(request.param)
    except AbsentError as error:
        pytest.skip(str(error))

    def run(*arguments: str, stdin: str = "", **environment: str) -> str:
        at = f"http://127.0.0.1:{server.server_address[1]}"
        done = subprocess.run(  # noqa: S603 - the binary and the words are the test's
            [binary, f"--server={at}", f"--cache-dir={tmp_path}/cache", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", **environment},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_kubectl_explains(run: Run) -> None:
    """A kind, a nested field, the metadata and a core kind are explained."""
    assert "FIELD: power <string>" in run("explain", "ws.spec.power")
    assert "Whether it shall run" in run("explain", "ws.spec.power")
    assert "-required-" in run("explain", "ws.spec")
    assert "<ObjectMeta>" in run("explain", "workspaces")
    assert "uid\t<string>" in run("explain", "ws.metadata.ownerReferences")
    assert "name\t<string>" in run("explain", "things.about")
    assert "lastTransitionTime" in run("explain", "account", "--recursive")


MANIFEST = """\
apiVersion: invoker.dev/v1
kind: Workspace
metadata: {name: main, namespace: a}
spec: {subdomain: alice, power: POWER}
"""


def test_kubectl_applies_and_edits(run: Run, server: Recorder) -> None:
    """What is applied is validated by the server; changes go as merge patches."""
    run("apply", "-f", "-", stdin=MANIFEST.replace("POWER", "Running"))
    run("apply", "-f", "-", stdin=MANIFEST.replace("POWER", "Stopped"))
    run("edit", "workspace", "main", "-n", "a", EDITOR="sed -i s/alice/alicia/")

    (post, first, second) = [request for request in server.requests if request[0] != "GET"]
    assert ("/apis/invoker.dev/v1/namespaces/a/workspaces", ["Strict"]) == (
        post[1],
        post[2]["fieldValidation"],
    )
    assert ["Strict"] == first[2]["fieldValidation"]
    assert {"power": "Stopped"} == first[3]["spec"]
    assert {"spec": {"subdomain": "alicia"}} == {"spec": second[3]["spec"]}
