"""The `invoker` command: what operators do that kubectl has no word for."""

from deploy.command.app import main

__all__ = ["main"]
