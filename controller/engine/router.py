"""Brings keys from sources to controllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from controller.engine.queue import Priority
from crds.meta import Key

if TYPE_CHECKING:
    from controller.engine.controller import Controller

Route = tuple[str, Key]
"""A controller's name and a key for it."""


class Router:
    """The controllers of a process, by name; what is not this replica's is dropped on the way.

    Args:
        controllers: Their names are distinct.
    """

    def __init__(self, controllers: Iterable[Controller]) -> None:
        self._controllers = {controller.name: controller for controller in controllers}

    def push(
        self, name: str, key: Key, *, priority: Priority = Priority.EVENT, delay: float = 0.0
    ) -> None:
        """Queue a key for a controller.

        Raises:
            KeyError: There is no controller of this name.
        """
        self._controllers[name].push(key, priority=priority, delay=delay)
