"""What the steps of a dev environment's life work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from controller.providers.fly import Fly
from controller.providers.netlify import Netlify
from controller.scope import Scope
from crds.devenv import DevEnv
from crds.secrets import Secrets


class Wait(NamedTuple):
    """A step is not through.

    Attributes:
        seconds: Come back after so many; None: something that is watched will say so.
        why: What is waited for, in words.
    """

    seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside world of a dev environment.

    Attributes:
        fly: The provider of its machines.
        secrets: Where its keys are.
        netlify: Where its front end is built; None where no team's token is configured.
        installation: Which installation's marks we put and heed.
        public_url: The public address of an app.
        random: So many random bytes, from a source fit for keys.
        fingerprint: A keyed hash of a value that may stand in a row in place of it.
    """

    fly: Fly
    secrets: Secrets
    netlify: Netlify | None
    installation: str
    public_url: Callable[[str], str]
    random: Callable[[int], bytes]
    fingerprint: Callable[[bytes], str]


class DevEnvScope(Scope[DevEnv]):
    """A dev environment during one reconcile."""
