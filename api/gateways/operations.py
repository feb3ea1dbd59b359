"""What the Worker asks the API about gateways, and tells it of them."""

from __future__ import annotations

from typing import Final

from api.gateways import models, routes
from api.operation import Operation

GATEWAY_OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "POST",
        "/hub/gateways/{gateway}/authentication",
        routes.authenticate_gateway,
        "hub",
        body=models.Shown,
        answers={204: None},
        problems=(401, 404),
    ),
    Operation(
        "POST",
        "/hub/terminals/authorization",
        routes.authorize_terminal,
        "hub",
        body=models.TerminalWish,
        answers={200: models.TerminalGrant},
        problems=(401, 404),
    ),
    Operation(
        "POST",
        "/hub/gateways/{gateway}/observations",
        routes.take_observations,
        "hub",
        body=models.Report,
        answers={204: None},
        problems=(404,),
    ),
)
