"""The agent's environment."""

import pytest

from deploy.agent.settings import Settings, SettingsError


def test_complete(environment: dict[str, str]) -> None:
    """What the controller sets is enough; the rest has defaults."""
    settings = Settings.read(environment)

    assert (settings.port, settings.bind, settings.version) == (8080, "127.0.0.1", "1.2.3")


def test_everything_wrong_is_listed() -> None:
    """One message names every variable that is missing or wrong, and repeats no value."""
    environ = {
        "INVOKER_API_URL": "hunter2",
        "INVOKER_MACHINE_TOKEN": "hunter2",
        "INVOKER_EDGE_JWKS": "{hunter2",
        "PORT": "99999",
        "INVOKER_OWNER": "",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.read(environ)

    message = str(caught.value)
    for name in (
        "INVOKER_API_URL",
        "INVOKER_MACHINE_TOKEN",
        "INVOKER_EDGE_JWKS",
        "PORT",
        "INVOKER_OWNER",
        "INVOKER_MACHINE_ID",
        "INVOKER_JWKS_URL",
        "INVOKER_JWT_ISSUER",
    ):
        assert f"\n  {name}: " in message
    assert "hunter2" not in message


def test_token_is_hidden(environment: dict[str, str]) -> None:
    """Printing the settings does not print the machine token."""
    assert environment["INVOKER_MACHINE_TOKEN"] not in repr(Settings.read(environment))
