"""Dev environments of any shape, and what their services are told."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from hypothesis import strategies as st

from controller.devenv.keys import make_keys
from controller.devenv.rendered import Rendered
from controller.devenv.rendering import render
from crds.connection import Keys
from crds.devenv import DevEnvSpec, Service

NOW = datetime(2026, 2, 9, 10, 15, tzinfo=UTC)
SPEC = DevEnvSpec(client="acme", app="erp", preview_url="https://silo-acme-erp--prod.netlify.app")

slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)
# Whatever the kind lets through, and what would mean something in a list, a glob, YAML or a shell.
urls = st.one_of(
    st.none(),
    st.from_regex(r"https?://[^\s]{1,80}", fullmatch=True),
    st.text(alphabet="ab.:/[]{}*?,\\'\"#$%&", min_size=1).map(lambda tail: f"https://{tail}"),
)
specs = st.builds(DevEnvSpec, client=slugs, app=slugs, preview_url=urls, studio=st.booleans())


def public_url(app: str) -> str:
    """The public address of an app."""
    return f"https://{app}.fly.dev"


def keys_of(seed: int = 0, spec: DevEnvSpec = SPEC) -> Keys:
    """Keys that a seed makes."""
    return make_keys(spec, NOW, random.Random(seed).randbytes)  # noqa: S311 - to repeat


def told(service: Service, spec: DevEnvSpec = SPEC, keys: Keys | None = None) -> Rendered:
    """What a service is told."""
    return render(spec, service, keys or keys_of(spec=spec), public_url=public_url)
