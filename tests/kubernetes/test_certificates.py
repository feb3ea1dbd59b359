"""The operators' port's certificate and this machine's kubeconfig."""

import asyncio
import json
import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from api.kubernetes.certificates import Authority
from api.kubernetes.credentials import directory, prepare
from crds.access import AccessTokens
from crds.kubeconfig import token_of
from crds.secrets import Secrets
from tests.kubernetes.doors import Door

pytestmark = pytest.mark.anyio


async def greeting(files_of: Path, name: str) -> bytes:
    """What a client that trusts only the authority reads from a server of this name."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(files_of / "tls.crt", files_of / "tls.key")
    client_side = ssl.create_default_context(cafile=str(files_of / "ca.crt"))

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    async with server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_side, server_hostname=name
        )
        text = await reader.read()
        writer.close()
    return text


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_clients_that_trust_the_authority_trust_the_port(
    door: Door, tmp_path: Path, name: str
) -> None:
    """The certificate holds for this machine's names, and is issued by the authority."""
    await prepare(door.service.api, tmp_path, keep=True)

    assert await greeting(tmp_path, name) == b"hello"


async def test_other_names_are_refused(door: Door, tmp_path: Path) -> None:
    """The certificate is good for no name that it does not hold."""
    await prepare(door.service.api, tmp_path, keep=True)

    with pytest.raises(ssl.SSLCertVerificationError):
        await greeting(tmp_path, "example.com")


async def test_replicas_share_one_authority(door: Door) -> None:
    """Whoever is first makes it; its key is in the database only encrypted."""
    api = door.service.api
    now = api.store.clock.now()
    first, second = [await Authority.load(Secrets(api.store, api.cipher), now) for _ in range(2)]
    rows = await api.store.database.fetch("SELECT ciphertext FROM secrets")

    assert first.pem == second.pem
    assert all(b"PRIVATE KEY" not in bytes(row["ciphertext"]) for row in rows)


async def test_the_kubeconfig_is_private_and_keeps_its_token(door: Door, tmp_path: Path) -> None:
    """Restarting does not pile up tokens; a token that was revoked is replaced."""
    api, path = door.service.api, tmp_path / "kubeconfig"
    tokens = AccessTokens(api.store)
    await prepare(api, tmp_path, keep=True)
    first = token_of(path.read_text())
    await prepare(api, tmp_path, keep=True)
    second = token_of(path.read_text())
    known = await tokens.verify(second or "")
    assert known is not None
    await tokens.revoke(known.id)
    await prepare(api, tmp_path, keep=True)
    third = token_of(path.read_text())

    assert first == second != third
    assert known.expires_at - api.store.clock.now() > timedelta(days=364)
    assert json.loads(path.read_text())["clusters"][0]["cluster"]["server"].startswith("https://")
    assert {0o600} == {
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("kubeconfig", "tls.key")
    }


def test_without_state_nothing_is_left(tmp_path: Path) -> None:
    """Files that nobody asked to keep are gone at the end."""
    with directory(None) as (place, keep):
        inside = place.exists()
    with directory(tmp_path / "state") as (kept, stays):
        pass

    assert (True, False, False) == (inside, keep, place.exists())
    assert (True, True) == (stays, kept.exists())
