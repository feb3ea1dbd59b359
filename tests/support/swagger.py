"""Swagger 2.0 in the words of OpenAPI 3, as far as checking needs it."""

from collections.abc import Mapping
from typing import Any

_ERROR = "ErrorResponse"
"""The name under which the checker looks for what every refusal looks like."""


def modern(document: dict[str, Any]) -> dict[str, Any]:
    """Return a specification with its bodies, answers and schemas where OpenAPI 3 has them.

    A document that is not Swagger 2.0 comes back as it is.
    """
    if document.get("swagger") != "2.0":
        return document
    schemas: dict[str, Any] = _moved(document["definitions"])
    if "error" in schemas:
        schemas[_ERROR] = schemas["error"]
    paths = {
        template: {
            method: _operation(document, item, operation)
            for method, operation in item.items()
            if method != "parameters"
        }
        for template, item in document["paths"].items()
    }
    return {"paths": paths, "components": {"schemas": schemas}}


def _operation(
    document: dict[str, Any], item: dict[str, Any], operation: dict[str, Any]
) -> dict[str, Any]:
    listed = [*item.get("parameters", []), *operation.get("parameters", [])]
    parameters = [_parameter(document, each) for each in listed]
    bodies = [each["schema"] for each in parameters if each["in"] == "body"]
    answers = {
        code: _content(answer.get("schema"))
        for code, answer in operation["responses"].items()
        if code != "default"
    }
    return {
        "parameters": [each for each in parameters if each["in"] != "body"],
        "requestBody": _content(bodies[0] if bodies else None),
        "responses": answers,
    }


def _parameter(document: dict[str, Any], parameter: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in parameter:
        parameter = document["parameters"][parameter["$ref"].split("/")[-1]]
    moved: dict[str, Any] = _moved(parameter)
    return moved


def _content(schema: Any) -> dict[str, Any]:
    media = {} if schema is None else {"application/json": {"schema": _moved(schema)}}
    return {"content": media}


def _moved(node: Any) -> Any:
    """Return a node whose references lead to where OpenAPI 3 keeps schemas."""
    if isinstance(node, list):
        return [_moved(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    copy = {key: _moved(value) for key, value in node.items()}
    if isinstance(copy.get("$ref"), str):
        copy["$ref"] = copy["$ref"].replace("#/definitions/", "#/components/schemas/")
    return copy
