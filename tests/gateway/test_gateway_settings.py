"""What the gateway is told, what it remembers, and how it measures the machine."""

from pathlib import Path
from typing import Any

import pytest

from deploy.gateway.environment import environment
from deploy.gateway.health import Health
from deploy.gateway.paths import Paths
from deploy.gateway.settings import Settings, SettingsError
from deploy.gateway.state import Done, KeyRecord, SessionRecord, Store
from tests.gateway.gateway_hub import GATEWAY, TOKEN

GIVEN = {
    "GATEWAY_ID": GATEWAY,
    "GATEWAY_AUTH_TOKEN": TOKEN,
    "GATEWAY_CP_URL": "wss://example.com/gw/connect",
}


def test_a_droplet_s_settings_are_taken() -> None:
    """The token does not show; the version is the source's wish."""
    settings = Settings.read(GIVEN | {"GATEWAY_VERSION": "1.2.3", "GATEWAY_ROOT": "", "HOME": "/h"})

    assert (GATEWAY, "1.2.3", None, "/h") == (
        settings.gateway,
        settings.version,
        settings.root,
        settings.home,
    )
    assert TOKEN not in repr(settings)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """By name, and without the values."""
    wrong = {
        "GATEWAY_ID": "NOBODY",
        "GATEWAY_AUTH_TOKEN": "short",
        "GATEWAY_CP_URL": "https://example.com",
        "GATEWAY_VERSION": "one two",
        "GATEWAY_ROOT": "relative",
        "GATEWAY_STATE": "relative",
        "GATEWAY_MULTIPLEXER": "screen",
    }
    with pytest.raises(SettingsError) as error:
        Settings.read(wrong)
    _, *lines = str(error.value).splitlines()

    assert list(wrong) == [line.split(":")[0].strip() for line in lines]
    assert not any(value in str(error.value) for value in ("NOBODY", "short", "one two"))


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("ws://localhost:8787/gw/connect", True),
        ("ws://127.0.0.1:8787/gw/connect", True),
        ("ws://[::1]:8787/gw/connect", True),
        ("ws://app.localhost/gw/connect", True),
        ("ws://example.com/gw/connect", False),
        ("ws://127.0.0.1.example.com/gw/connect", False),
        ("wss://user@example.com/", False),
        ("wss://", False),
        ("wss://example.com:port/", False),
    ],
)
def test_the_token_travels_encrypted_or_not_at_all(url: str, fits: bool) -> None:  # noqa: FBT001 - a case
    """Unencrypted only to this machine."""
    given = GIVEN | {"GATEWAY_CP_URL": url}
    if fits:
        assert url == Settings.read(given).url
    else:
        with pytest.raises(SettingsError, match="GATEWAY_CP_URL"):
            Settings.read(given)


def test_programs_get_an_environment_of_their_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the root, and with nothing of the gateway's but which machine it is."""
    monkeypatch.setenv("GATEWAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("SOMETHING", "else")
    settings = Settings.read(GIVEN | {"GATEWAY_ROOT": str(root)})
    found = environment(settings, Paths(root))

    assert {"GATEWAY_ROOT", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"} >= (
        found.keys() - {"LC_ALL", "LC_CTYPE", "TZ"}
    )
    assert str(root / "root") == found["HOME"]
    assert found["PATH"].startswith(f"{root}/usr/local/bin:")


def test_the_state_is_found_again(tmp_path: Path) -> None:
    """All of it, readable by its owner only."""
    store = Store(tmp_path / "deep" / "state.json")
    store.state.sessions["s"] = SessionRecord("t", "shell", "/root", 7)
    store.state.keys["k"] = KeyRecord("ssh-x", "l", None)
    store.state.done["c"] = Done("d", {"type": "ack"}, 1.5)
    store.state.updated_from = "1.0.0"
    store.state.unsaid = ["{}"]
    store.save()

    assert store.state == Store(tmp_path / "deep" / "state.json").state
    assert 0o600 == (tmp_path / "deep" / "state.json").stat().st_mode & 0o777


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sessions": {"s": {"color": 1}}}'])
def test_a_state_that_is_unreadable_begins_anew(tmp_path: Path, text: str) -> None:
    """The control plane asks for everything again; the old file is kept for whoever wonders."""
    (tmp_path / "state.json").write_text(text)
    store = Store(tmp_path / "state.json")

    assert {} == store.state.sessions
    assert text == (tmp_path / "state.unreadable").read_text()


def test_health_is_what_the_kernel_says(tmp_path: Path) -> None:
    """The processor's load is that since the last look, without the time that it waited."""
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\n")
    (tmp_path / "uptime").write_text("12345.67 9999.00\n")
    health = Health(tmp_path, tmp_path)
    told: list[dict[str, Any]] = []
    for line in ("100 0 100 700 100 0 0 0 50 0", "125 0 125 800 150 0 0 0 60 0"):
        (tmp_path / "stat").write_text(f"cpu  {line}\ncpu0 1 2\n")
        told.append(health.measure())

    assert [20.0, 25.0] == [each["cpu_percent"] for each in told]
    assert (409_600, 1_024_000) == (told[0]["memory_used_bytes"], told[0]["memory_total_bytes"])
    assert 12_345.67 == told[0]["uptime_seconds"]
