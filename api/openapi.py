"""The OpenAPI 3.1 document, written from the table of operations and the models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.models import ProblemBody
from api.operation import Operation
from api.problems import MEDIA_TYPE
from api.sessions import COOKIE
from crds.names import SUBDOMAIN

# Of the interface, not of the program behind it: grows when an answer or a body changes.
VERSION: Final = "1.2.0"
REF: Final = "#/components/schemas/{model}"
_CALLED: Final = {"type": "string", "maxLength": 253, "description": "Its id or its name."}
PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "id": {"type": "string", "format": "uuid"},
    "subdomain": {"type": "string", "pattern": f"^{SUBDOMAIN.pattern}$"},
    "vps": _CALLED,
    "session": _CALLED,
    "key": _CALLED,
    "gateway": {"type": "string", "format": "uuid"},
}
SECURITY_SCHEMES: Final = {
    "user": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A Supabase access token.",
    },
    "machine": {"type": "http", "scheme": "bearer", "description": "A machine's own token."},
    "agent": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of ours, a Supabase access token, or another issuer's.",
    },
    "browser": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A browser's session, or a token as of an agent that is an account's own.",
    },
    "edge": {
        "type": "http",
        "scheme": "bearer",
        "description": "The edge's token; without it the answer is the public one.",
    },
    "hub": {"type": "http", "scheme": "bearer", "description": "The edge's token."},
}
BODY_PROBLEMS = (400, 413, 415, 422)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Write the document about these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "invoker", "version": VERSION},
        "paths": paths,
        "components": {"schemas": _schemas(operations), "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {"application/json": {"schema": _ref(operation.body)}},
        }
    if operation.credential is not None:
        described["security"] = [{operation.credential: []}]
        if operation.credential == "edge":
            described["security"].append({})
        if operation.credential == "browser":
            described["security"].append({"agent": []})
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query is not None:
        found += _query(operation.query)
    if operation.wishes:
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": schema})
    return found


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "schema": PARAMETERS.get(name, part),
        }
        for name, part in schema["properties"].items()
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, model in operation.answers.items():
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if model is not None:
            answers[str(status)]["content"] = {"application/json": {"schema": _ref(model)}}
    refusals = {*operation.problems, 500, 503}
    if operation.body is not None:
        refusals |= set(BODY_PROBLEMS)
    if operation.credential in ("user", "machine", "agent", "browser"):
        refusals |= {401, 403}
    if operation.credential == "hub":
        refusals.add(403)
    for status in sorted(refusals - operation.answers.keys()):
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _ref(ProblemBody)}},
        }
    return answers


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemBody, "serialization")]
    for operation in operations:
        if operation.body is not None:
            models.append((operation.body, "validation"))
        models += [(model, "serialization") for model in operation.answers.values() if model]
    _, schema = models_json_schema(list(dict.fromkeys(models)), ref_template=REF)
    found: dict[str, Any] = schema["$defs"]
    return found


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
