"""An operator as anybody would write one, for `kopf run`: it greets and bids farewell."""

from typing import Any

import kopf


@kopf.on.startup()
def reconnect_often(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Let watches end by themselves after a second, so that every test sees reconnects."""
    settings.watching.server_timeout = 1
    settings.watching.reconnect_backoff = 0.1


@kopf.on.create("invoker.dev", "v1", "workspaces")
def greet(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
    """Annotate a new one, write its status, post an event."""
    patch.metadata.annotations["example.com/greeted"] = "yes"
    patch.status["phase"] = "Greeted"
    kopf.event(body, type="Normal", reason="Greeted", message="Welcome.")


@kopf.on.update("invoker.dev", "v1", "workspaces", field="spec.volumeGb")
def notice(new: Any, patch: kopf.Patch, **_: Any) -> None:
    """Annotate one whose wish has changed."""
    patch.metadata.annotations["example.com/volume"] = str(new)


@kopf.on.delete("invoker.dev", "v1", "workspaces")
def bid_farewell(body: kopf.Body, **_: Any) -> None:
    """Post an event about one that goes."""
    kopf.event(body, type="Normal", reason="Farewell", message="Goodbye.")
