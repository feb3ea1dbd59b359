"""What Netlify takes for a variable's name, scopes and values."""

import re
from typing import Any

from deploy.local.simulators.netlify.state import NetlifyError

SCOPES = ("builds", "functions", "runtime", "post-processing")
CONTEXTS = frozenset(
    {"all", "dev", "dev-server", "branch-deploy", "deploy-preview", "production", "branch"}
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def checked_key(key: Any) -> str:
    """Return a variable's name.

    Raises:
        NetlifyError: it is none.
    """
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise NetlifyError(422, "Invalid key")
    return key


def checked_value(body: dict[str, Any], *, secret: bool) -> tuple[str, str, str]:
    """Return a value with its context and the context's parameter.

    Raises:
        NetlifyError: it is no text, the context is unknown, a branch has no name, or a secret
            is to be seen everywhere.
    """
    value, context = body.get("value"), body.get("context", "all")
    parameter = body.get("context_parameter") or ""
    if not isinstance(value, str) or context not in CONTEXTS:
        raise NetlifyError(422, "Invalid value or context")
    if (context == "branch") != bool(parameter):
        raise NetlifyError(422, "context_parameter goes with the context branch")
    if secret and context == "all":
        raise NetlifyError(422, "Secret values must specify deploy contexts")
    return value, context, parameter
