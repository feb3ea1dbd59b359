"""What one service is told: the one place from which every form of its configuration is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from crds.machine import Scrape


@dataclass(frozen=True, slots=True)
class Rendered:
    """One service's settings.

    Attributes:
        env: Variables that anybody may see.
        secrets: Variables that nobody may: keys, and where users come in;
            the same names never stand in both.
        check: How the provider finds out that it is well.
        check_path: Where an HTTP check asks.
        public: Whether the world reaches it.
        volume_path: Where it keeps what it keeps.
        command: What runs instead of the image's own command.
        files: Texts that lie in its file system, by absolute path.
        metrics: Where its own metrics are.
        stop_signal: What asks it to end.
    """

    env: dict[str, str]
    secrets: dict[str, str] = field(repr=False)
    check: Literal["tcp", "http"] = "http"
    check_path: str = "/"
    public: bool = False
    volume_path: str | None = None
    command: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    metrics: Scrape | None = None
    stop_signal: Literal["SIGINT", "SIGTERM"] = "SIGTERM"
