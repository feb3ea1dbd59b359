"""The simulated DigitalOcean behind a socket."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
import uvicorn

from controller.providers import Call, Priority, aiohttp_transport
from controller.providers.digitalocean import Connection, DigitalOcean
from deploy.local.simulators.digitalocean import (
    DigitalOceanCloud,
    DropletTimings,
    digitalocean_api,
)
from deploy.local.simulators.persistence import StateFile

REDIRECT = "http://127.0.0.1:9/back"


@contextmanager
def _serving(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "deploy.local.simulators", "digitalocean"]
    options = ["--state", str(state), "--port", str(port), "--redirect-uri", REDIRECT]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready digitalocean ")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.slow
def test_a_restart_keeps_droplets_and_grants(tmp_path: Path) -> None:
    """A person consents, a droplet is made, and both outlive the process; slow: starts two."""
    app = {"client_id": "sim-digitalocean-client", "redirect_uri": REDIRECT}
    consent = {"response_type": "code", "state": "s", "scope": "read write"}
    agreed = app | consent | {"email": "ada@example.com", "decision": "authorize"}
    order = {
        "name": "vps",
        "region": "ams3",
        "size": "s-1vcpu-1gb",
        "image": "debian-12-x64",
    }
    with _serving(tmp_path) as (_, address):
        back = httpx.post(f"{address}/v1/oauth/authorize", data=agreed).headers["location"]
        form = app | {
            "grant_type": "authorization_code",
            "client_secret": "sim-digitalocean-secret",
            "code": httpx.URL(back).params["code"],
        }
        token = httpx.post(f"{address}/v1/oauth/token", data=form).json()["access_token"]
        head = {"authorization": f"Bearer {token}"}
        httpx.post(f"{address}/v2/droplets", json=order, headers=head).raise_for_status()
    with _serving(tmp_path) as (_, address):
        after = httpx.get(f"{address}/v2/droplets", headers=head).json()["droplets"]

    assert ["vps"] == [droplet["name"] for droplet in after]


@pytest.mark.anyio
async def test_the_product_reaches_it(tmp_path: Path) -> None:
    """Over a socket and the production transport, with one readable date, and saved on disk."""
    cloud = DigitalOceanCloud(timings=DropletTimings.instant())
    saved = StateFile(tmp_path / "state.json", cloud)
    saved.open()
    config = uvicorn.Config(
        digitalocean_api(cloud), "127.0.0.1", 0, log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.on_tick(0)  # the server writes its date in its own loop, which is not run here
    port = server.servers[0].sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    grant = cloud.grant("ada@example.com")
    try:
        async with httpx.AsyncClient() as browser:
            date = (await browser.get(f"{address}/v1/oauth/authorize")).headers["date"]
        async with DigitalOcean(aiohttp_transport(), base_url=address) as client:
            call = Call(Priority.USER)
            account = await client.get_account(Connection("c", grant.access), call=call)
    finally:
        await server.shutdown()
        saved.close()
        await cloud.aclose()
        await asyncio.sleep(0)

    assert "ada@example.com" == account.email
    assert abs((parsedate_to_datetime(date) - datetime.now(tz=UTC)).total_seconds()) < 60
    assert grant.access in saved.path.read_text()
