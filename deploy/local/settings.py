"""Where the local installation keeps its state and which ports it takes."""

import argparse
import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"

PORTS: Final = {
    "api": 8080,
    "kubernetes": 6443,
    "controller": 8081,
    "edge": 8787,
    "postgres": 5433,
    "fly": 4280,
    "kv": 4281,
    "auth": 4282,
    "proxy": 4283,
    "netlify": 4284,
    "digitalocean": 4285,
}
"""Part and default; `INVOKER_<PART>_PORT` or `--<part>-port` moves it."""

PORTS_FILE: Final = "ports.json"


class SettingsError(ValueError):
    """The settings are not usable; the message lists everything that is wrong."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """The settings of `make run`.

    Attributes:
        state: Directory of everything that is kept between runs.
        ports: Port by part.
    """

    state: Path
    ports: Mapping[str, int]

    def url(self, part: str) -> str:
        """The part's base URL."""
        return f"http://{HOST}:{self.ports[part]}"

    @classmethod
    def read(cls, arguments: Sequence[str], environ: Mapping[str, str]) -> "LocalSettings":
        """Read flags, then the environment, then defaults.

        Raises:
            SettingsError: A port is no port, or two parts want the same one.
        """
        options = vars(_parser().parse_args(arguments))
        problems, ports = [], {}
        for part, default in PORTS.items():
            given = options[f"{part}_port"] or environ.get(variable(part)) or str(default)
            if given.isascii() and given.isdigit() and 1 <= int(given) <= 65535:  # noqa: PLR2004
                ports[part] = int(given)
            else:
                problems.append(f"{variable(part)}: must be a port from 1 to 65535")
        for part, port in ports.items():
            others = [other for other in ports if ports[other] == port and other != part]
            if others:
                problems.append(f"{variable(part)}: {port} is also {variable(others[0])}")
        if problems:
            raise SettingsError("\n  ".join(["the settings are wrong:", *problems]))
        state = options["state"] or environ.get("INVOKER_STATE") or ".invoker"
        return cls(Path(state).absolute(), ports)

    def save(self) -> None:
        """Leave the ports in the state, where commands beside a running stack find them."""
        (self.state / PORTS_FILE).write_text(json.dumps(dict(self.ports)), encoding="utf-8")

    @classmethod
    def saved(cls, state: Path) -> "LocalSettings":
        """The settings with which the stack on this state was started last.

        Raises:
            SettingsError: None was, or what it left cannot be read.
        """
        try:
            ports = json.loads((state / PORTS_FILE).read_text(encoding="utf-8"))
            return cls(state, {part: int(ports[part]) for part in PORTS})
        except (OSError, ValueError, KeyError, TypeError):
            raise SettingsError(f"{state}: no stack was started there") from None

    def check_ports(self, parts: Sequence[str]) -> None:
        """Find out before anything starts that a port is taken.

        Raises:
            SettingsError: Naming every busy port and its setting.
        """
        busy = [part for part in parts if _is_busy(self.ports[part])]
        if busy:
            lines = [
                f"port {self.ports[part]} ({part}) is taken; choose another with "
                f"{variable(part)}=… or --{part}-port …"
                for part in busy
            ]
            raise SettingsError("\n  ".join(["it cannot start:", *lines]))


def variable(part: str) -> str:
    """The environment variable that moves the part's port."""
    return f"INVOKER_{part.upper()}_PORT"


def _is_busy(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local", description="Run invoker on the embedded cloud."
    )
    parser.add_argument("--state", help="directory of the state (INVOKER_STATE; .invoker)")
    for part, default in PORTS.items():
        text = f"port of {part} ({variable(part)}; {default})"
        parser.add_argument(f"--{part}-port", help=text)
    return parser
