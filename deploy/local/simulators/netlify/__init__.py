"""Netlify: one team's sites, their environment variables, and builds that bake them in."""

from deploy.local.simulators.netlify.api import NetlifyAPI, netlify_api
from deploy.local.simulators.netlify.limits import NetlifyLimits
from deploy.local.simulators.netlify.state import BuildTimings, NetlifyError
from deploy.local.simulators.netlify.team import NetlifyTeam

__all__ = [
    "BuildTimings",
    "NetlifyAPI",
    "NetlifyError",
    "NetlifyLimits",
    "NetlifyTeam",
    "netlify_api",
]
