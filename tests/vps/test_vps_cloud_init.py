"""What a droplet is told at its first boot."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import yaml

from controller.providers.digitalocean.droplets import MOST_USER_DATA
from controller.vps.cloud_init import user_data
from controller.vps.names import installation_tag, uid_of, uid_tag
from controller.vps.tools import GatewayRelease

UID = UUID("0b9d3a52-6a7e-4c51-9a55-2f0c6d1f7a00")
RELEASE = GatewayRelease(
    url="https://releases.example/a%20b", version="1.4.0", connect_to="wss://hub.example/gw/connect"
)


def config() -> dict[str, Any]:
    """A cloud-config as cloud-init reads it."""
    read: dict[str, Any] = yaml.safe_load(user_data(UID, "a-token", RELEASE))
    return read


def file(path: str) -> dict[str, Any]:
    """One of the files that it writes."""
    (found,) = (each for each in config()["write_files"] if each["path"] == path)
    return dict(found)


def test_it_is_a_cloud_config_that_fits() -> None:
    """cloud-init knows it by its first line, and DigitalOcean takes it."""
    data = user_data(UID, "t" * 43, RELEASE)

    assert data.startswith("#cloud-config\n")
    assert len(data.encode()) < MOST_USER_DATA
    assert {"tmux", "python3"} <= {*config()["packages"]}


def test_the_gateways_variables_are_roots_alone() -> None:
    """They stand in the file of which the protocol speaks, one a line."""
    environment = file("/etc/invoker/gateway.env")

    assert "0600" == environment["permissions"]
    assert [
        f"GATEWAY_ID={UID}",
        "GATEWAY_AUTH_TOKEN=a-token",
        "GATEWAY_CP_URL=wss://hub.example/gw/connect",
        "GATEWAY_VERSION=1.4.0",
    ] == environment["content"].splitlines()


def test_the_token_stands_nowhere_else() -> None:
    """Anybody may read a unit, and the log of what cloud-init runs."""
    assert 1 == user_data(UID, "a-token", RELEASE).count("a-token")


def test_the_unit_fetches_the_program_and_keeps_it_running() -> None:
    """A failed download is tried again, and terminals outlive their gateway."""
    lines = file("/etc/systemd/system/invoker-gateway.service")["content"].splitlines()

    assert "Restart=always" in lines
    assert "KillMode=process" in lines
    assert "EnvironmentFile=/etc/invoker/gateway.env" in lines
    fetching = next(line for line in lines if "curl" in line)
    # systemd makes one `%` of two.
    assert "'https://releases.example/a%%20b/gateway-1.4.0.pyz'" in fetching


def test_tags_tell_whose_a_droplet_is() -> None:
    """The tag of an installation and that of a Vps are not taken for each other."""
    assert UID == uid_of([installation_tag("prod"), uid_tag(UID)])
    assert None is uid_of([installation_tag("prod"), "invoker-uid:short", "web"])
