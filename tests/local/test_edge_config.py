"""The edge's configuration on plain workerd, for simulated and for real neighbours."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.local import edge
from deploy.local.keys import Keys
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack

REAL = {
    "FLY_API_TOKEN": "fly",
    "FLY_ORG": "us",
    "CLOUDFLARE_API_TOKEN": "cf",
    "CLOUDFLARE_ACCOUNT_ID": "a",
    "CLOUDFLARE_KV_NAMESPACE_ID": "n",
    "SUPABASE_URL": "https://project.supabase.test/",
    "SUPABASE_ANON_KEY": "anon",
    "SUPABASE_JWT_SECRET": "a secret of an HS256 project, long enough",
}


def _rendered(state: Path, environ: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The configuration's text and the variables beside it."""
    stack = Stack(LocalSettings.read([f"--state={state}"], {}), Keys(state / "keys"), environ)
    service = stack.edge(stack.environment("postgresql:///"))
    return (state / "edge" / "config.capnp").read_text(), dict(service.environment)


@pytest.mark.parametrize("environ", [{}, REAL, {"INVOKER_EDGE_SCHEME": "https"}])
def test_workerd_accepts_it(tmp_path: Path, environ: dict[str, str]) -> None:
    """Compiled by workerd without complaint: the configuration, whichever providers are real."""
    _rendered(tmp_path, environ)
    binary, config = str(edge.binary()), str(tmp_path / "edge" / "config.capnp")
    done = subprocess.run(  # noqa: S603 - our own binary
        [binary, "compile", "--import-path=/", "--config-only", config],
        env=os.environ,
        capture_output=True,
        check=False,
    )

    assert (0, b"") == (done.returncode, done.stderr)


def test_simulated_neighbours(tmp_path: Path) -> None:
    """Beside the embedded cloud everything is plain http on loopback, and nothing leaves it."""
    text, _ = _rendered(tmp_path, {})

    assert 4 == text.count('external = (address = "127.0.0.1:')
    assert "tlsOptions" not in text
    assert "network =" not in text


def test_real_neighbours(tmp_path: Path) -> None:
    """Real providers are reached over https, and have to prove who they are."""
    text, environment = _rendered(tmp_path, REAL)

    assert 'certificateHost = "project.supabase.test"' in text
    assert '"project.supabase.test:443"' in text
    assert '"https://project.supabase.test/auth/v1"' in text
    assert '(name = "machines", network = (allow = ["public"]' in text
    assert REAL["SUPABASE_JWT_SECRET"] == environment["JWT_SECRET"]


def test_the_terminals_page(tmp_path: Path) -> None:
    """The page's files are read from where the build puts them, and cannot be written."""
    text, _ = _rendered(tmp_path, {})

    assert edge.BUNDLE.parent == edge.ASSETS.parent
    assert f'(name = "assets", disk = (path = "{edge.ASSETS}"))' in text
    assert '(name = "ASSETS", service = "assets")' in text


def test_no_secret_in_the_file(tmp_path: Path) -> None:
    """The file that workerd reads holds no secret."""
    text, environment = _rendered(tmp_path, REAL)

    assert [] == [name for name, value in environment.items() if value in text]
