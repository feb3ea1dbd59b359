"""What the controller tells a dev environment's services is what stands for them takes."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx
import psycopg
import pytest

from controller.devenv.keys import dashboard_password, make_keys
from controller.devenv.rendering import render
from crds.connection import Keys
from crds.devenv import SERVICES, DevEnvSpec, Service
from deploy.local.services import program
from deploy.local.services.cluster import Cluster, set_password
from tests.support.services import ROLES, free_port, running, volume

SPEC = DevEnvSpec(client="acme", app="erp")


class Environment(NamedTuple):
    """A dev environment of six processes."""

    keys: Keys
    ports: dict[Service, int]

    def get(self, service: Service, path: str, **headers: str) -> httpx.Response:
        """Ask a service, by a name that is not the machine's address."""
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        return httpx.get(url, headers={"Host": "x.test", **headers}, trust_env=False)


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """Every service, started in order with what it is told."""
    keys = make_keys(SPEC, datetime.now(UTC), os.urandom)
    ports = {service: free_port() for service in SERVICES}
    with ExitStack() as stack:
        disks = {service: stack.enter_context(volume()) for service in SERVICES}
        for service in SERVICES:
            name = program(SPEC.image_of(service))
            assert name is not None
            stack.enter_context(running(name, _told(service, keys, ports, disks[service])))
            if service == "postgres":
                _let_services_in(disks[service], ports[service], keys)
        yield Environment(keys, ports)


def _told(service: Service, keys: Keys, ports: dict[Service, int], disk: Path) -> dict[str, str]:
    """A service's variables as the machine's process gets them."""
    rendered = render(SPEC, service, keys, public_url=lambda app: f"http://{app}.fly.test")
    names = {SPEC.app_of(each): port for each, port in ports.items()}

    def here(match: re.Match[str]) -> str:
        return f"127.0.0.1:{names[match[1]]}"

    variables = {
        key: re.sub(r"(devenv-[a-z-]+)\.flycast(:\d+)?", here, text)
        for key, text in {**rendered.env, **rendered.secrets}.items()
    }
    return variables | {"PORT": str(ports[service]), "INVOKER_DATA_DIR": str(disk)}


def _let_services_in(disk: Path, port: int, keys: Keys) -> None:
    """Give the roles of services their password, as the controller does."""
    address = Cluster(disk, port).url()
    with psycopg.connect(address, autocommit=True) as connection:
        for role in ROLES:
            set_password(connection, role, keys.db_password)


@pytest.mark.slow
@pytest.mark.parametrize("service", [service for service in SERVICES if service != "postgres"])
def test_probes(environment: Environment, service: Service) -> None:
    """The gateway's health route of every service answers the probe key, and nobody else.

    Slow: six processes start, once for this module.
    """
    path = f"/invoker/health/{service}"
    probed = environment.get("kong", path, apikey=environment.keys.probe_key)
    public = environment.get("kong", path, apikey=environment.keys.anon_key)

    assert [200, 403] == [probed.status_code, public.status_code]


@pytest.mark.slow
def test_checks(environment: Environment) -> None:
    """Every HTTP check that the provider is told passes.

    Slow: six processes start, once for this module.
    """
    found = {}
    for service in SERVICES:
        told = render(SPEC, service, environment.keys, public_url=lambda app: f"http://{app}")
        if told.check == "http":
            found[service] = environment.get(service, told.check_path).status_code

    assert dict.fromkeys(("postgrest", "gotrue", "storage", "studio"), 200) == found


@pytest.mark.slow
def test_product(environment: Environment) -> None:
    """Through the gateway users sign up, tables and buckets answer, and Studio shows the page.

    Slow: six processes start, once for this module.
    """
    gateway = f"http://127.0.0.1:{environment.ports['kong']}"
    keys = environment.keys
    public = {"apikey": keys.anon_key, "Authorization": f"Bearer {keys.anon_key}"}
    service = {"apikey": keys.service_role_key, "Authorization": f"Bearer {keys.service_role_key}"}
    with httpx.Client(base_url=gateway, trust_env=False) as client:
        body = {"email": "a@example.com", "password": "correct horse"}
        session = client.post("/auth/v1/signup", headers=public, json=body).json()
        statuses = [
            client.get("/rest/v1/", headers=public).status_code,
            client.get("/rest/v1/").status_code,
            client.get("/storage/v1/bucket", headers=service).status_code,
            client.get(
                "/auth/v1/user",
                headers=public | {"Authorization": f"Bearer {session['access_token']}"},
            ).status_code,
        ]
    studio = httpx.get(
        f"http://127.0.0.1:{environment.ports['studio']}/",
        auth=("supabase", dashboard_password(keys)),
        trust_env=False,
    )

    assert [200, 401, 200, 200] == statuses
    assert "None yet." in studio.text


@pytest.mark.slow
def test_metrics(environment: Environment) -> None:
    """The gateway counts the probes' requests under a name of their own.

    Slow: six processes start, once for this module.
    """
    environment.get("kong", "/invoker/health/kong", apikey=environment.keys.probe_key)
    told = environment.get("kong", "/metrics", Host="127.0.0.1").text

    assert 'consumer="invoker-probe"' in told
    assert environment.keys.probe_key not in told
