"""What a machine's configuration must look like."""

import base64
import binascii
import re
from typing import Any

from deploy.local.simulators.fly.state import FlyError

DEFAULT_GUEST = {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
_MEMORY_STEP_MB = 256
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}
_AUTOSTOP = frozenset({"off", "stop", "suspend", True, False, None})
_POLICIES = frozenset({"no", "always", "on-failure", "", None})


def seconds(duration: str | float | None) -> float | None:
    """Return a duration such as `30s`, `2m` or `30` in seconds, None for none.

    Raises:
        FlyError: 400 when it is no duration.
    """
    if duration is None or duration == "":
        return None
    found = _DURATION.fullmatch(str(duration))
    if found is None:
        raise FlyError(400, f"invalid_argument: invalid duration: {duration}")
    return float(found[1]) * _UNITS[found[2]]


def check_config(config: dict[str, Any]) -> None:
    """Check a machine's configuration.

    Raises:
        FlyError: 400 with the first thing that is wrong.
    """
    if not config.get("image"):
        raise _invalid("config.image is required")
    _check_guest(config)
    if len(config.get("mounts") or []) > 1:
        raise _invalid("a machine can only have one volume")
    if (config.get("restart") or {}).get("policy") not in _POLICIES:
        raise _invalid("unknown restart policy")
    for service in config.get("services") or []:
        _check_service(service)
    for file in config.get("files") or []:
        _check_file(file)


def _check_guest(config: dict[str, Any]) -> None:
    guest = config.get("guest")
    if guest and config.get("size"):
        raise _invalid("config.size and config.guest are exclusive")
    if guest and (guest.get("memory_mb") or _MEMORY_STEP_MB) % _MEMORY_STEP_MB:
        raise _invalid(f"config.guest.memory_mb must be a multiple of {_MEMORY_STEP_MB}")


def _check_service(service: dict[str, Any]) -> None:
    if service.get("protocol") not in {"tcp", "udp"}:
        raise _invalid("services.protocol must be tcp or udp")
    if service.get("autostop") not in _AUTOSTOP:
        raise _invalid("services.autostop must be off, stop or suspend")


def _check_file(file: dict[str, Any]) -> None:
    path = file.get("guest_path") or ""
    if not path.startswith("/") or ".." in path.split("/"):
        raise _invalid("files.guest_path must be an absolute path")
    value = file.get("raw_value")
    if (value is None) == (not file.get("secret_name")):
        raise _invalid("one of files.raw_value and files.secret_name must be set")
    try:
        base64.b64decode(value or "", validate=True)
    except binascii.Error:
        raise _invalid("files.raw_value must be base64") from None


def _invalid(text: str) -> FlyError:
    return FlyError(400, f"invalid_argument: {text}")
