"""The files for Fly's own tool say what the machines' configs say, and no secret."""

from __future__ import annotations

import asyncio
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from controller.devenv.wanted import machine_spec
from controller.machine.service_config import service_config
from crds.devenv import PORTS, SERVICES, DevEnv, DevEnvSpec
from crds.meta import ObjectMeta
from crds.store import Store
from deploy.command.fly_toml import documents
from tests.command.invoking import Invoker
from tests.devenv.rendered import SPEC, specs, told


def devenv(spec: DevEnvSpec = SPEC) -> DevEnv:
    """A dev environment that was not made yet."""
    return DevEnv(metadata=ObjectMeta(name="acme-erp", namespace="acme"), spec=spec)


def parsed(spec: DevEnvSpec = SPEC) -> dict[str, dict[str, Any]]:
    """The files, by service."""
    texts = documents(devenv(spec))
    return {service: tomllib.loads(texts[spec.app_of(service)]) for service in spec.services}


@given(spec=specs)
def test_every_file_is_read_back_as_it_was_meant(spec: DevEnvSpec) -> None:
    """Names, image, variables, ports, checks, disk, size and command are those of the machine."""
    for service, found in parsed(spec).items():
        rendered = told(service, spec)  # type: ignore[arg-type]  # the keys are services
        wanted = machine_spec(
            spec,
            service,  # type: ignore[arg-type]  # the same
            rendered,
            account="acme",
            network="network",
            region=spec.region,
            machine="m",
            fingerprint="f",
        )
        assert wanted.service is not None
        config = service_config(wanted, wanted.service)
        (served,) = found["services"]
        (meant,) = config["services"]
        assert (wanted.service.app, wanted.region) == (found["app"], found["primary_region"])
        assert {"image": wanted.image} == found["build"]
        assert rendered.env == found["env"]
        assert config["checks"] == found["checks"]
        assert (meant["ports"], meant["internal_port"]) == (
            served["ports"],
            served["internal_port"],
        )
        assert rendered.command == shlex.split(found.get("processes", {}).get("app", ""))
        assert rendered.files == {
            each["guest_path"]: each["raw_value"] for each in found.get("files", [])
        }
        assert rendered.volume_path == (found.get("mounts") or [{}])[0].get("destination")
        assert [wanted.size.model_dump()] == found["vm"]
        assert config["stop_config"]["signal"] == found["kill_signal"]


def test_the_proxy_starts_and_stops_nothing() -> None:
    """Switches of the proxy stand with the service and not among the program's variables."""
    for found in parsed().values():
        (served,) = found["services"]
        assert ("off", False, 0) == (
            served["auto_stop_machines"],
            served["auto_start_machines"],
            served["min_machines_running"],
        )
        assert not any(name.startswith(("auto_", "min_")) for name in found["env"])


def test_secrets_are_named_and_have_no_values() -> None:
    """Each is a comment with the command that sets it; nothing reads the keys there are."""
    for service, text in zip(SERVICES, documents(devenv()).values(), strict=True):
        names = told(service).secrets
        assert all(f"# fly secrets set {name}=… --app" in text for name in names)
        assert not any(name in tomllib.loads(text)["env"] for name in names)
        assert "eyJ" not in text


def test_private_services_get_no_public_address() -> None:
    """The comments make an app as reachable as its machine's config means it to be."""
    for service, text in zip(SERVICES, documents(devenv()).values(), strict=True):
        assert ("allocate-v4" in text) == (service in ("kong", "studio"))
        assert "fly ips allocate-v6 --private --network" in text


@pytest.fixture
def invoker(database_url: str) -> Invoker:
    """The command on a database with one dev environment."""

    async def written() -> None:
        async with Store.opened(database_url, pool_size=1) as store:
            await store.create(devenv())

    asyncio.run(written())
    return Invoker(DATABASE_URL=database_url)


def test_the_command_prints_all_files(invoker: Invoker) -> None:
    """What it prints are the files, one after the other, and nothing else."""
    printed = invoker("fly-toml", "acme-erp")

    assert printed.exit_code == 0
    assert "\n".join(documents(devenv()).values()) == printed.stdout


def test_the_command_writes_a_file_a_service(invoker: Invoker, tmp_path: Path) -> None:
    """They lie in a directory that is made, each named after its app."""
    place = tmp_path / "new" / "fly"
    written = invoker("fly-toml", "acme-erp", "--directory", str(place))

    assert (written.exit_code, written.stdout) == (0, "")
    assert {f"{SPEC.app_of(service)}.toml" for service in SERVICES} == {
        path.name for path in place.iterdir()
    }
    assert {
        tomllib.loads(path.read_text(encoding="utf-8"))["services"][0]["internal_port"]
        for path in place.iterdir()
    } == set(PORTS.values())


def test_what_cannot_be_done_is_one_line(invoker: Invoker, tmp_path: Path) -> None:
    """An unknown name, and a place where nothing can be written."""
    taken = tmp_path / "file"
    taken.touch()
    unknown = invoker("fly-toml", "nobody")
    refused = invoker("fly-toml", "acme-erp", "--directory", str(taken))

    assert (unknown.exit_code, refused.exit_code) == (1, 1)
    assert "nobody" in unknown.stderr
    assert f"cannot write into {taken}" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
