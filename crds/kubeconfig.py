"""The file by which kubectl finds us."""

from __future__ import annotations

import base64
import json
from typing import Any

NAME = "invoker"


def kubeconfig(server: str, authority: str, token: str, namespace: str = "default") -> str:
    """A kubeconfig with one context; JSON, which is YAML too.

    Args:
        server: The URL of the operators' port.
        authority: The certificate authority's certificate, PEM.
        token: The bearer token.
        namespace: Where commands look without `-n`.
    """
    data = base64.b64encode(authority.encode()).decode()
    cluster = {"server": server, "certificate-authority-data": data}
    context = {"cluster": NAME, "user": NAME, "namespace": namespace}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": context}],
        "current-context": NAME,
    }
    return json.dumps(config, indent=2) + "\n"


def token_of(text: str) -> str | None:
    """The token in a kubeconfig that `kubeconfig` made; None when it holds none."""
    try:
        token = json.loads(text)["users"][0]["user"]["token"]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return token if isinstance(token, str) else None
