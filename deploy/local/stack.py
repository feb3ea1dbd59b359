"""What the product consists of on one computer: the services and what each is told."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from pydantic import HttpUrl, SecretStr

from deploy.local import edge
from deploy.local.keys import Keys, public_keys
from deploy.local.postgres import BINARIES, EmbeddedPostgres, server_user
from deploy.local.settings import HOST, LocalSettings, SettingsError
from deploy.local.supervisor import Service

ROOT: Final = Path(__file__).parents[2]
SERVER_ERRORS: Final = 500

# The variable by which somebody says that a provider shall be the real one, and what goes with it.
REAL: Final = {
    "fly": "FLY_API_TOKEN",
    "kv": "CLOUDFLARE_API_TOKEN",
    "auth": "SUPABASE_URL",
    "netlify": "NETLIFY_AUTH_TOKEN",
    "digitalocean": "DIGITALOCEAN_CLIENT_ID",
}
BESIDE: Final = {
    "fly": ("FLY_ORG",),
    "kv": ("CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_KV_NAMESPACE_ID"),
    "auth": ("SUPABASE_ANON_KEY",),
    "netlify": (),
    "digitalocean": ("DIGITALOCEAN_CLIENT_SECRET", "DIGITALOCEAN_REDIRECT_URL"),
}
NAMES: Final = {
    "fly": "Fly.io",
    "kv": "Cloudflare Workers KV",
    "auth": "Supabase Auth",
    "netlify": "Netlify",
    "digitalocean": "DigitalOcean",
}

# What the caller may decide; everything else that the parts are told follows from what runs here.
CALLERS: Final = (
    "INVOKER_DOMAIN",
    "INVOKER_EDGE_SCHEME",
    "INVOKER_EDGE_PUBLIC_PORT",
    "INVOKER_API_URL",
    "INVOKER_ENCRYPTION_KEYS",
    "INVOKER_EDGE_TOKEN",
    "INVOKER_INSTALLATION",
    "INVOKER_LOG_FORMAT",
)

_SIMULATED_ORG: Final = "invoker"
# The site of the example in the documentation.
_SIMULATED_SITE: Final = "acme-erp"
_SIMULATED_CLIENT: Final = "invoker-local"
_SIMULATED_ACCOUNT: Final = "00000000000000000000000000000001"
_SIMULATED_NAMESPACE: Final = "00000000000000000000000000000002"


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """Readiness of something that answers HTTP without a server error."""

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(url)).status_code < SERVER_ERRORS
        except httpx.HTTPError:
            return False

    return ready


def accepts(port: int) -> Callable[[], Awaitable[bool]]:
    """Readiness of something that listens on a port of this computer."""

    async def ready() -> bool:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(HOST, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return ready


@dataclass(frozen=True)
class Stack:
    """Builds the services.

    Attributes:
        settings: State and ports.
        keys: The installation's secrets.
        environ: The caller's environment, which decides what is simulated.
    """

    settings: LocalSettings
    keys: Keys
    environ: Mapping[str, str]

    def simulated(self) -> list[str]:
        """The providers that are simulated: those without credentials in the environment."""
        return [part for part, name in REAL.items() if not self.environ.get(name)]

    @property
    def has_database(self) -> bool:
        """Whether the caller brought a database."""
        return bool(self.environ.get("DATABASE_URL"))

    def check(self) -> None:
        """Find out before anything starts that a real provider lacks a setting.

        Raises:
            SettingsError: Naming every variable that is missing.
        """
        lines = [
            f"{name}: is not set, but {REAL[part]} makes {NAMES[part]} the real one"
            for part in REAL.keys() - set(self.simulated())
            for name in BESIDE[part]
            if not self.environ.get(name)
        ]
        if lines:
            raise SettingsError("\n  ".join(["the settings are wrong:", *sorted(lines)]))

    def notes(self) -> list[str]:
        """What somebody with real providers should know."""
        real = [part for part in REAL if part not in self.simulated()]
        lines = [f"{NAMES[part]} is the real one ({REAL[part]})" for part in real]
        if "fly" in real and not self.environ.get("INVOKER_API_URL"):
            lines.append(
                "machines on Fly.io cannot reach this API: "
                "set INVOKER_API_URL to an address of it that they can"
            )
        return lines

    def ports(self) -> list[str]:
        """The parts whose ports this run takes."""
        simulated = self.simulated()
        return [
            *("api", "kubernetes", "controller", "edge"),
            *([] if self.has_database else ["postgres"]),
            *simulated,
            *(["proxy"] if "fly" in simulated else []),
            *([] if "kv" in simulated else ["kv"]),
        ]

    def server(self) -> EmbeddedPostgres:
        """The embedded PostgreSQL."""
        return EmbeddedPostgres(
            self.settings.state / "postgres",
            port=self.settings.ports["postgres"],
            settings={"max_connections": "200", "log_min_messages": "warning"},
        )

    def database(self, server: EmbeddedPostgres) -> Service:
        """PostgreSQL as a supervised service."""

        async def ready() -> bool:
            return server.is_ready()

        return Service(
            name="postgres",
            command=server.command(),
            prepare=server.prepare,
            ready=ready,
            stop_signal=signal.SIGINT,
            user=server_user(),
            reach=[BINARIES, server.data_dir],
            cwd=Path("/"),
        )

    def simulators(self) -> list[Service]:
        """The providers that nobody gave credentials for."""
        keys = self.keys
        special = {
            "fly": [
                f"--proxy-port={self.settings.ports['proxy']}",
                f"--org={_SIMULATED_ORG}",
                f"--token={keys.fly_token}",
            ],
            "kv": [
                f"--account={_SIMULATED_ACCOUNT}",
                f"--namespace={_SIMULATED_NAMESPACE}",
                f"--token={keys.cloudflare_token}",
            ],
            "auth": [f"--anon-key={keys.anon_key}", f"--service-key={keys.service_key}"],
            "netlify": [f"--token={keys.netlify_token}", f"--site={_SIMULATED_SITE}"],
            "digitalocean": [
                f"--client-id={_SIMULATED_CLIENT}",
                f"--client-secret={keys.digitalocean_secret}",
                f"--redirect-uri={self._redirect_url()}",
            ],
        }
        return [
            self._python(
                part,
                "deploy.local.simulators",
                part,
                f"--state={self.settings.state / 'cloud'}",
                f"--port={self.settings.ports[part]}",
                *special[part],
                ready=answers(self.settings.url(part)),
            )
            for part in self.simulated()
        ]

    def bridge(self) -> list[Service]:
        """What lets the edge read a real Workers KV."""
        if "kv" in self.simulated():
            return []
        port = self.settings.ports["kv"]
        ready = answers(self.settings.url("kv"))
        return [self._python("kv", "deploy.local.kv_bridge", f"--port={port}", ready=ready)]

    def api(self, environment: Mapping[str, str]) -> Service:
        """The API, ready when both of its doors are open."""
        ready = answers(f"{self.settings.url('api')}/ready")
        listens = accepts(self.settings.ports["kubernetes"])

        async def both() -> bool:
            return await ready() and await listens()

        return self._python("api", "api", ready=both, environment=environment)

    def controller(self, environment: Mapping[str, str]) -> Service:
        """The controller."""
        url = self.settings.url("controller")
        return self._python(
            "controller", "controller", ready=answers(f"{url}/ready"), environment=environment
        )

    def edge(self, environment: Mapping[str, str]) -> Service:
        """The Worker on workerd."""
        settings, state = self.settings, self.settings.state / "edge"
        (state / "objects").mkdir(parents=True, exist_ok=True)
        issuer = f"{self._supabase_url()}/auth/v1"
        simulated = "fly" in self.simulated()
        options = edge.EdgeSettings(
            port=settings.ports["edge"],
            domain=environment["INVOKER_DOMAIN"],
            scheme=environment["INVOKER_EDGE_SCHEME"],
            public_port=environment["INVOKER_EDGE_PUBLIC_PORT"],
            api_url=HttpUrl(settings.url("api")),
            kv_url=HttpUrl(settings.url("kv")),
            jwks_url=HttpUrl(f"{issuer}/.well-known/jwks.json"),
            jwt_issuer=issuer,
            machines_url=HttpUrl(settings.url("proxy")) if simulated else None,
            storage=state / "objects",
            edge_token=SecretStr(environment["INVOKER_EDGE_TOKEN"]),
            edge_signing_key=SecretStr(self._signing_key()),
            jwt_secret=SecretStr(self.environ.get("SUPABASE_JWT_SECRET") or ""),
        )
        config = state / "config.capnp"
        config.write_text(edge.render_config(options), encoding="utf-8")
        return Service(
            name="edge",
            command=edge.command(config),
            stop_signal=signal.SIGINT,
            environment=edge.environment(options),
            ready=answers(settings.url("edge")),
        )

    def environment(self, database_url: str) -> dict[str, str]:
        """What the parts are told; over the caller's own variables, but for `CALLERS`."""
        settings, keys, simulated = self.settings, self.keys, self.simulated()
        # Who shares an organisation or a namespace must not take others' things for their own.
        shared = not {"fly", "kv", "digitalocean"} <= set(simulated)
        told = {
            "DATABASE_URL": database_url,
            "INVOKER_DOMAIN": "localhost",
            "INVOKER_EDGE_SCHEME": "http",
            "INVOKER_EDGE_PUBLIC_PORT": str(settings.ports["edge"]),
            "INVOKER_API_URL": settings.url("api"),
            "INVOKER_API_PORT": str(settings.ports["api"]),
            "INVOKER_KUBERNETES_PORT": str(settings.ports["kubernetes"]),
            "INVOKER_KUBERNETES_STATE": str(settings.state),
            "INVOKER_CONTROLLER_METRICS_URLS": f"{settings.url('controller')}/metrics",
            "INVOKER_CONTROLLER_PORT": str(settings.ports["controller"]),
            "INVOKER_ENCRYPTION_KEYS": keys.encryption_keys,
            "INVOKER_EDGE_TOKEN": keys.edge_token,
            "INVOKER_EDGE_JWKS": public_keys(self._signing_key()),
            "INVOKER_INSTALLATION": keys.installation if shared else "local",
            "INVOKER_LOG_FORMAT": "text",
        }
        told |= {name: self.environ[name] for name in CALLERS if self.environ.get(name)}
        if "auth" in simulated:
            told |= {
                "SUPABASE_URL": settings.url("auth"),
                "SUPABASE_ANON_KEY": keys.anon_key,
            }
        if "fly" in simulated:
            told |= {
                "FLY_API_TOKEN": keys.fly_token,
                "FLY_API_HOSTNAME": settings.url("fly"),
                "FLY_ORG": _SIMULATED_ORG,
                "FLY_METRICS_URL": f"{settings.url('fly')}/prometheus",
                "INVOKER_MACHINE_GATEWAY": settings.url("proxy"),
            }
        if "netlify" in simulated:
            told |= {
                "NETLIFY_AUTH_TOKEN": keys.netlify_token,
                "NETLIFY_API_URL": f"{settings.url('netlify')}/api/v1",
            }
        if "digitalocean" in simulated:
            told |= {
                "DIGITALOCEAN_CLIENT_ID": _SIMULATED_CLIENT,
                "DIGITALOCEAN_CLIENT_SECRET": keys.digitalocean_secret,
                "DIGITALOCEAN_REDIRECT_URL": self._redirect_url(),
                "DIGITALOCEAN_OAUTH_URL": f"{settings.url('digitalocean')}/v1/oauth",
                "DIGITALOCEAN_API_URL": settings.url("digitalocean"),
            }
        if "kv" in simulated:
            told |= {
                "CLOUDFLARE_API_TOKEN": keys.cloudflare_token,
                "CLOUDFLARE_ACCOUNT_ID": _SIMULATED_ACCOUNT,
                "CLOUDFLARE_KV_NAMESPACE_ID": _SIMULATED_NAMESPACE,
                "CLOUDFLARE_API_URL": f"{settings.url('kv')}/client/v4",
            }
        return told

    def _signing_key(self) -> str:
        return self.environ.get("INVOKER_EDGE_SIGNING_KEY") or self.keys.edge_signing_key

    def _redirect_url(self) -> str:
        """Where a browser comes back to from DigitalOcean."""
        return f"http://localhost:{self.settings.ports['edge']}/auth/do/callback"

    def _supabase_url(self) -> str:
        given = self.environ.get("SUPABASE_URL", "").rstrip("/")
        return given or self.settings.url("auth")

    def _python(
        self,
        name: str,
        module: str,
        *arguments: str,
        ready: Callable[[], Awaitable[bool]],
        environment: Mapping[str, str] | None = None,
    ) -> Service:
        path = os.pathsep.join(filter(None, [str(ROOT), self.environ.get("PYTHONPATH")]))
        return Service(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            environment={"PYTHONUNBUFFERED": "1", "PYTHONPATH": path, **(environment or {})},
            ready=ready,
        )
