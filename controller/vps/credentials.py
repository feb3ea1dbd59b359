"""What a droplet's gateway proves itself with: made for each try, and kept only as a hash."""

from __future__ import annotations

import base64
from typing import Final

from controller.vps.tools import VpsScope, VpsTools
from crds.errors import ConflictError
from crds.gateways import Credentials, credentials_name, read_credentials

TOKEN_BYTES: Final = 32


async def new_token(scope: VpsScope, tools: VpsTools) -> str:
    """A new token, whose hash is kept beside those of earlier tries.

    Raises:
        ConflictError: Somebody else has written there meanwhile.
        FencedError: The shard was lost.
    """
    token = base64.urlsafe_b64encode(tools.random(TOKEN_BYTES)).rstrip(b"=").decode()
    digest = tools.gateways.tokens.digest(scope.uid, token)
    held = await read_credentials(tools.secrets, scope.namespace, scope.name)
    wanted = (held or Credentials()).plus(digest, scope.now).to_bytes()
    place = (scope.namespace, credentials_name(scope.name))
    fence = scope.request.fence
    if held is None:
        written = await tools.secrets.ensure(*place, wanted, fence=fence)
    else:
        written = await tools.secrets.replace(*place, held.to_bytes(), wanted, fence=fence)
    if written != wanted:
        raise ConflictError("the gateway's credentials were written by somebody else")
    return token


async def forget_tokens(scope: VpsScope, tools: VpsTools) -> None:
    """Let nobody in any more."""
    name = credentials_name(scope.name)
    await tools.secrets.delete(scope.namespace, name, fence=scope.request.fence)
