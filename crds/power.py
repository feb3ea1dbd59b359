"""What is switched on and off: a wish for power, which Kubernetes knows as replicas."""

from __future__ import annotations

from typing import Literal

from crds.errors import Cause, InvalidError
from crds.meta import Model, Resource

Power = Literal["Running", "Stopped"]


class PoweredSpec(Model):
    """The part of a wish that says whether there shall be power.

    Attributes:
        power: Whether it shall run.
    """

    power: Power = "Running"


class Powered(Resource):
    """Something that is there once, running or stopped."""

    spec: PoweredSpec

    def replicas(self) -> int:
        """One when it shall run, none when it shall not."""
        return int(self.spec.power == "Running")

    def scale(self, replicas: int) -> None:
        """Start or stop it.

        Raises:
            InvalidError: It cannot be there more than once.
        """
        if replicas not in (0, 1):
            raise InvalidError([Cause("spec.replicas", "must be 0 or 1")])
        self.spec.power = "Running" if replicas else "Stopped"
