"""The table of everything that can be asked: routes and the OpenAPI document come from it."""

from __future__ import annotations

from typing import Final

from api import models
from api.gateways.operations import GATEWAY_OPERATIONS
from api.grants import models as grant_models
from api.grants import routes as grants
from api.operation import Operation
from api.routes import auth, health, hub, machines, routing, session, vm
from api.silo import models as silo_models
from api.silo import routes as silo
from api.vps.operations import VPS_OPERATIONS

AUTH_PROBLEMS = (401, 403, 409, 429)
WISH_PROBLEMS = (400, 403, 404, 409)

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "POST",
        "/api/auth/register",
        auth.register,
        body=models.Register,
        answers={201: models.Session},
        problems=AUTH_PROBLEMS,
    ),
    Operation(
        "POST",
        "/api/auth/login",
        auth.login,
        body=models.Login,
        answers={200: models.Session},
        problems=AUTH_PROBLEMS,
    ),
    Operation(
        "POST",
        "/api/auth/refresh",
        auth.refresh,
        body=models.Refresh,
        answers={200: models.Session},
        problems=AUTH_PROBLEMS,
    ),
    Operation(
        "POST",
        "/api/auth/logout",
        auth.logout,
        "user",
        body=models.Logout,
        body_optional=True,
        answers={204: None},
        problems=AUTH_PROBLEMS,
    ),
    Operation(
        "POST",
        "/api/vm/start",
        vm.start,
        "user",
        body=models.Start,
        body_optional=True,
        answers={202: models.VmWish},
        problems=WISH_PROBLEMS,
    ),
    Operation("GET", "/api/vm/status", vm.status, "user", answers={200: models.VmStatus}),
    Operation(
        "DELETE",
        "/api/vm/stop",
        vm.stop,
        "user",
        answers={202: models.VmWish},
        problems=WISH_PROBLEMS,
    ),
    Operation(
        "DELETE",
        "/api/vm",
        vm.delete,
        "user",
        answers={202: models.VmWish},
        problems=WISH_PROBLEMS,
    ),
    Operation(
        "PUT",
        "/api/vm/subdomain",
        vm.rename,
        "user",
        body=models.Rename,
        answers={202: models.VmWish},
        problems=WISH_PROBLEMS,
    ),
    Operation(
        "GET", "/api/machines", machines.list_machines, "user", answers={200: models.MachineList}
    ),
    Operation(
        "GET",
        "/api/machines/{id}",
        machines.get_machine,
        "user",
        answers={200: models.MachineView},
        problems=(404,),
    ),
    Operation(
        "GET",
        "/api/routing/{subdomain}",
        routing.get_routing,
        "edge",
        answers={200: models.Routing},
        problems=(404,),
    ),
    Operation(
        "DELETE",
        "/api/routing/{subdomain}",
        routing.release,
        "user",
        answers={204: None},
        problems=(403, 404, 409),
    ),
    Operation(
        "POST",
        "/hub/api/machines/{id}/heartbeat",
        hub.heartbeat,
        "machine",
        body=models.Heartbeat,
        answers={200: models.HeartbeatAnswer},
        problems=(404,),
    ),
    Operation(
        "POST",
        "/start-silo",
        silo.start_silo,
        "agent",
        body=silo_models.StartSilo,
        answers={202: silo_models.SiloWish},
        problems=(400, 404, 409),
    ),
    Operation(
        "POST",
        "/stop-silo",
        silo.stop_silo,
        "agent",
        body=silo_models.NamedSilo,
        answers={202: silo_models.SiloWish},
        problems=(400, 404, 409),
    ),
    Operation(
        "POST",
        "/rotate-keys",
        silo.rotate_keys,
        "agent",
        body=silo_models.NamedSilo,
        answers={202: silo_models.SiloWish},
        problems=(400, 404, 409),
    ),
    Operation(
        "GET",
        "/silo-status",
        silo.silo_status,
        "agent",
        query=silo_models.NamedSilo,
        answers={200: silo_models.SiloStatus},
        problems=(404, 409, 422),
    ),
    Operation(
        "GET",
        "/app-context",
        silo.app_context,
        "agent",
        query=silo_models.NamedSilo,
        answers={200: silo_models.AppContext},
        problems=(404, 409, 422),
    ),
    Operation(
        "POST",
        "/auth/session",
        session.open_session,
        "agent",
        answers={204: None, 303: None},
        problems=(400, 413, 422, 429),
    ),
    Operation("GET", "/auth/session", session.sign_in_page, answers={200: None}),
    Operation(
        "DELETE",
        "/auth/session",
        session.close_session,
        answers={204: None},
        problems=(403,),
    ),
    Operation(
        "GET",
        "/auth/do",
        grants.begin_grant,
        "browser",
        answers={302: None},
        problems=(409, 501),
    ),
    Operation(
        "GET",
        "/auth/do/callback",
        grants.end_grant,
        query=grant_models.Brought,
        answers={303: None},
        problems=(400, 403, 409, 422, 501),
    ),
    Operation(
        "GET",
        "/auth/do/connection",
        grants.get_connection,
        "browser",
        answers={200: grant_models.Connection},
    ),
    Operation(
        "POST",
        "/auth/do/disconnect",
        grants.disconnect,
        "browser",
        answers={202: grant_models.Connection, 303: None},
        problems=(400, 409),
    ),
    *VPS_OPERATIONS,
    *GATEWAY_OPERATIONS,
    Operation("GET", "/health", health.health, answers={200: models.Health}),
    Operation("GET", "/ready", health.ready, answers={200: models.Ready, 503: models.Ready}),
    Operation("GET", "/metrics", health.metrics, answers={200: None}, problems=(401,)),
)
