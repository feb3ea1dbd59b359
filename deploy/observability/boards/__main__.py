"""`python -m deploy.observability.boards`: write the dashboards' JSON anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.observability.boards import api_edge, controller, cost, overview, providers
from deploy.observability.boards.panels import Row, board

FOLDER: Final = Path(__file__).parents[1] / "dashboards"
BOARDS: Final[Mapping[str, tuple[str, Sequence[Row]]]] = {
    "overview": ("Invoker: overview", overview.ROWS),
    "controller": ("Invoker: controller", controller.ROWS),
    "providers": ("Invoker: providers", providers.ROWS),
    "api-edge": ("Invoker: API and edge", api_edge.ROWS),
    "cost": ("Invoker: cost", cost.ROWS),
}


def render(name: str) -> str:
    """A dashboard's JSON, as Grafana's provisioning takes it."""
    title, rows = BOARDS[name]
    built = board(f"invoker-{name}", title, rows)
    return JSONEncoder(sort_keys=True, indent=2).encode(built) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in BOARDS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="utf-8")
