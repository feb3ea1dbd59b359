"""cloud-init: what a droplet does at its first boot, so that its gateway comes up."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import yaml

from controller.vps.tools import GatewayRelease

ENVIRONMENT_FILE: Final = "/etc/invoker/gateway.env"
PROGRAM: Final = "/opt/invoker/gateway.pyz"
UNIT: Final = "invoker-gateway.service"
PACKAGES: Final = ("ca-certificates", "curl", "python3", "tmux")


def user_data(gateway: UUID, token: str, release: GatewayRelease) -> str:
    """The cloud-config of a droplet; the one place where its gateway's token stands.

    Args:
        gateway: The Vps' uid.
        token: What its gateway proves itself with.
        release: What it runs.

    Returns:
        YAML, as cloud-init reads it; a few KiB of the 64 that DigitalOcean takes.
    """
    config = {
        "package_update": True,
        "packages": list(PACKAGES),
        "write_files": [
            _file(ENVIRONMENT_FILE, _environment(gateway, token, release), "0600"),
            _file(f"/etc/systemd/system/{UNIT}", _unit(release), "0644"),
        ],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            # Not waited for: what is not there yet, the unit fetches again and again.
            ["systemctl", "enable", "--now", "--no-block", UNIT],
        ],
    }
    return f"#cloud-config\n{yaml.dump(config, Dumper=_Dumper, sort_keys=False)}"


def _file(path: str, content: str, permissions: str) -> dict[str, Any]:
    return {"path": path, "owner": "root:root", "permissions": permissions, "content": content}


def _environment(gateway: UUID, token: str, release: GatewayRelease) -> str:
    return (
        f"GATEWAY_ID={gateway}\n"
        f"GATEWAY_AUTH_TOKEN={token}\n"
        f"GATEWAY_CP_URL={release.connect_to}\n"
        f"GATEWAY_VERSION={release.version}\n"
    )


def _unit(release: GatewayRelease) -> str:
    """The unit, which fetches its program itself: a failed download is tried again.

    Only the gateway is killed when it ends, not the terminals that it began.
    """
    # systemd takes `%` for the beginning of a word of its own.
    url = f"{release.url}/gateway-{release.version}.pyz".replace("%", "%%")
    fetch = f"curl --fail --silent --show-error --location --max-time 300 -o {PROGRAM}.new '{url}'"
    return (
        "[Unit]\n"
        "Description=Invoker gateway\n"
        "Wants=network-online.target\n"
        "After=network-online.target\n"
        "StartLimitIntervalSec=0\n"
        "\n"
        "[Service]\n"
        f"EnvironmentFile={ENVIRONMENT_FILE}\n"
        "TimeoutStartSec=360\n"
        "ExecStartPre=/bin/mkdir -p /opt/invoker\n"
        f'ExecStartPre=/bin/sh -c "test -s {PROGRAM} || ({fetch} && mv {PROGRAM}.new {PROGRAM})"\n'
        f"ExecStart=/usr/bin/python3 {PROGRAM}\n"
        "Restart=always\n"
        "RestartSec=5\n"
        # The hub said that there is no such gateway any more.
        "RestartPreventExitStatus=44\n"
        "KillMode=process\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as people write them."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)
