"""A user who cannot make up their mind."""

import asyncio
import random
import uuid
from typing import Any, Final

import httpx

from tests.chaos.fleet import Fleet, pause

WISHES: Final = ("start", "start", "stop", "rename", "delete")
PATIENCE_SECONDS: Final = 20


class Citizen:
    """A user with wishes.

    Args:
        fleet: Where they are.
        number: Tells them from the others.
        rng: Decides for them.
    """

    def __init__(self, fleet: Fleet, number: int, rng: random.Random) -> None:
        self.name = f"citizen{number}"
        self.password = f"correct horse {uuid.UUID(int=rng.getrandbits(128))}"
        self.refused: list[str] = []
        self.final = ("start", "stop", "delete")[number % 3] if number % 5 else "start"
        self._fleet = fleet
        self._rng = rng
        self._client = httpx.AsyncClient(
            base_url=fleet.url("api"), timeout=PATIENCE_SECONDS, trust_env=False
        )
        self.id = ""
        self.subdomain = ""

    async def register(self) -> None:
        """Sign up."""
        body = {
            "email": f"{self.name}@example.com",
            "password": self.password,
            "first_name": self.name,
        }
        answer = await self._client.post("/api/auth/register", json=body)
        answer.raise_for_status()
        told = answer.json()
        self.id, self.subdomain = told["user"]["id"], told["subdomain"]
        self._client.headers["Authorization"] = f"Bearer {told['access_token']}"

    async def live(self, ended: asyncio.Event) -> None:
        """Wish this and that until the end; what cannot be had just now is forgotten."""
        while not ended.is_set():
            await self._wish(self._rng.choice(WISHES))
            await pause(self._rng, 4, 12)

    async def settle(self) -> None:
        """Make the last wish until it is heard."""
        while not await self._wish(self.final):
            await pause(self._rng, 0.3, 0.7)

    async def status(self) -> dict[str, Any]:
        """What the API says about their machine."""
        answer = await self._client.get("/api/vm/status")
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    async def visit(self, url: str) -> httpx.Response:
        """Open their own address at the edge."""
        host = url.removeprefix("http://")
        # The rate limit counts by address, and all of them come from this one.
        headers = {"Host": host, "CF-Connecting-IP": f"10.0.0.{self._rng.randrange(1, 255)}"}
        return await self._client.get(self._fleet.url("edge") + "/api/identity", headers=headers)

    async def is_content(self) -> str:
        """Empty once the last wish has come true; until then what is not as it should be."""
        told = await self.status()
        wanted = {"start": "running", "stop": "stopped", "delete": "none"}[self.final]
        if told["status"] != wanted:
            return f"{self.name}: {told['status']} instead of {wanted}, retry {told['retry']}"
        if wanted != "running":
            return ""
        answer = await self.visit(told["url"])
        if answer.status_code != httpx.codes.OK or answer.json()["user"] != self.id:
            return f"{self.name}: {told['url']} says {answer.status_code} {answer.text[:200]}"
        return ""

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _wish(self, what: str) -> bool:
        """Tell the API; False when it was not taken."""
        try:
            answer = await self._tell(what)
        except httpx.HTTPError:
            return False
        if answer.status_code == httpx.codes.NOT_FOUND and what == "delete":
            return True
        if answer.is_client_error:
            self.refused.append(f"{what}: {answer.status_code} {answer.text[:200]}")
        # Nothing to stop is as good as stopped, but at the end it has to be there.
        return answer.is_success

    async def _tell(self, what: str) -> httpx.Response:
        if what == "start":
            return await self._client.post("/api/vm/start")
        if what == "stop":
            answer = await self._client.delete("/api/vm/stop")
            if answer.status_code == httpx.codes.NOT_FOUND and self.final == "stop":
                await self._client.post("/api/vm/start")
            return answer
        if what == "delete":
            return await self._client.delete("/api/vm")
        name = f"{self.name}-{self._rng.randrange(3)}"
        return await self._client.put("/api/vm/subdomain", json={"subdomain": name})
