"""OpenAPI schemas of the kinds, structural as Kubernetes takes them, with words for every field."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from textwrap import dedent
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from crds.meta import API_VERSION, Condition, Model, Resource

Json = dict[str, Any]

FORMATS: Final = {"integer": "int64", "number": "double"}
# Words that a structural schema takes as pydantic says them.
KEPT: Final = (
    "description type format default enum pattern multipleOf minimum maximum minLength maxLength "
    "minItems maxItems uniqueItems minProperties maxProperties required"
).split()

# A section of a Google-style docstring, up to the next one.
SECTION: Final = re.compile(
    r"^(?:Attributes|Args|Returns|Raises|Yields|Notes?|Examples?):$", re.MULTILINE
)
ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)
PYTHON_NAME: Final = re.compile(r"`([a-z]+_[a-z_]+)`")


@cache
def schema_of(kind: type[Resource]) -> Json:
    """The structural OpenAPI v3 schema of a kind's whole object.

    Structural is Kubernetes' word: one type a value, nothing referred to, nothing alternative.
    A field that may be null is one that may be left out.
    The words come from docstrings and from comments above fields.
    The result is shared: nobody may change it.

    Raises:
        ValueError: A field has more than one type.
    """
    pydantic = kind.model_json_schema(by_alias=True, schema_generator=_WithWords)
    whole = _structural(pydantic, pydantic.get("$defs", {}), kind.KIND)
    parts = {name: whole["properties"][name] for name in ("spec", "status")}
    for part in parts.values():
        part.pop("default", None)
    required = [name for name in whole.get("required", ()) if name == "spec"]
    return {
        "description": whole["description"],
        "type": "object",
        **({"required": required} if required else {}),
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": f"The group and version of what this object says: {API_VERSION}.",
            },
            "kind": {"type": "string", "description": f"The object's kind: {kind.KIND}."},
            "metadata": {
                "type": "object",
                "description": "The object's name, labels, owners, versions and the like.",
            },
            **parts,
        },
    }


def words_of(model: type[BaseModel]) -> str:
    """What a class is, from its docstring, without the sections on its parts."""
    doc = inspect.getdoc(model) or ""
    section = SECTION.search(doc)
    return _one_paragraph(doc[: section.start()] if section else doc)


def words_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """What the fields of a class are, by name, from its and its bases' docstrings and comments."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Model) and base is not Model:
            found |= dict(_comments(base))
            found |= dict(_attributes(base))
    return found


class _WithWords(GenerateJsonSchema):
    """Pydantic's schemas, with our docstrings and the defaults that are models themselves."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        found["description"] = words_of(model)
        words = words_of_fields(model)
        for name, field in model.model_fields.items():
            part = found["properties"][field.alias or name]
            if name in words:
                part["description"] = words[name]
            if isinstance(default := field.get_default(call_default_factory=True), Model):
                part["default"] = default.to_json()
            if field.annotation == list[Condition]:
                part |= {
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                }
        return found


def _structural(schema: Mapping[str, Any], definitions: Mapping[str, Json], path: str) -> Json:
    """Say a schema of pydantic's in the words that Kubernetes takes."""
    schema = _one_type(schema, definitions, path)
    found = {name: schema[name] for name in KEPT if schema.get(name) is not None}
    found |= {name: value for name, value in schema.items() if name.startswith("x-kubernetes-")}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in schema:  # a number in JSON Schema, a switch in OpenAPI 3.0
            found |= {bound: schema[exclusive], exclusive: True}
    if schema.get("type") in FORMATS:
        found["format"] = FORMATS[schema["type"]]
    if "properties" in schema:
        found["properties"] = {
            name: _structural(part, definitions, f"{path}.{name}")
            for name, part in schema["properties"].items()
        }
    elif isinstance(values := schema.get("additionalProperties"), dict) and values:
        found["additionalProperties"] = _structural(values, definitions, f"{path}.*")
    elif schema.get("type", "object") == "object":
        found["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in schema:
        found["items"] = _structural(schema["items"], definitions, f"{path}[]")
    return found


def _one_type(schema: Mapping[str, Any], definitions: Mapping[str, Json], path: str) -> Json:
    """Follow references and drop null, until a schema says what it is by itself."""
    found = dict(schema)
    while "$ref" in found or "anyOf" in found:
        if "$ref" in found:
            found = definitions[found.pop("$ref").removeprefix("#/$defs/")] | found
            continue
        options = [option for option in found.pop("anyOf") if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"{path} has {len(options)} types; a structural schema takes one")
        found = options[0] | found
    return found


def _attributes(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The entries of a docstring's section on attributes."""
    section = inspect.cleandoc(model.__doc__ or "").partition("Attributes:\n")[2]
    end = SECTION.search(section)
    for name, words in ATTRIBUTE.findall(section[: end.start()] if end else section):
        yield name, _one_paragraph(words)


def _comments(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The comments that stand above fields; none where the source is not there."""
    try:
        source = dedent(inspect.getsource(model))
    except OSError:
        return
    lines = source.splitlines()
    (definition,) = ast.parse(source).body
    for statement in getattr(definition, "body", ()):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        first = last = statement.lineno - 1
        while lines[first - 1].strip().startswith("#"):
            first -= 1
        if first < last:
            text = "\n".join(line.strip().lstrip("# ") for line in lines[first:last])
            yield statement.target.id, _one_paragraph(text)


def _one_paragraph(text: str) -> str:
    """Lines put together; names as JSON has them."""
    joined = " ".join(text.split())
    return PYTHON_NAME.sub(lambda name: f"`{to_camel(name[1])}`", joined)
