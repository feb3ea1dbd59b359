"""Secret variables of a service: put where its machine finds them before it starts."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from controller.engine import Blocked
from controller.machine.intent import effect
from controller.machine.tools import MachineScope, Tools, Wait
from crds.machine import SecretRef
from crds.secrets import SecretError

# Nothing tells of a change in the table of secrets.
RECHECK_SECONDS = 60.0

_VARIABLES = TypeAdapter(dict[str, str])


async def ensure_variables(scope: MachineScope, tools: Tools) -> Wait | None:
    """Set the app's secrets as they are kept, and unset what is not kept any more.

    What shall be stopped is stopped whether or not they can be read: they are for the next start.
    That they are set is struck from the record before they change: who wishes for the earlier ones
    again while nobody knows what became of the later ones gets them set once more.

    Raises:
        Blocked: They are not kept, or cannot be read; only their name is told.
    """
    service, app = scope.object.spec.service, scope.app_status
    if service is None or service.secrets is None or scope.object.spec.power == "Stopped":
        return None
    if app.secrets == service.secrets.fingerprint:
        return None
    kept = await _read(scope, tools, service.secrets)
    there = await tools.fly.list_secrets(app.name, call=scope.call)
    app.secrets = ""
    async with effect(scope, "secrets.update"):
        await tools.fly.set_secrets(app.name, {**dict.fromkeys(there), **kept}, call=scope.call)
    app.secrets = service.secrets.fingerprint
    scope.event("SecretsSet", f"{len(kept)} variables of {app.name}")
    return None


async def _read(scope: MachineScope, tools: Tools, wanted: SecretRef) -> dict[str, str]:
    """The variables by name."""
    try:
        value = await tools.secrets.get(scope.object.metadata.namespace, wanted.name)
    except SecretError:
        raise _blocked(
            "SecretUnreadable", wanted, "is not readable with the keys there are"
        ) from None
    if value is None:
        raise _blocked("SecretMissing", wanted, "is not there")
    try:
        return _VARIABLES.validate_json(value, strict=True)
    except ValidationError:
        # Its message would repeat the value.
        raise _blocked("SecretInvalid", wanted, "is not a JSON object of strings") from None


def _blocked(reason: str, wanted: SecretRef, text: str) -> Blocked:
    return Blocked(reason, f"the secret {wanted.name} {text}", recheck_after=RECHECK_SECONDS)
