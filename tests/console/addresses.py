"""The console's addresses of one citizen, and what each role is answered there."""

from __future__ import annotations

from crds.workspace import WORKSPACE
from tests.console.seeds import Citizen

ALICE = Citizen("alice")
WORKSPACES = f"/console/workspaces/{ALICE.account}/{WORKSPACE}"
ACCOUNT = f"/console/accounts/-/{ALICE.account}"
MACHINE = f"/console/machines/{ALICE.account}/{WORKSPACE}"
PLATFORM = "/console/platforms/-/platform"

READ = (
    "/console",
    "/console/find?q=alice",
    "/console/accounts",
    "/console/machines?wide=1",
    "/console/platforms",
    "/console/routes",
    "/console/workspaces",
    ACCOUNT,
    MACHINE,
    PLATFORM,
    "/console/routes/-/alice",
    WORKSPACES,
    f"{WORKSPACES}/raw",
)
# What each role is answered when it opens the confirmation of an action.
ACTIONS: dict[str, tuple[int, int]] = {
    f"{WORKSPACES}/do/restart": (200, 200),
    f"{WORKSPACES}/do/wake": (200, 200),
    f"{WORKSPACES}/do/stop": (200, 403),
    f"{WORKSPACES}/do/pause": (200, 403),
    f"{WORKSPACES}/do/delete": (200, 403),
    f"{WORKSPACES}/edit": (200, 403),
    f"{MACHINE}/do/pause": (200, 403),
    f"{ACCOUNT}/do/suspend": (200, 403),
    f"{ACCOUNT}/do/quarantine": (200, 403),
    f"{ACCOUNT}/edit": (200, 403),
    f"{PLATFORM}/do/incident-on": (200, 403),
    # What makes no sense at present is a conflict for those who may.
    f"{WORKSPACES}/do/start": (409, 409),
    f"{WORKSPACES}/do/resume": (409, 409),
    f"{WORKSPACES}/do/force-delete": (409, 403),
    f"{ACCOUNT}/do/activate": (409, 403),
    f"{PLATFORM}/do/delete": (409, 403),
    f"{MACHINE}/do/restart": (409, 403),
    f"{WORKSPACES}/do/nothing": (404, 404),
}
