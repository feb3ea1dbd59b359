"""Manifests that several topics begin with."""

from typing import Final


def workspace(name: str, suffix: str = "", labels: str = "", power: str = "Stopped") -> str:
    """A workspace in the topic's namespace; `suffix` makes its subdomain its own."""
    return f"""\
apiVersion: invoker.dev/v1
kind: Workspace
metadata:
  name: '{name}'
  namespace: $ns
{f"  labels: {labels}" if labels else ""}
spec:
  subdomain: ${{sub}}{suffix}
  power: {power}
"""


ACCOUNT: Final = """\
apiVersion: invoker.dev/v1
kind: Account
metadata:
  name: $ns
spec:
  email: ${sub}@example.com
  quota: {workspaces: 20}
"""


def together(*manifests: str) -> str:
    """Several manifests in one file."""
    return "---\n".join(manifests)
