"""`supabase/studio`: a page that says what there is, for whoever has the dashboard's password."""

import hmac
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deploy.local.services.serving import serve
from deploy.local.services.settings import Variables

if TYPE_CHECKING:
    import httpx

PROFILE: Final = "/api/profile"
_SECONDS: Final = 5.0
_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Studio: $project</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 40rem; margin: 10vh auto; padding: 0 1rem }
</style>
<h1>$organization / $project</h1>
<p>This stands in for Supabase Studio on this computer.
The API is at <code>$url</code>.</p>
<h2>Tables</h2>
$tables
</html>
""")


@dataclass(frozen=True, slots=True)
class Settings:
    """Studio's own settings, as far as they are heeded."""

    port: int
    user: str
    password: str = field(repr=False)
    url: str
    public_url: str
    key: str = field(repr=False)
    organization: str
    project: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings.

        Raises:
            SettingsError: Something is missing or wrong.
        """
        variables = Variables(environ, "studio")
        url = variables.url("SUPABASE_URL", schemes=("http", "https"))
        settings = cls(
            port=variables.port(),
            user=variables.text("DASHBOARD_USERNAME"),
            password=variables.text("DASHBOARD_PASSWORD"),
            url=url,
            public_url=variables.text("SUPABASE_PUBLIC_URL", default=url or " "),
            key=variables.text("SUPABASE_SERVICE_KEY"),
            organization=variables.text(
                "DEFAULT_ORGANIZATION_NAME", default="Default Organization"
            ),
            project=variables.text("DEFAULT_PROJECT_NAME", default="Default Project"),
        )
        variables.check()
        return settings


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    settings = Settings.read(environ)
    studio = Studio(settings)
    serve(studio.app(), settings.port, close=studio.close)


class Studio:
    """The endpoints.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None

    def app(self) -> Starlette:
        """The ASGI app; all but the profile, which checks ask for, wants the password."""
        return Starlette(
            routes=[
                Route(PROFILE, self.profile),
                Route("/", self._guarded(self.home)),
                Route("/{rest:path}", self._guarded(self.nothing)),
            ]
        )

    async def close(self) -> None:
        """Close the connections to the gateway."""
        if self._client is not None:
            await self._client.aclose()

    async def profile(self, _: Request) -> Response:
        """Say whose it is, as Studio does without an account."""
        return JSONResponse({"id": 1, "organizations": [{"name": self._settings.organization}]})

    async def home(self, _: Request) -> Response:
        """Show which tables there are, by the gateway."""
        tables = await self._tables()
        if tables is None:
            shown = "<p>The gateway does not answer.</p>"
        else:
            items = "".join(f"<li>{escape(table)}</li>" for table in tables)
            shown = f"<ul>{items}</ul>" if items else "<p>None yet.</p>"
        values = {
            "organization": self._settings.organization,
            "project": self._settings.project,
            "url": self._settings.public_url,
        }
        page = _PAGE.substitute({key: escape(value) for key, value in values.items()}, tables=shown)
        return HTMLResponse(page)

    async def nothing(self, _: Request) -> Response:
        """Answer where no page is."""
        return HTMLResponse("<!doctype html><title>Not found</title><p>There is no such page.", 404)

    async def _tables(self) -> list[str] | None:
        """The tables that the service role may use; None when that cannot be found out."""
        import httpx  # noqa: PLC0415 - loaded with the first page, not at the start

        key = self._settings.key
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        client = self._client = self._client or httpx.AsyncClient(timeout=_SECONDS, trust_env=False)
        try:
            answer = await client.get(f"{self._settings.url.rstrip('/')}/rest/v1/", headers=headers)
            document: Any = json.loads(answer.raise_for_status().content)
            return sorted(document["definitions"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    def _guarded(
        self, handle: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self._knows(request.headers.get("authorization", "")):
                return await handle(request)
            challenge = {"WWW-Authenticate": 'Basic realm="Studio", charset="UTF-8"'}
            return Response("Authentication required\n", 401, challenge, media_type="text/plain")

        return answer

    def _knows(self, header: str) -> bool:
        scheme, _, text = header.partition(" ")
        try:
            given = b64decode(text.strip(), validate=True)
        except ValueError:
            return False
        wanted = f"{self._settings.user}:{self._settings.password}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(given, wanted)
