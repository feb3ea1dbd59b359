"""`python -m deploy.gateway.build OUT`: the gateway's program as one file without dependencies."""

import argparse
import hashlib
import stat
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final

from crds.gateways import GATEWAY_VERSION
from deploy.gateway.protocol import SOURCE
from deploy.gateway.release import RELEASE

VENDORED: Final = ("websockets", "pyte", "wcwidth")
"""The distributions that go into the file; what they have in C they can do without."""

_HERE: Final = Path(__file__).parent
_LEFT_OUT: Final = ("websockets/legacy/", "websockets/sync/", "websockets/trio/")
_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = "from deploy.gateway.__main__ import main\n\nmain()\n"
# The earliest that a zip can tell: the same source makes the same file.
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)


def build(out: Path, version: str) -> Path:
    """Write `gateway-<version>.pyz` and return it.

    Args:
        out: The folder; it is made.
        version: What the program shall say it is.

    Raises:
        importlib.metadata.PackageNotFoundError: A dependency is not installed.
    """
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"gateway-{version}.pyz"
    content = dict(_content(version))
    with target.open("wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(content):
                entry = zipfile.ZipInfo(name, _MOMENT)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (stat.S_IFREG | 0o644) << 16
                archive.writestr(entry, content[name])
    target.chmod(0o755)
    return target


def _content(version: str) -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    yield "deploy/__init__.py", (_HERE.parent / "__init__.py").read_bytes()
    for file in _HERE.rglob("*.py"):
        if file != Path(__file__):
            yield f"deploy/gateway/{file.relative_to(_HERE).as_posix()}", file.read_bytes()
    for file in SOURCE.glob("*.json"):
        yield f"deploy/gateway/protocol/{file.name}", file.read_bytes()
    yield f"deploy/gateway/{RELEASE}", f"{version}\n".encode()
    for name in VENDORED:
        yield from _vendored(name)


def _vendored(name: str) -> Iterator[tuple[str, bytes]]:
    """A distribution's modules, and its licence."""
    for file in metadata.files(name) or []:
        path = PurePosixPath(file)
        is_module = path.parts[0] == name and path.suffix == ".py"
        is_licence = ".dist-info" in path.parts[0] and "licen" in str(path).lower()
        if (is_module and not str(path).startswith(_LEFT_OUT)) or is_licence:
            yield str(path), Path(str(file.locate())).read_bytes()


def main(arguments: list[str] | None = None) -> None:
    """Build, and say what was built and its SHA-256, which `gateway.update` wants."""
    parser = argparse.ArgumentParser(prog="python -m deploy.gateway.build")
    parser.add_argument("out", type=Path, help="the folder for the file")
    parser.add_argument("--version", default=GATEWAY_VERSION)
    options = parser.parse_args(arguments)
    built = build(options.out, options.version)
    sys.stdout.write(f"{hashlib.sha256(built.read_bytes()).hexdigest()}  {built}\n")


if __name__ == "__main__":
    main()
