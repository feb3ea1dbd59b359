"""What programs find around them: made anew, so that nothing of the gateway's own is in it."""

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

from deploy.gateway.paths import Paths
from deploy.gateway.settings import Settings

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INHERITED: Final = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
_SHELLS: Final = ("/bin/bash", "/bin/sh")


def prefix(paths: Paths) -> Path:
    """Return the folder that agents are installed in."""
    return paths.find("/usr/local")


def environment(settings: Settings, paths: Paths) -> dict[str, str]:
    """Return the environment of sessions and installers; no token is in it."""
    user = pwd.getpwuid(os.getuid()).pw_name
    given = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    inherited = _PATH if settings.root is None else os.environ.get("PATH", _PATH)
    local = f"{settings.home.rstrip('/')}/.local/bin"
    own = [str(paths.find(folder)) for folder in ("/usr/local/bin", local)]
    found = {
        "LANG": "C.UTF-8",
        **given,
        "HOME": str(paths.find(settings.home)),
        "LOGNAME": user,
        "PATH": os.pathsep.join([*own, inherited]),
        "SHELL": shell(),
        "USER": user,
    }
    if settings.root is not None:
        # Tells whoever runs the machine which processes are in it.
        found["GATEWAY_ROOT"] = str(settings.root)
    return found


def shell() -> str:
    """Return the shell of whoever runs the gateway."""
    known = pwd.getpwuid(os.getuid()).pw_shell
    return next(each for each in (known, *_SHELLS) if each == _SHELLS[-1] or _is_shell(each))


def _is_shell(path: str) -> bool:
    name = Path(path).name
    return name.endswith("sh") and shutil.which(path) is not None
