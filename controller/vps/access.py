"""Access: the tokens with which a droplet's user lets us act on their account."""

from __future__ import annotations

from typing import NoReturn

from controller.engine import Blocked, RetryLater
from controller.providers import Unauthorized
from controller.providers.digitalocean import Connection
from controller.vps.tools import Access, VpsScope, VpsTools
from crds.cloud_connection import DIGITALOCEAN, GRANTED, CloudConnection
from crds.grants import read_grant

# Its team is asked for as soon as there is a grant.
UNVERIFIED_SECONDS = 5.0


def connection_of(scope: VpsScope) -> str:
    """The name of the connection; of a broken spec, the one that an account has."""
    return getattr(scope.object.spec, "connection", DIGITALOCEAN)


async def gain_access(scope: VpsScope, tools: VpsTools, *, leaving: bool) -> None:
    """Have the user's tokens in hand.

    Args:
        scope: The Vps.
        tools: The outside world.
        leaving: Whether it is only switched off or removed, for which a connection that is
            being given up still serves.

    Raises:
        Blocked: There is no grant, or it is for another team than the droplet's.
        RetryLater: Nobody knows yet which team it is for.
    """
    if tools.digitalocean is None:
        text = "no DigitalOcean application is configured (DIGITALOCEAN_CLIENT_ID)"
        raise Blocked("NotConfigured", text)
    name = connection_of(scope)
    connection = await scope.store.find(CloudConnection, name, scope.namespace)
    grant = await read_grant(tools.secrets, scope.namespace, name)
    if connection is None or grant is None or not connection.status.is_true(GRANTED):
        _refuse(scope, f"the account is not connected to DigitalOcean ({name})")
    if not leaving and (connection.deleting or connection.spec.state != "Connected"):
        _refuse(scope, f"the connection {name} is being given up")
    if connection.status.team is None or connection.status.granted_at != grant.granted_at:
        raise RetryLater(
            "ConnectionUnverified", "the connection is being looked at", after=UNVERIFIED_SECONDS
        )
    team = connection.status.team.uuid
    _check_team(scope, team)
    scope.given_api = tools.digitalocean
    scope.given_access = Access(Connection(str(connection.uid), grant.access), grant, team)


def _refuse(scope: VpsScope, why: str) -> NoReturn:
    scope.object.status.phase = "Deleting" if scope.object.deleting else "Blocked"
    raise Blocked("NotConnected", f"{why}{_left_there(scope)}")


def _left_there(scope: VpsScope) -> str:
    """What cannot be reached without it, in words."""
    status = scope.object.status
    if status.droplet is not None:
        return f"; droplet {status.droplet.id} stays as it is"
    if status.intent is not None:
        return "; a droplet may have been made"
    return ""


def _check_team(scope: VpsScope, team: str) -> None:
    """Look for a droplet nowhere but where it was made: elsewhere it would seem to be gone.

    Raises:
        Blocked: The user has connected another team since.
    """
    droplet = scope.object.status.droplet
    if droplet is None or droplet.team in ("", team):
        return
    scope.object.status.phase = "Deleting" if scope.object.deleting else "Blocked"
    raise Blocked(
        "OtherTeam",
        f"droplet {droplet.id} is on DigitalOcean's team {droplet.team}, "
        f"and the account is connected to {team}",
    )


async def doubt(scope: VpsScope, tools: VpsTools, error: Unauthorized) -> NoReturn:
    """Have the connection looked at whose token was refused; it renews it, or says that it ended.

    Raises:
        RetryLater: Always; the connection's change wakes the Vps before.
    """
    name, used = connection_of(scope), scope.access.grant
    held = await read_grant(tools.secrets, scope.namespace, name)
    if held is None or held.access != used.access:
        raise RetryLater("TokenRenewed", "the connection has other tokens by now", after=1)
    connection = await scope.store.find(CloudConnection, name, scope.namespace)
    if connection is not None:
        asked, verified = connection.spec.verify_at, connection.status.verified_at
        if asked is None or (verified is not None and asked <= verified):
            connection.spec.verify_at = scope.now
            await scope.store.update(connection, fence=scope.request.fence)
    raise RetryLater(
        "TokenRefused",
        f"DigitalOcean refuses the connection's token, which is being looked at: {error.message}",
        provider=error.provider,
        request_id=error.request_id,
    ) from error
