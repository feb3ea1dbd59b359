"""Arbitrary requests, made from the API's own description."""

from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import openapi
from api.operation import Operation
from api.operations import OPERATIONS
from tests.api.service import EDGE_TOKEN, Service, User, code_of, serving
from tests.api.silos import SILO, Town
from tests.api.vpses import Coast

Case = schemathesis.Case[Any]

SCHEMA = schemathesis.openapi.from_dict(openapi.document(OPERATIONS))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ATTACK = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
EDGE = {"Authorization": f"Bearer {EDGE_TOKEN}"}
THERE = "there"
SERVED = [operation for operation in OPERATIONS if operation.path != "/metrics"]


def cases(operation: Operation) -> st.SearchStrategy[Case]:
    """Good and bad requests for an operation."""
    described = SCHEMA[operation.path][operation.method]
    return st.one_of(
        described.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE),
        described.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
    )


async def send(service: Service, user: User, case: Case) -> httpx.Response:
    """Send a case as a user; headers as raw as they come."""
    how = case.as_transport_kwargs(base_url="http://api")
    proof = EDGE if case.operation.path.startswith("/hub/") else user.headers
    headers = {name: str(value) for name, value in how.pop("headers").items()} | proof
    how["headers"] = [(n.encode(), v.encode("latin-1", "replace")) for n, v in headers.items()]
    how.pop("cookies", None)
    if isinstance(how.get("data"), bytes | str):
        how["content"] = how.pop("data")
    return await service.client.request(**how)


async def furnish(service: Service, user: User) -> None:
    """Have things to ask about: a dev environment, what connects to it, and a VPS."""
    town = Town(service)
    status = {"phase": "Running", "connection": "Full"}
    await town.devenv(user.id, client="acme", status=status)
    await town.record(user.id)
    coast = Coast(service)
    await coast.connect(user.id)
    vps = await coast.vps(THERE, user.id)
    await coast.session(vps, THERE)
    await coast.key(vps, THERE)
    service.worker.answer = shown


def shown(command: dict[str, Any]) -> httpx.Response:
    """What a session's terminal shows, whichever it is."""
    snapshot = {"sequence": 0, "columns": 80, "rows": 24, "data": "$ "}
    return httpx.Response(200, json={**snapshot, "session_id": command["session_id"]})


def ask_for_what_is_there(case: Case) -> None:
    """Have a request that names something of a user's name what there is."""
    for name in ("vps", "session", "key"):
        if name in case.path_parameters:
            case.path_parameters[name] = THERE
    for part in (case.query, case.body):
        if isinstance(part, dict) and "silo_id" in part:
            part["silo_id"] = SILO


# Hypothesis takes what the served API's own thread draws from `random` for the strategies' doing.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("operation", SERVED, ids=lambda it: f"{it.method} {it.path}")
def test_operation(database_url: str, operation: Operation) -> None:
    """Whatever is sent, the answer is one that the description allows, and never a defect.

    Slow: sends some dozens of requests.
    """
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(database_url)) as service,
    ):
        user = portal.call(service.user)
        portal.call(furnish, service, user)

        @ATTACK
        @given(cases(operation), st.booleans())
        def attack(case: Case, known: bool) -> None:  # noqa: FBT001 - drawn
            if known:
                ask_for_what_is_there(case)
            answer = portal.call(send, service, user, case)
            case.validate_response(answer, checks=CHECKS)
            if answer.is_client_error:
                assert code_of(answer)

        attack()
