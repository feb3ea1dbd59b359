"""What Netlify remembers, and how it shows it."""

from dataclasses import dataclass, field
from typing import Any, Self

from deploy.local.simulators.clock import rfc3339

READABLE = frozenset({"dev", "dev-server"})
MASK = "*" * 16
BUILDS = "builds"


class NetlifyError(Exception):
    """A refusal: HTTP status, Netlify's text, and headers of its own."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class BuildTimings:
    """Seconds that a build spends in each state."""

    enqueued: float = 2
    building: float = 40
    processing: float = 3

    @classmethod
    def instant(cls) -> Self:
        """Return timings under which a build is done when it is triggered."""
        return cls(0, 0, 0)


@dataclass(slots=True)
class Value:
    """One value of a variable."""

    id: str
    value: str
    context: str
    context_parameter: str = ""

    @property
    def where(self) -> tuple[str, str]:
        """What a value is unique for in its variable."""
        return self.context, self.context_parameter

    def view(self, *, secret: bool) -> dict[str, Any]:
        """Return it as the API shows it: a secret's only where it is for local development."""
        hidden = secret and self.context not in READABLE
        more = {"context_parameter": self.context_parameter} if self.context_parameter else {}
        shown = MASK if hidden and self.value else self.value
        return {"id": self.id, "value": shown, "context": self.context, **more}


@dataclass(slots=True)
class Variable:
    """An environment variable of a site, or of the team."""

    key: str
    values: list[Value]
    scopes: list[str]
    is_secret: bool
    updated_at: float

    def view(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "key": self.key,
            "scopes": self.scopes,
            "values": [value.view(secret=self.is_secret) for value in self.values],
            "is_secret": self.is_secret,
            "updated_at": rfc3339(self.updated_at),
        }

    def seen_by(self, context: str, branch: str) -> str | None:
        """Return the value that a deploy sees: the branch's, else the context's, else all's."""
        values = {value.where: value.value for value in self.values}
        for where in (("branch", branch), (context, ""), ("all", "")):
            if where in values:
                return values[where]
        return None


@dataclass(slots=True)
class Site:
    """A site; `stop_builds` is its owner's switch."""

    id: str
    name: str
    created_at: float
    branch: str = "main"
    stop_builds: bool = False

    @property
    def url(self) -> str:
        """Its public address."""
        return f"https://{self.name}.netlify.app"


@dataclass(slots=True)
class Deploy:
    """A build and the deploy in which it ends; times are unix seconds.

    Attributes:
        baked: the variables that the build saw, values in clear: what its files contain.
        error: why it will fail, empty if it will not.
    """

    id: str
    build_id: str
    site_id: str
    branch: str
    context: str
    title: str
    created_at: float
    building_at: float
    processing_at: float
    done_at: float
    error: str = ""
    baked: dict[str, str] = field(default_factory=dict)

    def state(self, now: float) -> str:
        """Return Netlify's word for how far it is."""
        if now < self.building_at:
            return "enqueued"
        if now < self.processing_at:
            return "building"
        if now < self.done_at:
            return "processing"
        return "error" if self.error else "ready"

    def build_view(self, now: float) -> dict[str, Any]:
        """Return the build as the API shows it."""
        done = now >= self.done_at
        return {
            "id": self.build_id,
            "deploy_id": self.id,
            "sha": None,
            "done": done,
            "error": (self.error or None) if done else None,
            "created_at": rfc3339(self.created_at),
        }

    def view(self, site: Site, now: float) -> dict[str, Any]:
        """Return the deploy as the API shows it."""
        state = self.state(now)
        return {
            "id": self.id,
            "site_id": self.site_id,
            "build_id": self.build_id,
            "state": state,
            "name": site.name,
            "ssl_url": site.url,
            "deploy_ssl_url": f"https://{self.id}--{site.name}.netlify.app",
            "error_message": self.error if state == "error" else None,
            "branch": self.branch,
            "context": self.context,
            "title": self.title or None,
            "draft": False,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(min(now, self.done_at)),
            "published_at": rfc3339(self.done_at) if state == "ready" else None,
        }
