"""Letting requests in: who asks, and whether they may."""

from __future__ import annotations

from starlette.requests import Request

from api.access import ANONYMOUS, Attributes, Authenticator, Identity, UnauthenticatedError, allows
from api.keys import KeysUnavailableError
from api.kubernetes.errors import ApiError, forbidden, unauthorized
from api.kubernetes.served import Served


async def identify(request: Request, authenticator: Authenticator) -> Identity:
    """Who asks; `ANONYMOUS` without credentials.

    Raises:
        ApiError: 401, the credentials prove nothing; 403, somebody asks as somebody else; 503,
            the issuer's keys are not to be had.
    """
    if any(name.startswith("impersonate-") for name in request.headers):
        raise forbidden("impersonation is not served here: use a token of the other role")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token.strip():
        return ANONYMOUS
    if scheme.lower() != "bearer":
        raise unauthorized()
    try:
        return await authenticator.identify(token.strip())
    except UnauthenticatedError as error:
        raise unauthorized(f"Unauthorized: {error}") from None
    except KeysUnavailableError:
        message = "the issuer's keys are not to be had at present"
        raise ApiError(503, "ServiceUnavailable", message, retry_after=5) from None


def check(identity: Identity, served: Served, asked: Attributes) -> None:
    """Have somebody who may.

    Raises:
        ApiError: 401, nobody known asks; 403, somebody who may not.
    """
    if allows(identity, asked):
        return
    if identity.role is None:
        raise unauthorized()
    raise refusal(identity, served, asked)


def refusal(identity: Identity, served: Served, asked: Attributes) -> ApiError:
    """403, in the words of Kubernetes' own authorizer."""
    resource = f"{served.plural}/{asked.subresource}" if asked.subresource else served.plural
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    name = f' "{asked.name}"' if asked.name else ""
    return forbidden(
        f"{served.qualified}{name} is forbidden: User {identity.subject!r} cannot {asked.verb} "
        f'resource "{resource}" in API group "{served.group}" {where}',
        kind=served.plural,
        group=served.group,
        name=asked.name,
    )
