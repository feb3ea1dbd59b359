"""What can be asked about VPSs."""

from __future__ import annotations

from typing import Final

from api.operation import Operation
from api.vps import keys, models, routes, sessions

_WISH: Final = (400, 404, 409)

VPS_OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/vps", routes.list_vps, "browser", answers={200: models.VpsList}),
    Operation(
        "POST",
        "/vps",
        routes.make_vps,
        "browser",
        body=models.MakeVps,
        body_optional=True,
        answers={202: models.VpsView},
        problems=_WISH,
    ),
    Operation(
        "GET",
        "/vps/{vps}",
        routes.get_one_vps,
        "browser",
        answers={200: models.VpsView},
        problems=(404,),
    ),
    Operation(
        "DELETE",
        "/vps/{vps}",
        routes.delete_vps,
        "browser",
        answers={202: models.VpsView},
        problems=_WISH,
    ),
    Operation(
        "POST",
        "/vps/{vps}/power-on",
        routes.power_on_vps,
        "browser",
        answers={202: models.VpsView},
        problems=_WISH,
    ),
    Operation(
        "POST",
        "/vps/{vps}/power-off",
        routes.power_off_vps,
        "browser",
        answers={202: models.VpsView},
        problems=_WISH,
    ),
    Operation(
        "GET",
        "/vps/{vps}/sessions",
        sessions.list_sessions,
        "browser",
        answers={200: models.SessionList},
        problems=(404,),
    ),
    Operation(
        "POST",
        "/vps/{vps}/sessions",
        sessions.make_session,
        "browser",
        body=models.MakeSession,
        body_optional=True,
        answers={202: models.SessionView},
        problems=_WISH,
    ),
    Operation(
        "DELETE",
        "/vps/{vps}/sessions/{session}",
        sessions.delete_session,
        "browser",
        answers={202: models.SessionView},
        problems=_WISH,
    ),
    Operation(
        "GET",
        "/vps/{vps}/sessions/{session}/snapshot",
        sessions.get_snapshot,
        "browser",
        answers={200: models.Snapshot},
        problems=(404, 409, 504),
    ),
    Operation(
        "GET",
        "/vps/{vps}/keys",
        keys.list_keys,
        "browser",
        answers={200: models.KeyList},
        problems=(404,),
    ),
    Operation(
        "POST",
        "/vps/{vps}/keys",
        keys.make_key,
        "browser",
        body=models.MakeKey,
        answers={202: models.KeyView},
        problems=_WISH,
    ),
    Operation(
        "DELETE",
        "/vps/{vps}/keys/{key}",
        keys.delete_key,
        "browser",
        answers={202: models.KeyView},
        problems=_WISH,
    ),
)
