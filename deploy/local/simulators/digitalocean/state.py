"""What DigitalOcean remembers."""

from dataclasses import dataclass, field
from typing import Any

TOKEN_SECONDS = 30 * 24 * 3600
"""How long an access token lasts."""
CODE_SECONDS = 600
"""How long an authorisation code lasts."""
MOST_USER_DATA = 64 * 1024
DEFAULT_EMAIL = "sammy@example.com"


class DigitalOceanError(Exception):
    """A refusal, in the shape of the API.

    Attributes:
        status: HTTP status.
        id: the coarse name that DigitalOcean gives it.
    """

    def __init__(self, status: int, id_: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.id = id_

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the answer's body."""
        return {"id": self.id, "message": str(self), "request_id": request_id}


class OAuthError(Exception):
    """A refusal of the authorisation server (RFC 6749, 5.2).

    Attributes:
        status: HTTP status.
        code: the error's name.
    """

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code

    def body(self) -> dict[str, str]:
        """Return the answer's body."""
        return {"error": self.code, "error_description": str(self)}


def refused(message: str) -> DigitalOceanError:
    """Return a 422."""
    return DigitalOceanError(422, "unprocessable_entity", message)


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """An application that is registered; codes go to no other address than its own."""

    client_id: str = "sim-digitalocean-client"
    client_secret: str = "sim-digitalocean-secret"  # noqa: S105 - opens nothing but the simulator
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:8080/auth/do/callback",)
    name: str = "Invoker"


@dataclass(slots=True)
class Key:
    """An SSH key of a team; droplets can be made with it from `known_at` on."""

    id: int
    name: str
    public_key: str
    fingerprint: str
    known_at: float


@dataclass(slots=True)
class Team:
    """Whose droplets they are; one person is one team here."""

    uuid: str
    email: str
    user_uuid: str
    droplet_limit: int = 10
    status: str = "active"
    keys: dict[int, Key] = field(default_factory=dict)


@dataclass(slots=True)
class Action:
    """Something that is done to a droplet."""

    id: int
    team: str
    droplet: int
    type: str
    region: str
    started_at: float
    status: str = "in-progress"
    completed_at: float | None = None


@dataclass(slots=True)
class Droplet:
    """A droplet; `addressed` once it has its addresses, `listed_at` when its tags show."""

    id: int
    team: str
    name: str
    region: str
    size: str
    image: str
    tags: list[str]
    user_data: str
    created_at: float
    listed_at: float
    number: int
    ipv6: bool = False
    status: str = "new"
    addressed: bool = False
    key_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Grant:
    """What one person let one application do; `refresh` is good for one use."""

    id: str
    team: str
    scope: str
    client_id: str
    access: str
    refresh: str
    expires_at: float


@dataclass(slots=True)
class Code:
    """An authorisation code, good for one use; by whoever knows what its challenge is made of."""

    code: str
    team: str
    scope: str
    client_id: str
    redirect_uri: str
    expires_at: float
    challenge: str = ""


@dataclass(slots=True)
class DropletTimings:
    """How long things take, in seconds; the defaults suit a person who is watching."""

    api_seconds: float = 0
    address_seconds: float = 1
    create_seconds: float = 3
    power_seconds: float = 1
    shutdown_seconds: float = 1.5
    reboot_seconds: float = 2
    destroy_seconds: float = 1
    tag_seconds: float = 0
    key_seconds: float = 0

    @classmethod
    def instant(cls) -> "DropletTimings":
        """Return timings under which every transition ends at the loop's next turns."""
        return cls(
            address_seconds=0,
            create_seconds=0,
            power_seconds=0,
            shutdown_seconds=0,
            reboot_seconds=0,
            destroy_seconds=0,
        )

    @classmethod
    def real(cls) -> "DropletTimings":
        """Return timings of the size that the real ones have."""
        return cls(
            address_seconds=15,
            create_seconds=45,
            power_seconds=8,
            shutdown_seconds=15,
            reboot_seconds=20,
            destroy_seconds=10,
            tag_seconds=2,
            key_seconds=3,
        )
