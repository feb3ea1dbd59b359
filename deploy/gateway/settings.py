"""What the environment tells the gateway."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self, cast
from urllib.parse import urlsplit

from deploy.gateway import release

Multiplexer = Literal["auto", "tmux", "pty"]

_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What the Worker takes as a bearer token.
_TOKEN: Final = re.compile(r"[\w.~+/=-]{16,512}", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_MULTIPLEXERS: Final = ("auto", "tmux", "pty")


class SettingsError(ValueError):
    """The environment is not usable; the message lists everything that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The gateway's settings.

    Attributes:
        gateway: Its id, the uid of its Vps.
        token: What it proves itself with.
        url: Where the hub is.
        version: What it says it is.
        root: The folder under which all paths of the protocol are looked up; None: they are meant
            as they are.
        home: The home of sessions, as the protocol says it.
        state: Where the gateway keeps what it has to know, as the protocol says it.
        multiplexer: What keeps sessions; `auto` is tmux where there is one.
    """

    gateway: str
    token: str = field(repr=False)
    url: str
    version: str
    root: Path | None = None
    home: str = "/root"
    state: str = "/var/lib/invoker"
    multiplexer: Multiplexer = "auto"

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read and check the settings; a variable that is empty counts as unset.

        Raises:
            SettingsError: Something is missing or wrong; values are not repeated in the message.
        """
        given = {name: value for name, value in environ.items() if value}
        problems = list(_problems(given))
        if problems:
            lines = [f"  {name}: {problem}" for name, problem in problems]
            raise SettingsError("\n".join(["the gateway cannot start:", *lines]))
        root = Path(given["GATEWAY_ROOT"]) if "GATEWAY_ROOT" in given else None
        # On a real machine sessions belong to whoever runs the gateway.
        home = "/root" if root is not None else given.get("HOME", "/root")
        return cls(
            gateway=given["GATEWAY_ID"],
            token=given["GATEWAY_AUTH_TOKEN"],
            url=given["GATEWAY_CP_URL"],
            version=release.version(given.get("GATEWAY_VERSION", "")),
            root=root,
            home=given.get("GATEWAY_HOME", home),
            state=given.get("GATEWAY_STATE", "/var/lib/invoker"),
            multiplexer=cast("Multiplexer", given.get("GATEWAY_MULTIPLEXER", "auto")),
        )


def _problems(given: Mapping[str, str]) -> list[tuple[str, str]]:
    checks = {
        "GATEWAY_ID": (True, _uid),
        "GATEWAY_AUTH_TOKEN": (True, _token),
        "GATEWAY_CP_URL": (True, _url),
        "GATEWAY_VERSION": (False, _version),
        "GATEWAY_ROOT": (False, _folder),
        "GATEWAY_HOME": (False, _absolute),
        "GATEWAY_STATE": (False, _absolute),
        "GATEWAY_MULTIPLEXER": (False, _multiplexer),
    }
    found = []
    for name, (required, check) in checks.items():
        value = given.get(name)
        problem = (("is missing" if required else "") if value is None else check(value)) or ""
        if problem:
            found.append((name, problem))
    return found


def _uid(value: str) -> str:
    return "" if _UID.fullmatch(value) else "is not a lowercase UUID"


def _token(value: str) -> str:
    fits = _TOKEN.fullmatch(value)
    return "" if fits else "is not 16 to 512 letters, digits or characters of -._~+/="


def _version(value: str) -> str:
    return "" if _VERSION.fullmatch(value) else "is not a release's version"


def _multiplexer(value: str) -> str:
    return "" if value in _MULTIPLEXERS else f"is none of {', '.join(_MULTIPLEXERS)}"


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else "is not an absolute path"


def _folder(value: str) -> str:
    if not value.startswith("/"):
        return "is not an absolute path"
    return "" if Path(value).is_dir() else "is not a folder"


def _url(value: str) -> str:
    """The token travels there, so it has to be encrypted, unless it stays on this machine."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"ws", "wss"} or not host or parts.username is not None:
        return "is not a wss:// URL"
    if parts.scheme == "ws" and not _is_local(host):
        return "is not encrypted: ws:// is for this machine only, take wss://"
    return ""


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
