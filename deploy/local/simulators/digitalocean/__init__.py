"""DigitalOcean's API for droplets and its authorisation server, over one cloud of any teams."""

from deploy.local.simulators.digitalocean.api import API_HOST, OAUTH_HOST, DigitalOceanAPI
from deploy.local.simulators.digitalocean.cloud import DigitalOceanCloud
from deploy.local.simulators.digitalocean.limits import DropletLimits
from deploy.local.simulators.digitalocean.server import digitalocean_api
from deploy.local.simulators.digitalocean.state import Droplet, DropletTimings, OAuthApp, Team

__all__ = [
    "API_HOST",
    "OAUTH_HOST",
    "DigitalOceanAPI",
    "DigitalOceanCloud",
    "Droplet",
    "DropletLimits",
    "DropletTimings",
    "OAuthApp",
    "Team",
    "digitalocean_api",
]
