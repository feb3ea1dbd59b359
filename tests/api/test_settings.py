"""Settings: everything that is wrong, at once, without the values."""

import subprocess
import sys

import pytest

from api.settings import Settings
from crds.settings import SettingsError
from tests.api.service import ENCRYPTION_KEY

GOOD = {
    "DATABASE_URL": "postgresql://localhost/invoker",
    "INVOKER_DOMAIN": "invoker.test",
    "SUPABASE_URL": "https://invoker.supabase.co/",
    "SUPABASE_ANON_KEY": "anon",
    "INVOKER_EDGE_TOKEN": "0123456789abcdef",
    "INVOKER_ENCRYPTION_KEYS": ENCRYPTION_KEY,
}
WRONG = {
    "DATABASE_URL": "mysql://user:s3cret@localhost",
    "INVOKER_DOMAIN": "s3cret domain",
    "SUPABASE_URL": "ftp://s3cret",
    "SUPABASE_JWT_SECRET": "s3cret",
    "INVOKER_EDGE_TOKEN": "s3cret",
    "INVOKER_EDGE_SCHEME": "s3cret",
    "INVOKER_EDGE_PUBLIC_PORT": "s3cret",
    "INVOKER_ENCRYPTION_KEYS": "s3cret",
    "INVOKER_API_PORT": "70000",
    "INVOKER_LOG_FORMAT": "s3cret",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "s3cret",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing of ours but what is good."""
    for variable in GOOD.keys() | WRONG.keys() | {"INVOKER_API_HOST"}:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in GOOD.items():
        monkeypatch.setenv(variable, value)
    return monkeypatch


def test_defaults(environment: pytest.MonkeyPatch) -> None:
    """What need not be said has its default; an empty variable says nothing."""
    environment.setenv("INVOKER_EDGE_PUBLIC_PORT", "")
    settings = Settings.load()

    assert (settings.host, settings.port, settings.log_format) == ("127.0.0.1", 8080, "json")
    assert settings.issuer == "https://invoker.supabase.co/auth/v1"
    assert settings.public_url("alice") == "https://alice.invoker.test"


def test_local_edge(environment: pytest.MonkeyPatch) -> None:
    """The edge's scheme and port show in public URLs."""
    environment.setenv("INVOKER_EDGE_SCHEME", "http")
    environment.setenv("INVOKER_EDGE_PUBLIC_PORT", "8787")

    assert Settings.load().public_url("alice") == "http://alice.invoker.test:8787"


def test_everything_wrong(environment: pytest.MonkeyPatch) -> None:
    """One message names every wrong or missing variable and repeats no value."""
    environment.delenv("SUPABASE_ANON_KEY")
    for variable, value in WRONG.items():
        environment.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        Settings.load()

    named = {problem.partition(":")[0] for problem in caught.value.problems}
    assert named == WRONG.keys() | {"SUPABASE_ANON_KEY"}
    assert "SUPABASE_ANON_KEY: is not set" in caught.value.problems
    assert "s3cret" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    """Settings may be logged by mistake."""
    shown = repr(Settings.load())

    assert ENCRYPTION_KEY not in shown
    assert "0123456789abcdef" not in shown
    assert "localhost/invoker" not in shown


@pytest.mark.slow
def test_start_with_nothing_set(environment: pytest.MonkeyPatch) -> None:
    """`python -m api` without settings says what is missing and exits with 2.

    Slow: starts an interpreter.
    """
    for variable in GOOD:
        environment.delenv(variable)
    done = subprocess.run(
        [sys.executable, "-m", "api"], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 2
    assert all(f"{variable}: is not set" in done.stderr for variable in GOOD)
    assert "Traceback" not in done.stderr
