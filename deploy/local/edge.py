"""The edge on plain workerd: its configuration, its command and its environment.

The supervisor writes `render_config(settings)` to a file, makes `settings.storage`,
and starts `command(file)` with `environment(settings)` added to the environment.
SIGINT ends it at once: the command is workerd's own binary, not npm's launcher.
SIGTERM has it wait for the WebSockets of gateways and terminals, which do not end by themselves.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from string import Template
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr

WORKER = Path(__file__).parents[2] / "worker"
BUNDLE = WORKER / "dist" / "index.js"
ASSETS = WORKER / "dist" / "terminal"
TEMPLATE = WORKER / "config.capnp"

# npm's names for what Python calls the machine.
_ARCHITECTURES = {"x86_64": "64", "amd64": "64", "aarch64": "arm64", "arm64": "arm64"}


_PROXIED = 'http = (forwardedProtoHeader = "X-Forwarded-Proto")'
_TRUST = "tlsOptions = (trustBrowserCas = true)"
_INTERNET = f'network = (allow = ["public"], {_TRUST})'


class EdgeSettings(BaseModel):
    """Where the edge listens, what it talks to, and what it knows.

    Attributes:
        host: The address to listen on.
        port: The port to listen on.
        domain: The bare domain; users live one label below it.
        scheme: What browsers speak; with https something before the edge ends it, and says so in
            `X-Forwarded-Proto`.
        public_port: The port that browsers see.
        api_url: The API.
        kv_url: The KV simulator's side for workerd's binding, which has no path.
        jwks_url: The public keys of the users' tokens.
        machines_url: The simulator of Fly's proxy, which routes by Host; `None` for Fly itself.
        rate_limit_per_minute: Requests that one client address may make; 0 switches it off.
        storage: Folder for the Durable Objects' files; must exist.
        bundle: What `npm run build` made of the Worker.
        assets: What it made of the terminal's page, a folder.
        edge_token: Lets the edge read whole routing entries from the API.
        edge_signing_key: Private JWK (JSON) with `kid`.
        jwt_secret: Only for projects that sign with HS256.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=1, le=65535)
    domain: str = "localhost"
    scheme: Literal["http", "https"] = "http"
    public_port: str = Field(default="", pattern=r"^[0-9]*$")
    api_url: HttpUrl
    kv_url: HttpUrl
    jwks_url: HttpUrl
    jwt_issuer: str
    jwt_audience: str = "authenticated"
    machines_url: HttpUrl | None
    rate_limit_per_minute: int = Field(default=100, ge=0)
    storage: Path
    bundle: Path = BUNDLE
    assets: Path = ASSETS
    edge_token: SecretStr
    edge_signing_key: SecretStr
    jwt_secret: SecretStr = SecretStr("")


def render_config(settings: EdgeSettings) -> str:
    """The text of a workerd configuration; it holds no secret.

    Raises:
        ValueError: A setting is not printable ASCII.
    """
    values = {
        "listen": f"{settings.host}:{settings.port}",
        "scheme": settings.scheme,
        "public_port": settings.public_port,
        "domain": settings.domain,
        "api_url": str(settings.api_url).rstrip("/"),
        "jwks_url": str(settings.jwks_url),
        "jwt_issuer": settings.jwt_issuer,
        "jwt_audience": settings.jwt_audience,
        "rate_limit": str(settings.rate_limit_per_minute),
        "storage": str(settings.storage.resolve()),
        "bundle": str(settings.bundle.resolve()),
        "assets": str(settings.assets.resolve()),
    }
    texts = {name: _capnp_text(value) for name, value in values.items()}
    services = {
        "api": _external(settings.api_url),
        "kv": _external(settings.kv_url),
        "auth": _external(settings.jwks_url),
        "socket": _PROXIED if settings.scheme == "https" else "http = ()",
        "machines": _external(settings.machines_url) if settings.machines_url else _INTERNET,
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(texts | services)


def environment(settings: EdgeSettings) -> dict[str, str]:
    """The variables that the configuration takes its secrets from."""
    return {
        "EDGE_TOKEN": settings.edge_token.get_secret_value(),
        "EDGE_SIGNING_KEY": settings.edge_signing_key.get_secret_value(),
        "JWT_SECRET": settings.jwt_secret.get_secret_value(),
    }


def command(config: Path) -> list[str]:
    """The command line that serves a rendered configuration."""
    # The import path makes absolute paths in `embed` mean what they say.
    return [str(binary()), "serve", "--import-path=/", str(config)]


def binary() -> Path:
    """The workerd executable that `npm ci` installed for this machine.

    Raises:
        FileNotFoundError: There is none; `npm ci` in `worker/` brings it.
    """
    system = platform.system().lower()
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    package = WORKER / "node_modules" / "@cloudflare" / f"workerd-{system}-{architecture}"
    path = package / "bin" / "workerd"
    if not path.is_file():
        raise FileNotFoundError(f"no workerd at {path}: run `npm ci` in {WORKER}")
    return path


def _external(url: HttpUrl) -> str:
    """A service of workerd's that is a server elsewhere; over https it has to prove its name."""
    host, port = url.host or "", url.port
    address = _capnp_text(f"{host}:{port}")
    if url.scheme == "http":
        return f"external = (address = {address}, http = ())"
    proof = f"{_TRUST}, certificateHost = {_capnp_text(host)}"
    return f"external = (address = {address}, https = (options = (), {proof}))"


def _capnp_text(value: str) -> str:
    """A Cap'n Proto string literal; JSON's escapes for ASCII are among its own."""
    if any(ord(character) < ord(" ") or ord(character) > ord("~") for character in value):
        raise ValueError("the edge's settings must be printable ASCII")
    return json.dumps(value)
