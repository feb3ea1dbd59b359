"""Updates: another released file in this one's place, or everything as it was."""

import hashlib
import sys
from pathlib import Path

import anyio
import pytest

from deploy.gateway.build import build
from deploy.gateway.problems import RefusedError
from deploy.gateway.state import Store
from deploy.gateway.updates import Updates, download
from tests.gateway.gateway_hub import GATEWAY, TOKEN, Hub

pytestmark = pytest.mark.anyio

URL = "https://releases.example/gateway"


class _World:
    def __init__(self, folder: Path, content: bytes) -> None:
        self.program = folder / "gateway.pyz"
        self.program.write_bytes(b"the old one")
        self.store = Store(folder / "state.json")
        self.restarts = 0
        self.content = content
        self.updates = Updates(self.store, self.program, "1.0.0", self._restart, self._fetch)

    def _restart(self) -> None:
        self.restarts += 1

    def _fetch(self, url: str) -> bytes:
        assert url == URL
        return self.content


async def test_a_good_program_takes_the_place(tmp_path: Path) -> None:
    """The old one is kept beside it, and the next start knows what it was."""
    content = build(tmp_path / "out", "2.0.0").read_bytes()
    world = _World(tmp_path, content)
    await world.updates.update("2.0.0", URL, hashlib.sha256(content).hexdigest())

    assert content == world.program.read_bytes()
    assert b"the old one" == (tmp_path / "gateway.pyz.old").read_bytes()
    assert ("1.0.0", 1) == (Store(tmp_path / "state.json").state.updated_from, world.restarts)


@pytest.mark.parametrize(
    ("content", "digest", "code"),
    [
        (b"import sys; print('2.0.0')", "0" * 64, "wrong-sha256"),
        (b"import sys; sys.exit(1)", None, "does-not-start"),
        (b"print('1.9.9')", None, "wrong-version"),
    ],
)
async def test_a_bad_program_changes_nothing(
    tmp_path: Path, content: bytes, digest: str | None, code: str
) -> None:
    """Neither one that is another, nor one that does not start here."""
    world = _World(tmp_path, content)
    with pytest.raises(RefusedError) as refused:
        await world.updates.update("2.0.0", URL, digest or hashlib.sha256(content).hexdigest())

    assert code == refused.value.code
    assert b"the old one" == world.program.read_bytes()
    assert (None, 0) == (world.store.state.updated_from, world.restarts)
    assert {"gateway.pyz"} == _names(tmp_path)


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} - {"state.json"}


async def test_the_version_that_runs_is_not_fetched_again(tmp_path: Path) -> None:
    """A command that comes after its own effect does nothing."""
    world = _World(tmp_path, b"never looked at")
    await world.updates.update("1.0.0", URL, "0" * 64)

    assert 0 == world.restarts


async def test_the_source_is_not_replaced(tmp_path: Path) -> None:
    """Only a release is."""
    updates = Updates(Store(tmp_path / "state.json"), None, "1.0.0", lambda: None)
    with pytest.raises(RefusedError) as refused:
        await updates.update("2.0.0", URL, "0" * 64)

    assert "not-a-release" == refused.value.code


def test_what_cannot_be_had_is_told_without_its_address() -> None:
    """Nobody listens there."""
    with pytest.raises(RefusedError) as refused:
        download("https://127.0.0.1:9/secret")

    assert "not-downloaded" == refused.value.code
    assert "secret" not in refused.value.message


@pytest.mark.slow
async def test_a_program_goes_on_as_another_version(hub: Hub, root: Path, tmp_path: Path) -> None:
    """The process stays, says its new version, and that it was updated; slow: three programs."""
    program = build(tmp_path, "1.0.0").rename(tmp_path / "gateway.pyz")
    new = build(tmp_path, "2.0.0")
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    # In place of the network: what the update would have fetched.
    patched = (
        "import runpy, sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0]);"
        "from deploy.gateway import updates;"
        f"updates.Updates.__init__.__defaults__ = (lambda url: open({str(new)!r}, 'rb').read(),);"
        "from deploy.gateway.__main__ import main; main()"
    )
    environment = {
        "GATEWAY_ID": GATEWAY,
        "GATEWAY_AUTH_TOKEN": TOKEN,
        "GATEWAY_CP_URL": hub.url,
        "GATEWAY_ROOT": str(root),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-I", "-S", "-c", patched, str(program)]
    process = await anyio.open_process(command, env=environment)
    try:
        first = await hub.get("gateway.hello")
        answer = await hub.ask("gateway.update", version="2.0.0", url=URL, sha256=digest)
        second = await hub.get("gateway.hello", 2)
        updated = await hub.get("gateway.updated")
    finally:
        process.terminate()
        await process.wait()
        await process.aclose()

    assert ("1.0.0", "2.0.0") == (first["version"], second["version"])
    assert answer["ok"]
    assert {"type": "gateway.updated", "version": "2.0.0", "previous_version": "1.0.0"} == updated
