from controller.providers.digitalocean.client import DigitalOcean
from controller.providers.digitalocean.connection import Connection
from controller.providers.digitalocean.errors import ActionFailed, AlreadyInState, UnknownKey
from controller.providers.digitalocean.models import (
    Account,
    Action,
    CreatedDroplet,
    Droplet,
    Grant,
    Image,
    Region,
    Size,
    SSHKey,
)
from controller.providers.digitalocean.oauth import DigitalOceanOAuth

__all__ = [
    "Account",
    "Action",
    "ActionFailed",
    "AlreadyInState",
    "Connection",
    "CreatedDroplet",
    "DigitalOcean",
    "DigitalOceanOAuth",
    "Droplet",
    "Grant",
    "Image",
    "Region",
    "SSHKey",
    "Size",
    "UnknownKey",
]
