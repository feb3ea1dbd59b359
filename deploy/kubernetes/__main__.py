"""Write the CustomResourceDefinitions of all kinds: `python -m deploy.kubernetes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from api.kubernetes.definitions import definition_of
from crds.registry import KINDS

FOLDER: Final = Path(__file__).parent / "crds"
HEADER: Final = "# Made from crds/ by `python -m deploy.kubernetes`.\n"


def files() -> Mapping[Path, str]:
    """What the files have to hold."""
    return {
        FOLDER / f"{kind.PLURAL}.yaml": HEADER + _yaml(definition_of(kind))
        for kind in KINDS.values()
    }


def main() -> None:
    """Write them, and remove those of kinds that are no more."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.yaml"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice: anchors are hard to read."""

    def ignore_aliases(self, data: object) -> bool:
        """Whether a value stays without an anchor: always."""
        del data
        return True


def _yaml(document: object) -> str:
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)
    return text


if __name__ == "__main__":
    main()
