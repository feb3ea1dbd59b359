"""Prometheus' own tools, where they are installed, and what they are given."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

HERE: Final = Path(__file__).parents[2] / "deploy" / "observability"
PROMETHEUS: Final = HERE / "prometheus"
RULES: Final = sorted((PROMETHEUS / "rules").glob("*.yaml"))
ALERTMANAGER: Final = HERE / "alertmanager" / "alertmanager.yaml"


def tool(*names: str) -> str:
    """The path of the first program of these that is installed; skips the test without one."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(
            f"{names[0]} is not installed: apt-get install prometheus prometheus-alertmanager"
        )
    return found


def run(*command: str | Path, cwd: Path = HERE) -> str:
    """Run a tool, which must succeed; returns what it said."""
    done = subprocess.run(  # noqa: S603 - the tool that was found
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loaded(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[Mapping[str, Any]]:
    """Every rule of every file."""
    for path in RULES:
        for group in loaded(path)["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, Mapping[str, Any]]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}
