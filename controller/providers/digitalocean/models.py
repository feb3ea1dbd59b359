"""The parts of DigitalOcean's answers that decisions are made from.

Only the needed fields are kept, and unknown ones are ignored.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


def _empty_list(value: Any) -> Any:
    return [] if value is None else value


def _empty_string(value: Any) -> Any:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_empty_string)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_empty_list)]


class Model(BaseModel):
    """An answer: frozen, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Address(Model):
    """One address of a droplet."""

    ip_address: str
    type: str = "public"


Addresses = Annotated[tuple[Address, ...], BeforeValidator(_empty_list)]


class Droplet(Model):
    """A droplet; `status` is `new`, `active`, `off` or `archive`.

    One that is `new` has no addresses yet, and one that is `active` may lack them still.
    A status that nobody knows is read all the same: it must not hide the rest of a list.
    """

    id: int
    name: str
    status: str
    locked: bool = False
    created_at: datetime
    size: Text = Field("", validation_alias="size_slug")
    region: Text = Field("", validation_alias=AliasPath("region", "slug"))
    image: Text = Field("", validation_alias=AliasPath("image", "slug"))
    tags: Texts = ()
    v4: Addresses = Field((), validation_alias=AliasPath("networks", "v4"))
    v6: Addresses = Field((), validation_alias=AliasPath("networks", "v6"))

    @property
    def public_ipv4(self) -> str | None:
        """The address that the world reaches it under, or None while there is none."""
        return next((a.ip_address for a in self.v4 if a.type == "public"), None)


class CreatedDroplet(Model):
    """What was accepted, and the action that makes it."""

    droplet: Droplet
    actions: tuple[dict[str, Any], ...] = Field((), validation_alias=AliasPath("links", "actions"))

    @property
    def action_id(self) -> int | None:
        """The id of the action that creates it, or None where the answer names none."""
        found = (a.get("id") for a in self.actions if a.get("rel") == "create")
        return next((id_ for id_ in found if isinstance(id_, int)), None)


class Action(Model):
    """What DigitalOcean does to a droplet; `status` is `in-progress`, `completed` or `errored`."""

    id: int
    status: str
    type: str
    started_at: datetime
    completed_at: datetime | None = None
    droplet: int | None = Field(None, validation_alias="resource_id")


class Account(Model):
    """The team that a grant is for; `status` is `active`, `warning` or `locked`."""

    uuid: str
    email: Text = ""
    status: str = "active"
    status_message: Text = ""
    droplet_limit: int = 0
    team: Text = Field("", validation_alias=AliasPath("team", "uuid"))
    team_name: Text = Field("", validation_alias=AliasPath("team", "name"))


class Region(Model):
    """A region, and the sizes that it offers."""

    slug: str
    name: str
    available: bool
    sizes: Texts = ()


class Size(Model):
    """A size: memory in MiB, disk in GiB, prices in US dollars."""

    slug: str
    memory: int
    vcpus: int
    disk: int
    price_monthly: float
    price_hourly: float
    available: bool = True
    regions: Texts = ()


class Image(Model):
    """An image that droplets are made of."""

    id: int
    slug: Text = ""
    distribution: Text = ""
    status: Text = ""
    regions: Texts = ()
    min_disk_size: int | None = None


class SSHKey(Model):
    """A key of the team, which new droplets can be given."""

    id: int
    name: str
    fingerprint: str
    public_key: str


class Identity(Model):
    """Who granted."""

    uuid: Text = ""
    email: Text = ""
    name: Text = ""
    team_uuid: Text = ""
    team_name: Text = ""


class Grant(Model):
    """What OAuth gave: `expires_in` seconds for the access token, one use for the refresh token.

    Neither token shows in a representation.
    """

    access_token: SecretStr
    refresh_token: SecretStr
    expires_in: float
    scope: Text = ""
    info: Identity = Identity()
