"""The machine registry, each user's own lines of it."""

from __future__ import annotations

import asyncio
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.context import Api, api_of
from api.models import MachineList, MachineView
from api.problems import Problem
from api.requests import owning
from api.views import Facts, machine_view
from crds.account import Account
from crds.machine import Machine
from crds.workspace import Workspace


async def list_machines(request: Request) -> Response:
    """The user's machines."""
    person = await owning(request)
    return answer(MachineList(machines=await _views(api_of(request), person.id)))


async def get_machine(request: Request) -> Response:
    """One of the user's machines; another user's is as good as none."""
    person = await owning(request)
    wanted = machine_id(request)
    for view in await _views(api_of(request), person.id):
        if view.id == wanted:
            return answer(view)
    raise no_such_machine()


def machine_id(request: Request) -> UUID:
    """The machine that the path names.

    Raises:
        Problem: It is not a machine's id.
    """
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise no_such_machine() from None


def no_such_machine() -> Problem:
    """404."""
    return Problem(404, "no-such-machine", "There is no such machine.")


async def _views(api: Api, owner: str) -> list[MachineView]:
    account, workspaces, machines = await asyncio.gather(
        api.store.find(Account, owner),
        api.store.list(Workspace, namespace=owner),
        api.store.list(Machine, namespace=owner),
    )
    beats = await api.store.heartbeats.get([machine.uid for machine in machines.items])
    of_name = {workspace.metadata.name: workspace for workspace in workspaces.items}
    return [
        machine_view(
            Facts(account, of_name.get(machine.metadata.name), machine),
            machine,
            beats.get(machine.uid),
        )
        for machine in machines.items
    ]
