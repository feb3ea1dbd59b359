"""Reading requests: bodies and credentials."""

from __future__ import annotations

import hmac
from typing import Final, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from api.access import Identity, UnauthenticatedError
from api.accounts import Person
from api.context import Api, api_of
from api.models import Body
from api.observe import request_id
from api.problems import Problem, invalid, invalid_body, unauthenticated
from api.tokens import Caller, InvalidTokenError
from crds.access import ROLES, Role
from crds.account import Account
from crds.store import Actor, Store

B = TypeVar("B", bound=Body)

MAX_BODY_BYTES = 64 * 1024
MAX_KEY_LENGTH = 255
# Who is one of these is so everywhere, also in an account of their own.
LESSER: Final = frozenset[Role](ROLES[ROLES.index("account-owner") + 1 :])


async def read_body(
    request: Request, model: type[B], *, optional: bool = False, limit: int = MAX_BODY_BYTES
) -> B:
    """The request's body.

    Args:
        request: The request.
        model: What it must look like.
        optional: An empty body stands for `{}`.
        limit: How many bytes it may have.

    Raises:
        Problem: It is too large (413), not JSON by its type (415) or its text (400), or breaks a
            rule (422).
    """
    data = await _read(request, limit)
    if optional and not data:
        data = b"{}"
    elif _media_type(request) != "application/json":
        raise Problem(415, "unsupported-media-type", "The body must be application/json.")
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise invalid_body(error) from None


def is_form(request: Request) -> bool:
    """Whether a page's form was sent."""
    return _media_type(request) == "application/x-www-form-urlencoded"


async def read_form(request: Request, model: type[B]) -> B:
    """The fields of a page's form.

    Args:
        request: The request.
        model: What they must look like; all of them are texts.

    Raises:
        Problem: It is too large (413), not text (400), or breaks a rule (422).
    """
    try:
        fields = dict(
            parse_qsl((await _read(request, MAX_BODY_BYTES)).decode(), keep_blank_values=True)
        )
        return model.model_validate(fields)
    except UnicodeDecodeError:
        raise Problem(400, "malformed-form", "The form is not well-formed.") from None
    except ValidationError as error:
        raise invalid_body(error) from None


async def _read(request: Request, limit: int) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise Problem(400, "incomplete-body", "The body ended early.") from None
    return bytes(data)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(limit: int) -> Problem:
    # What is left of the body is not read, so the connection cannot be used again.
    return Problem(
        413,
        "body-too-large",
        f"The body must have at most {limit} bytes.",
        headers={"Connection": "close"},
    )


def read_query(request: Request, model: type[B]) -> B:
    """The request's query parameters.

    Args:
        request: The request.
        model: What they must look like; all of them are texts.

    Raises:
        Problem: One breaks a rule, is unknown, or is given twice (422).
    """
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if twice := {name for name in names if names.count(name) > 1 and name in model.model_fields}:
        raise invalid([(name, "must be given once") for name in sorted(twice)])
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise invalid_body(error) from None


async def identified(request: Request) -> Identity:
    """Whoever shows a token of any kind: ours, Supabase's, or another issuer's.

    Raises:
        Problem: There is none, it proves nothing, or it was revoked.
    """
    try:
        identity = await api_of(request).authenticator.identify(bearer(request))
    except UnauthenticatedError as error:
        raise unauthenticated(str(error)) from None
    structlog.contextvars.bind_contextvars(subject=identity.subject)
    return identity


def check_idempotency_key(request: Request) -> None:
    """Accept an `Idempotency-Key`.

    Wishes are desired state: repeating one changes nothing, so the key need not be remembered.

    Raises:
        Problem: It is too long or empty.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_LENGTH:
        detail = f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters."
        raise Problem(400, "invalid-idempotency-key", detail)


def bearer(request: Request) -> str:
    """The bearer token.

    Raises:
        Problem: There is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        detail = "This needs a bearer token in the Authorization header."
        raise unauthenticated(detail, "no-credentials")
    return token.strip()


async def signed_in(request: Request) -> Person:
    """The user whose valid access token the request carries.

    Raises:
        Problem: There is none, it is not valid, or it was revoked.
    """
    return _person(await _caller(request))


async def owning(request: Request) -> Person:
    """The same, of a user who owns their account.

    Raises:
        Problem: Besides, the issuer gives them a role that may do less.
    """
    caller = await _caller(request)
    if caller.invoker_role in LESSER:
        detail = f"The role {caller.invoker_role} may not do this: it is for an account's owner."
        raise Problem(403, "role-not-allowed", detail)
    return _person(caller)


async def _caller(request: Request) -> Caller:
    api = api_of(request)
    try:
        caller = await api.verifier.verify(bearer(request))
    except InvalidTokenError as error:
        raise unauthenticated(str(error)) from None
    structlog.contextvars.bind_contextvars(user_id=caller.account)
    if caller.anonymous:
        raise Problem(403, "anonymous", "Anonymous users have no account here.")
    account = await api.store.find(Account, caller.account)
    since = account.spec.tokens_valid_after if account else None
    if since is not None and caller.issued_at < since:
        raise unauthenticated("The access token was revoked: sign in again.")
    return caller


def _person(caller: Caller) -> Person:
    return Person(caller.account, caller.email, caller.first_name, caller.last_name)


def store_of(api: Api, account: str) -> Store:
    """The store for what an account's owner writes, with them in the audit."""
    return api.store.acting_as(Actor(f"user:{account}", "account-owner", "api", request_id()))


def is_edge(request: Request) -> bool:
    """Whether the request comes from our own edge; any other token is as good as none."""
    expected = api_of(request).settings.edge_token.get_secret_value()
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {expected}".encode())


def check_machine(request: Request, machine: UUID) -> None:
    """Have the machine prove itself.

    Raises:
        Problem: The token is not this machine's.
    """
    if not api_of(request).hub.tokens.verify(machine, bearer(request)):
        raise unauthenticated("The token is not this machine's.")
