"""Settings and secrets of the local installation."""

import json
import re
import socket
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.local.__main__ import claimed
from deploy.local.keys import Keys, public_keys
from deploy.local.settings import PORTS, LocalSettings, SettingsError
from deploy.local.stack import Stack


def test_defaults() -> None:
    """Without a word it takes the documented ports."""
    settings = LocalSettings.read([], {})

    assert (settings.url("api"), settings.url("edge")) == (
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8787",
    )
    assert settings.state == Path(".invoker").absolute()


def test_flags_beat_the_environment() -> None:
    """A flag wins over a variable, a variable over the default."""
    environ = {"INVOKER_API_PORT": "9001", "INVOKER_EDGE_PORT": "9002"}
    settings = LocalSettings.read(["--api-port", "9000"], environ)

    assert (settings.ports["api"], settings.ports["edge"]) == (9000, 9002)


def test_everything_wrong_is_listed() -> None:
    """One message names every setting that is wrong."""
    environ = {"INVOKER_API_PORT": "http", "INVOKER_KV_PORT": "70000", "INVOKER_FLY_PORT": "8787"}
    with pytest.raises(SettingsError) as caught:
        LocalSettings.read([], environ)

    for name in ("INVOKER_API_PORT", "INVOKER_KV_PORT", "INVOKER_FLY_PORT"):
        assert name in str(caught.value)


def test_busy_port_names_its_setting() -> None:
    """A port that is taken is reported with the setting that moves it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = LocalSettings.read(["--api-port", str(port)], {})
        with pytest.raises(SettingsError, match=f"port {port} .*INVOKER_API_PORT"):
            settings.check_ports(["api"])


def test_second_run_is_refused(tmp_path: Path) -> None:
    """Two runs cannot share their state; the second is told so."""
    with claimed(tmp_path), pytest.raises(SettingsError, match="already runs"), claimed(tmp_path):
        pass


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Secrets stay the same between runs and are for their owner alone."""
    first, second = Keys(tmp_path / "secrets"), Keys(tmp_path / "secrets")

    assert first.encryption_keys == second.encryption_keys
    assert Fernet(first.encryption_keys.encode()).encrypt(b"")
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "secrets").iterdir()} == {0o600}


def test_edge_keys_match(tmp_path: Path) -> None:
    """The public set is the signing key without its private half."""
    keys = Keys(tmp_path)
    private = json.loads(keys.edge_signing_key)
    (public,) = json.loads(public_keys(keys.edge_signing_key))["keys"]

    assert "d" not in public
    assert public == {name: value for name, value in private.items() if name != "d"}


def test_real_providers(tmp_path: Path) -> None:
    """A provider with credentials in the environment is not simulated, nor its settings touched."""
    environ = {"FLY_API_TOKEN": "real", "DATABASE_URL": "postgresql://elsewhere/db"}
    stack = Stack(LocalSettings.read([], {}), Keys(tmp_path), environ)
    told = stack.environment("postgresql://elsewhere/db")

    assert stack.simulated() == ["kv", "auth", "netlify", "digitalocean"]
    assert set(stack.ports()) == set(PORTS) - {"postgres", "fly", "proxy"}
    assert not {"FLY_API_TOKEN", "FLY_ORG", "INVOKER_MACHINE_GATEWAY"} & set(told)


def test_missing_settings_of_real_providers(tmp_path: Path) -> None:
    """What a real provider needs besides its token is asked for before anything starts."""
    environ = {"FLY_API_TOKEN": "real", "SUPABASE_URL": "https://p.example", "FLY_ORG": "us"}
    stack = Stack(LocalSettings.read([], {}), Keys(tmp_path), environ)
    with pytest.raises(SettingsError, match="SUPABASE_ANON_KEY") as caught:
        stack.check()

    assert "FLY_ORG" not in str(caught.value)


@pytest.mark.parametrize("real", ["FLY_API_TOKEN", "DIGITALOCEAN_CLIENT_ID"])
def test_marks_differ_where_others_look(tmp_path: Path, real: str) -> None:
    """Two installations on one real provider do not take each other's things for their own."""
    environ = {real: "real"}
    names = {
        Stack(LocalSettings.read([], {}), Keys(tmp_path / name), environ).environment("")[
            "INVOKER_INSTALLATION"
        ]
        for name in ("a", "b")
    }

    assert 2 == len(names - {"local"})
    assert all(re.fullmatch("[a-z0-9]{1,12}", name) for name in names)


def test_callers_variables_win(tmp_path: Path) -> None:
    """What the caller has decided is not generated, for the parts and for the edge alike."""
    signing_key = Keys(tmp_path / "other").edge_signing_key
    environ = {
        "INVOKER_DOMAIN": "example.test",
        "INVOKER_ENCRYPTION_KEYS": "theirs",
        "INVOKER_EDGE_SIGNING_KEY": signing_key,
        "FLY_API_HOSTNAME": "https://not-for-a-simulator.example",
    }
    stack = Stack(LocalSettings.read([], {}), Keys(tmp_path / "own"), environ)
    told = stack.environment("")

    assert ("example.test", "theirs") == (told["INVOKER_DOMAIN"], told["INVOKER_ENCRYPTION_KEYS"])
    assert public_keys(signing_key) == told["INVOKER_EDGE_JWKS"]
    assert stack.settings.url("fly") == told["FLY_API_HOSTNAME"]


def test_commands_find_the_ports_of_the_stack_that_runs(tmp_path: Path) -> None:
    """Moved ports are known to who works beside the stack; without a stack that is said."""
    moved = LocalSettings.read(["--state", str(tmp_path), "--fly-port", "4999"], {})
    with pytest.raises(SettingsError, match="no stack was started there"):
        LocalSettings.saved(tmp_path)
    moved.save()

    assert moved == LocalSettings.saved(tmp_path)
