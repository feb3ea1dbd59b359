"""The settings of all six services, from one place; one module a service.

Every module names the variables of the very image in `crds.devenv.IMAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from controller.devenv.rendered import Rendered
from controller.devenv.rendering import gotrue, kong, postgres, postgrest, storage, studio
from controller.devenv.rendering.facts import Facts
from crds.connection import Keys
from crds.devenv import DevEnvSpec, Service

__all__ = ["render"]

_RENDERERS: Final[Mapping[Service, Callable[[Facts], Rendered]]] = {
    "postgres": postgres.render,
    "postgrest": postgrest.render,
    "gotrue": gotrue.render,
    "kong": kong.render,
    "storage": storage.render,
    "studio": studio.render,
}


def render(
    spec: DevEnvSpec, service: Service, keys: Keys, *, public_url: Callable[[str], str]
) -> Rendered:
    """What a service is told; equal wishes and keys are told the same.

    Args:
        spec: The dev environment's wishes.
        service: Which service.
        keys: The environment's keys.
        public_url: The public address of an app.
    """
    return _RENDERERS[service](Facts.of(spec, keys, public_url))
