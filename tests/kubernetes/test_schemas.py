"""The schemas of the kinds: structural, with words, and agreeing with what the kinds accept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from crds.meta import Condition, Model, Resource, Status
from crds.registry import KINDS
from crds.schemas import schema_of, words_of_fields
from crds.workspace import Workspace, WorkspaceSpec

Json = dict[str, Any]

KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43} a@example"

GOOD: dict[str, Json] = {
    "Platform": {},
    "Account": {"email": "a@example.com"},
    "Workspace": {"subdomain": "alice", "size": {"cpus": 2, "memoryMb": 2048}},
    "DevEnv": {
        "client": "acme",
        "app": "erp",
        "sizes": {"kong": {"memoryMb": 512}},
        "netlify": {"site": "s", "team": "t"},
    },
    "CloudConnection": {"state": "Disconnected", "verifyAt": "2030-01-01T00:00:00Z"},
    "Vps": {"region": "fra1", "power": "Stopped", "agents": ["claude-code"]},
    "Session": {"vps": "one", "agentType": "codex", "columns": 120, "rows": 40},
    "AuthorizedKey": {
        "vps": "one",
        "publicKey": KEY,
        "type": "support",
        "expiresAt": "2030-01-01T00:00:00Z",
    },
    "Machine": {"account": "a", "image": "x", "env": {"A": "1"}},
    "Route": {"account": "a", "target": {"workspace": "main", "machine": "main"}},
}
BAD = [
    ("Workspace", {"power": "Off"}),
    ("Workspace", {"subdomain": None}),
    ("Workspace", {"size": {"cpus": 3}}),
    ("Workspace", {"volumeGb": 0}),
    ("Workspace", {"idleTimeoutSeconds": 60}),
    ("Account", {"email": "x"}),
    ("Account", {"quota": {"workspaces": -1}}),
    ("Machine", {"env": {"A": 1}}),
    ("Machine", {"volume": {"path": "data"}}),
    ("DevEnv", {"client": "Acme"}),
    ("DevEnv", {"rlsMode": "off"}),
    ("DevEnv", {"autoStopMinutes": 1441}),
    ("CloudConnection", {"state": "Revoked"}),
    ("Vps", {"region": "amsterdam"}),
    ("Vps", {"agents": ["Claude"]}),
    ("Session", {"workdir": "root"}),
    ("Session", {"columns": 1001}),
    ("AuthorizedKey", {"type": "operator"}),
    ("AuthorizedKey", {"publicKey": None}),
    ("Route", {"target": {"workspace": "main"}}),
]
# What Kubernetes' structural schemas may say of a value.
ALLOWED = {
    "additionalProperties",
    "default",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
}


def parts(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """A schema and all schemas in it, with their paths."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts(part, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from parts(schema[word], f"{path}[{word}]")


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_structural(kind: str) -> None:
    """Every value has one type, and nothing is said that Kubernetes would refuse."""
    schema = schema_of(KINDS[kind])

    Draft202012Validator.check_schema(schema)
    assert [] == [
        path
        for path, part in parts(schema)
        if not isinstance(part.get("type"), str)
        or not part.keys() <= ALLOWED
        or ("properties" in part and "additionalProperties" in part)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_words(kind: str) -> None:
    """`kubectl explain` says something about every field there is."""
    named = (
        (f"{path}.{name}", field)
        for path, part in parts(schema_of(KINDS[kind]), kind)
        for name, field in part.get("properties", {}).items()
    )

    assert [] == [path for path, field in named if not field.get("description")]


@pytest.mark.parametrize("kind", KINDS)
def test_tables_selectors_and_rights_name_fields_that_there_are(kind: str) -> None:
    """A column, a selector or a right over a field that was renamed would silently be nothing."""
    made = KINDS[kind]
    paths = {path for path, _ in parts(schema_of(made))}
    plain = {column.path for column in made.COLUMNS if "[" not in column.path}
    spec = {path.removeprefix(".spec.") for path in paths if path.startswith(".spec.")}

    assert set() == plain - paths
    assert set() == {f".{path}" for path in made.SELECTABLE} - paths
    assert set() == (made.OWNER_FIELDS | made.SUPPORT_FIELDS) - spec


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_fits(kind: str) -> None:
    """The schema accepts what the kind accepts and fills in."""
    of = {"metadata": {"name": kind.lower()}, "spec": GOOD[kind]}
    made = KINDS[kind].parse(of).to_json()
    errors = Draft202012Validator(schema_of(KINDS[kind])).iter_errors(made)

    assert [] == [error.message for error in errors]


@pytest.mark.parametrize(("kind", "change"), BAD)
def test_what_breaks_a_rule_does_not_fit(kind: str, change: Json) -> None:
    """Types, bounds, choices and patterns are in the schema."""
    spec = {**GOOD[kind], **change}

    assert not Draft202012Validator(schema_of(KINDS[kind])).is_valid({"spec": spec})


def test_only_the_spec_is_required_and_only_without_a_default() -> None:
    """Whoever writes an object need not know of its status, nor of fields with defaults."""
    schema = schema_of(Workspace)

    assert ["spec"] == schema["required"]
    assert ["subdomain"] == schema["properties"]["spec"]["required"]
    assert "required" not in schema_of(KINDS["Platform"])


def test_types_are_kubernetes_own() -> None:
    """Times, integers, choices and what may be null have the forms that clients know."""
    spec = schema_of(Workspace)["properties"]["spec"]["properties"]

    assert ("string", "date-time") == (spec["wakeAt"]["type"], spec["wakeAt"]["format"])
    assert ("integer", "int64", 500) == tuple(
        spec["volumeGb"][word] for word in ("type", "format", "maximum")
    )
    assert (["Running", "Stopped"], "Running") == (spec["power"]["enum"], spec["power"]["default"])
    assert [1800] == spec["idleTimeoutSeconds"]["enum"]
    assert {"type": "object", "additionalProperties": {"type": "string"}} == {
        word: value
        for word, value in schema_of(KINDS["Machine"])["properties"]["spec"]["properties"][
            "env"
        ].items()
        if word != "description"
    }


def test_conditions_are_a_map_by_type() -> None:
    """Two appliers may own one condition each."""
    conditions = schema_of(Workspace)["properties"]["status"]["properties"]["conditions"]

    assert ("map", ["type"]) == (
        conditions["x-kubernetes-list-type"],
        conditions["x-kubernetes-list-map-keys"],
    )


class OddSpec(Model):
    """Odd wishes.

    Continued in a second paragraph, about `at_most`.

    Attributes:
        first: One thing,
            on two lines.
        at_most: Another.

    Raises:
        Nothing: Of this.
    """

    first: str
    # A comment, which
    # goes on.
    second: dict[str, Any]
    at_most: float = Field(gt=0, default=1)


class Odd(Resource):
    """Something odd."""

    KIND: ClassVar[str] = "Odd"
    PLURAL: ClassVar[str] = "odds"

    spec: OddSpec
    status: Status = Field(default_factory=Status)


class TornSpec(Model):
    """Torn."""

    either: int | str


class Torn(Resource):
    """Something with a field of two types."""

    KIND: ClassVar[str] = "Torn"
    PLURAL: ClassVar[str] = "torns"

    spec: TornSpec
    status: Status = Field(default_factory=Status)


def test_words_come_from_docstrings_and_comments() -> None:
    """Attributes, comments above fields and class docstrings all speak; names are JSON's."""
    spec = schema_of(Odd)["properties"]["spec"]

    assert "Odd wishes. Continued in a second paragraph, about `atMost`." == spec["description"]
    assert {
        "first": "One thing, on two lines.",
        "second": "A comment, which goes on.",
        "at_most": "Another.",
    } == words_of_fields(OddSpec)


def test_free_form_and_exclusive_bounds() -> None:
    """What has no fixed shape keeps what it does not know; a bound that is excluded is a switch."""
    spec = schema_of(Odd)["properties"]["spec"]["properties"]

    assert spec["second"]["x-kubernetes-preserve-unknown-fields"] is True
    assert (0, True) == (spec["atMost"]["minimum"], spec["atMost"]["exclusiveMinimum"])


def test_a_field_of_two_types_is_refused() -> None:
    """A schema that Kubernetes would refuse is never made."""
    with pytest.raises(ValueError, match=r"Torn\.spec\.either has 2 types"):
        schema_of(Torn)


def test_the_words_of_inherited_fields() -> None:
    """A field is documented once, where it is."""
    assert "subdomain" in words_of_fields(WorkspaceSpec)
    assert words_of_fields(Condition).keys() <= Condition.model_fields.keys()
