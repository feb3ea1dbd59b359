"""`invoker fly-toml`: a dev environment's services as files for Fly's own tool."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.command.frame import CommandError, framed, note, run
from deploy.command.kinds import Namespace, find
from deploy.command.place import Place, State

if TYPE_CHECKING:
    from controller.devenv.rendered import Rendered
    from crds.devenv import DevEnv, Service
    from crds.machine import MachineSpec

NETWORK = "NETWORK"
"""What stands for the private network before there is one."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fly-toml")(fly_toml)


def fly_toml(
    name: Annotated[str, typer.Argument(metavar="DEVENV", help="The dev environment's name.")],
    *,
    directory: Annotated[
        Path | None,
        typer.Option(help="Write a file a service here, <app>.toml, instead of printing them."),
    ] = None,
    namespace: Namespace = None,
    state: State = None,
) -> None:
    """Show a dev environment's services as fly.toml, made from what the machines are made from.

    Secret variables are named, and their values are neither read nor shown.
    """

    async def read() -> dict[str, str]:
        from crds.devenv import DevEnv  # noqa: PLC0415 - loads what few commands need

        async with Place.found(state).store() as store:
            found = await find(store, DevEnv, name, namespace)
        if not isinstance(found, DevEnv):
            raise TypeError(found)
        return documents(found)

    texts = run(read)
    if directory is None:
        typer.echo("\n".join(texts.values()), nl=False)
        return
    with framed():
        _write(directory, texts)


def _write(directory: Path, texts: dict[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for app, text in texts.items():
            path = directory / f"{app}.toml"
            path.write_text(text, encoding="utf-8")
            note(f"wrote {path}")
    except OSError as error:
        raise CommandError(f"cannot write into {directory}: {error.strerror}") from None


def documents(devenv: DevEnv) -> dict[str, str]:
    """A file's text for each of its services, by app, in the order in which they start."""
    # As above: the reconcilers' side of the house takes longer to load than most commands to run.
    from controller.devenv.rendering import render  # noqa: PLC0415 - see above
    from controller.devenv.wanted import machine_spec  # noqa: PLC0415 - see above
    from crds.connection import Keys  # noqa: PLC0415 - see above

    # The names of secret variables do not depend on what is in them.
    keys = Keys("", "", "", "", "", "", made_at=datetime.fromtimestamp(0, UTC))
    texts = {}
    for service in devenv.spec.services:
        rendered = render(
            devenv.spec, service, keys, public_url=lambda app: f"https://{app}.fly.dev"
        )
        spec = machine_spec(
            devenv.spec,
            service,
            rendered,
            account=devenv.metadata.namespace,
            network=devenv.status.network or NETWORK.lower(),
            region=devenv.status.region or devenv.spec.region,
            machine=devenv.metadata.name,
            fingerprint="none",
        )
        texts[devenv.spec.app_of(service)] = _document(devenv, service, rendered, spec)
    return texts


def _document(devenv: DevEnv, service: Service, rendered: Rendered, spec: MachineSpec) -> str:
    import tomli_w  # noqa: PLC0415 - needed only here

    head = [f"{service} of {devenv.metadata.name}", "", *_steps(devenv, service, rendered)]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head)
    return f"{comment}\n{tomli_w.dumps(settings(service, rendered, spec), multiline_strings=True)}"


def _steps(devenv: DevEnv, service: Service, rendered: Rendered) -> list[str]:
    """What fly.toml has no words for, as commands of Fly's own tool."""
    app, network = devenv.spec.app_of(service), devenv.status.network or NETWORK
    org = f" --org {shlex.quote(devenv.spec.fly_org)}" if devenv.spec.fly_org else ""
    public = ["allocate-v4 --shared", "allocate-v6"] if rendered.public else []
    addresses = [*public, f"allocate-v6 --private --network {network}"]
    return [
        f"fly apps create {app}{org} --network {network}",
        *(f"fly ips {each} --app {app}" for each in addresses),
        *(f"fly secrets set {name}=… --app {app}" for name in sorted(rendered.secrets)),
        f"fly deploy --config {app}.toml --ha=false",
    ]


def settings(service: Service, rendered: Rendered, spec: MachineSpec) -> dict[str, Any]:
    """A service's Fly config in the words of fly.toml (flyctl, `internal/appconfig`).

    Args:
        service: Which service.
        rendered: What it is told.
        spec: Its Machine's spec.
    """
    from controller.machine.service_config import service_config  # noqa: PLC0415 - see `documents`

    if spec.service is None:
        raise ValueError(f"{service}: not a service")
    config = service_config(spec, spec.service)
    more: dict[str, Any] = {}
    if spec.service.command:
        more["processes"] = {"app": shlex.join(spec.service.command)}
    if spec.volume is not None:
        more["mounts"] = [
            {
                "source": f"{service}_data",
                "destination": spec.volume.path,
                "initial_size": f"{spec.volume.size_gb}gb",
            }
        ]
    if spec.service.files:
        more["files"] = [
            {"guest_path": path, "raw_value": text} for path, text in spec.service.files.items()
        ]
    if config["metrics"]:
        more["metrics"] = [config["metrics"]]
    return {
        "app": spec.service.app,
        "primary_region": spec.region,
        "kill_signal": config["stop_config"]["signal"],
        "kill_timeout": config["stop_config"]["timeout"],
        "build": {"image": spec.image},
        "env": rendered.env,
        **more,
        "services": [_service(each) for each in config["services"]],
        "checks": config["checks"],
        "restart": [{"policy": "never"}],
        "vm": [spec.size.model_dump()],
    }


def _service(service: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocol": service["protocol"],
        "internal_port": service["internal_port"],
        "auto_stop_machines": service["autostop"],
        "auto_start_machines": service["autostart"],
        "min_machines_running": service["min_machines_running"],
        "ports": service["ports"],
    }
