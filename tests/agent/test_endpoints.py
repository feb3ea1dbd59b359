"""What a machine answers."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from deploy.agent.state import Volume
from tests.agent.conftest import MACHINE, MACHINE_TOKEN, OWNER

pytestmark = pytest.mark.anyio

CONTROL_PLANE = {"Authorization": f"Bearer {MACHINE_TOKEN}"}


@pytest.mark.parametrize("path", ["/health", "/api/health"])
async def test_health(agent: httpx.AsyncClient, path: str) -> None:
    """Anybody may ask whether it is healthy."""
    response = await agent.get(path)

    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["version"]) == ("ok", "1.2.3")
    assert body["uptime"] >= 0


async def test_heartbeat(agent: httpx.AsyncClient) -> None:
    """The control plane learns the state, the version and when the owner was last there."""
    body = (await agent.post("/heartbeat", headers=CONTROL_PLANE)).json()

    assert (body["status"], body["version"]) == ("running", "1.2.3")
    assert datetime.fromisoformat(body["last_activity_at"]).tzinfo is not None
    assert body["last_activity_at"].endswith("Z")


async def test_activity(agent: httpx.AsyncClient, owner: dict[str, str], app: Starlette) -> None:
    """A request by the owner is activity; health, heartbeats and rejected callers are not."""
    activity = app.state.machine.activity
    activity._touched -= 3600
    await agent.get("/health")
    await agent.get("/")
    idle = (await agent.post("/heartbeat", headers=CONTROL_PLANE)).json()

    await agent.get("/api/identity", headers=owner)
    busy = (await agent.post("/heartbeat", headers=CONTROL_PLANE)).json()

    assert (idle["status"], busy["status"]) == ("idle", "running")
    assert idle["last_activity_at"] < busy["last_activity_at"]


async def test_lost_volume(agent: httpx.AsyncClient, app: Starlette, tmp_path: Path) -> None:
    """A machine that cannot write to its volume says that it is in error."""
    app.state.machine.volume._path = tmp_path / "gone"
    response = await agent.post("/heartbeat", headers=CONTROL_PLANE)

    assert response.json()["status"] == "error"


async def test_notes_are_kept(
    agent: httpx.AsyncClient, owner: dict[str, str], tmp_path: Path
) -> None:
    """Notes outlive the agent: another one on the same volume reads them and counts its start."""
    response = await agent.put("/api/notes", headers=owner, json={"notes": "hello <b>"})
    assert response.json() == {"notes": "hello <b>", "starts": 1}

    after = Volume(tmp_path)

    assert after.count_start() == 2
    assert after.notes() == "hello <b>"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"notes": 1}', b'{"notes": "a", "b": 1}', b"[1"])
async def test_bad_notes(agent: httpx.AsyncClient, owner: dict[str, str], body: bytes) -> None:
    """Notes that are none are refused with a problem that names the field."""
    response = await agent.put("/api/notes", headers=owner, content=body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


async def test_too_many_notes(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """A body without end is not read to the end."""
    response = await agent.put("/api/notes", headers=owner, content=b"x" * 200_000)

    assert response.status_code == 413


async def test_page_greets_the_owner(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """The page greets by name and shows notes as text, whatever they contain."""
    await agent.put("/api/notes", headers=owner, json={"notes": "<script>$name</script>"})
    page = await agent.get("/", headers=owner)

    assert "Hello, alice@example.com" in page.text
    assert MACHINE in page.text
    assert "&lt;script&gt;$name&lt;/script&gt;" in page.text


async def test_stream(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """As many events come as were asked for."""
    response = await agent.get("/api/stream?count=3&interval=0", headers=owner)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text == "".join(f"id: {n}\ndata: {n}\n\n" for n in (1, 2, 3))


@pytest.mark.parametrize("query", ["count=0", "count=x", "interval=-1", "interval=nan", "a=1"])
async def test_bad_stream(agent: httpx.AsyncClient, owner: dict[str, str], query: str) -> None:
    """A query out of bounds is refused."""
    assert (await agent.get(f"/api/stream?{query}", headers=owner)).status_code == 422


async def test_echo(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """A body comes back as it went."""
    response = await agent.post("/api/echo", headers=owner, content=b"\x00\xff" * 1000)

    assert response.content == b"\x00\xff" * 1000


async def test_unknown_path(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """For the owner what does not exist is 404."""
    assert (await agent.get("/api/tasks", headers=owner)).status_code == 404


async def test_identity(agent: httpx.AsyncClient, owner: dict[str, str]) -> None:
    """The owner sees who they are and which machine this is."""
    body = (await agent.get("/api/identity", headers=owner)).json()

    assert body["user"] == OWNER
    assert body["machine"] == MACHINE
    assert body["subdomain"] in {None, "alice"}
