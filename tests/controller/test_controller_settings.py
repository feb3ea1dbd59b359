"""The controller's settings: all that is wrong, at once, without a secret."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from controller.settings import Settings
from crds.settings import SettingsError

GOOD = {
    "DATABASE_URL": "postgresql://localhost/invoker",
    "INVOKER_DOMAIN": "localhost",
    "INVOKER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "INVOKER_INSTALLATION": "local",
    "INVOKER_API_URL": "http://127.0.0.1:8080",
    "INVOKER_EDGE_JWKS": '{"keys":[]}',
    "INVOKER_EDGE_TOKEN": "0123456789abcdef",
    "SUPABASE_URL": "http://127.0.0.1:9999",
    "FLY_API_TOKEN": "fly-secret",
    "FLY_ORG": "personal",
    "CLOUDFLARE_API_TOKEN": "cloudflare-secret",
    "CLOUDFLARE_ACCOUNT_ID": "a",
    "CLOUDFLARE_KV_NAMESPACE_ID": "n",
}
WRONG = {
    "DATABASE_URL": "mysql://user:hunter2@localhost",
    "INVOKER_DOMAIN": "not a domain",
    "INVOKER_ENCRYPTION_KEYS": "hunter2",
    "INVOKER_INSTALLATION": "Much-Too-Long-And-Upper",
    "INVOKER_API_URL": "ftp://x",
    "INVOKER_EDGE_JWKS": "hunter2",
    "SUPABASE_URL": "x",
    "FLY_API_HOSTNAME": "api.machines.dev",
    "CLOUDFLARE_API_URL": "x",
    "INVOKER_MACHINE_GATEWAY": "x",
    "INVOKER_CONTROLLER_PORT": "99999",
    "INVOKER_EDGE_SCHEME": "gopher",
    "INVOKER_EDGE_PUBLIC_PORT": "http",
    "INVOKER_LOG_FORMAT": "xml",
    "INVOKER_WORKERS": "0",
    "DIGITALOCEAN_API_URL": "x",
    "DIGITALOCEAN_OAUTH_URL": "x",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "x",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which everything is set and right."""
    for name in {*GOOD, *WRONG, "DIGITALOCEAN_CLIENT_ID"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("environment")
def test_good_settings_load() -> None:
    """Everything that is needed can be said in the environment."""
    settings = Settings.load()

    assert settings.jwks_url == "http://127.0.0.1:9999/auth/v1/.well-known/jwks.json"
    assert "fly-secret" not in repr(settings)


@pytest.mark.parametrize("name", GOOD)
def test_every_missing_setting_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    """What has no default and is missing is named with its rule."""
    environment.delenv(name)

    with pytest.raises(SettingsError, match=f"{name}: is not set"):
        Settings.load()


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_setting_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    """What is wrong is named, and its value is not repeated."""
    environment.setenv(name, WRONG[name])

    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert [name] == [problem.partition(":")[0] for problem in caught.value.problems]
    assert WRONG[name] not in str(caught.value).partition(name)[2]


@pytest.mark.slow
def test_the_process_says_it_and_ends() -> None:
    """A wrong environment ends the process with code 2 and one message (it starts Python)."""
    done = subprocess.run(
        [sys.executable, "-m", "controller"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("The controller cannot start, its settings are wrong:")
    assert "DATABASE_URL: is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_application_has_a_secret_and_an_address(environment: pytest.MonkeyPatch) -> None:
    """Whoever names an application at DigitalOcean is told at once what belongs to it."""
    environment.setenv("DIGITALOCEAN_CLIENT_ID", "app")
    with pytest.raises(SettingsError) as caught:
        Settings.load()

    assert [
        "DIGITALOCEAN_REDIRECT_URL: is not set, but DIGITALOCEAN_CLIENT_ID is",
        "DIGITALOCEAN_CLIENT_SECRET: is not set, but DIGITALOCEAN_CLIENT_ID is",
    ] == caught.value.problems
