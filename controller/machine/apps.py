"""Whose a Fly app is: a machine's own by its name, or a service's, which its network marks."""

from __future__ import annotations

from controller.machine import names
from controller.machine.tools import MachineScope, Tools
from controller.providers.fly import App


def is_shared(scope: MachineScope, tools: Tools) -> bool:
    """Whether the app may hold other machines too, and stay when this one goes.

    Told by the name, because a row that is to go may have no readable spec.
    """
    app = scope.object.status.app
    return app is not None and names.uid_of_app(tools.installation, app.name) is None


def network(scope: MachineScope) -> str:
    """The private network of the app; a machine with an app of its own shares it with nobody."""
    service = scope.object.spec.service
    return scope.app if service is None else service.network


def idempotency_key(scope: MachineScope) -> str:
    """What makes the creation of the app safe to repeat; with another network it is another app."""
    service = scope.object.spec.service
    return scope.app if service is None else f"{service.network}/{scope.app}"


def is_ours(scope: MachineScope, tools: Tools, app: App) -> bool:
    """Whether an app that answers to the machine's name is this machine's."""
    if app.organization != tools.fly.org:
        return False
    service = scope.object.spec.service
    if service is not None:
        return app.network == service.network
    if not is_shared(scope, tools):
        return True
    # A service's row without a readable spec: the network tells of the row's owner.
    owners = {reference.uid for reference in scope.object.metadata.owner_references}
    return names.uid_of_app(tools.installation, app.network) in owners
