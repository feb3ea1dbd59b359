"""The application behind the operators' port: from a request to what answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import psycopg
import structlog
from opentelemetry.trace import Tracer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.access import Identity
from api.context import Api
from api.kubernetes import reviews
from api.kubernetes.answers import answer
from api.kubernetes.authorization import check, identify
from api.kubernetes.beside import serve_path
from api.kubernetes.bodies import read_object
from api.kubernetes.door import Door, opened, template_of
from api.kubernetes.errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    expired,
    invalid,
    method_not_allowed,
    no_database,
    no_such_path,
    not_found,
)
from api.kubernetes.lists import PIECE, list_answer, list_pieces, object_answer, read_page
from api.kubernetes.objects import check_envelope
from api.kubernetes.options import check_length, form_of, list_options, write_options
from api.kubernetes.paths import Target, target_of
from api.kubernetes.scale import scale_of
from api.kubernetes.selectors import parse
from api.kubernetes.served import Served, Source, Wish
from api.kubernetes.streams import Stream
from api.kubernetes.watches import Watch
from api.kubernetes.writes import Writer, Written
from api.metrics import Metrics
from api.observe import TEMPLATE, Observed, request_id
from crds.errors import (
    AlreadyExistsError,
    ConflictError,
    ExpiredError,
    InvalidError,
    NotFoundError,
    StoreError,
)

VERBS_OF_SUBRESOURCES: Final = frozenset({"get", "update", "patch"})
# Those that nothing takes are refused by us, in the words of everything else here.
METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
# Before the time of every request of the process is over, whose answer is no Status.
DEADLINE_SECONDS: Final = 20.0

log = structlog.get_logger(__name__)


def build_kubernetes(main: Starlette, tracer: Tracer) -> Starlette:
    """The operators' application beside the product's, whose context it shares.

    Args:
        main: The product's application, started before this one.
        tracer: Makes the spans of requests.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        api: Api = main.state.api
        async with opened(api) as door:
            app.state.door, app.state.metrics = door, metrics
            yield

    metrics: Metrics = main.state.metrics
    return Starlette(
        routes=[Route("/{path:path}", _serve, methods=METHODS)],
        middleware=[Middleware(Observed, metrics=metrics, tracer=tracer)],
        lifespan=lifespan,
    )


async def _serve(request: Request) -> Response:
    """Answer one request, refusals included."""
    door: Door = request.app.state.door
    # Not of the URL, which is put together with the Host header.
    target = target_of(request.scope["path"])
    try:
        check_length(request)
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await _admitted(request, door, target)
    except ApiError as error:
        return error.response()
    except (psycopg.OperationalError, psycopg.errors.LockNotAvailable):
        return no_database().response()
    except TimeoutError:
        message = "this took too long; it may have been done all the same: ask before repeating"
        return ApiError(504, "Timeout", message, retry_after=1).response()
    except Exception:
        log.exception("request failed", path=request.scope["path"])
        message = "Something went wrong on our side. It has been noted."
        return ApiError(500, "InternalError", message).response()


async def _admitted(request: Request, door: Door, target: Target | None) -> Response:
    identity = await identify(request, door.api.authenticator)
    structlog.contextvars.bind_contextvars(subject=identity.subject)
    async with door.limits.requests.taken(identity.subject):
        if target is None:
            return await serve_path(request, door, identity)
        return await _serve_target(request, door, identity, target)


def _refusal(error: StoreError, served: Served, target: Target) -> ApiError:
    """What the store refused, in Kubernetes' words."""
    name = target.name or str(error).rpartition("/")[2]
    match error:
        case NotFoundError():
            return not_found(served.qualified, name)
        case AlreadyExistsError():
            return already_exists(served.qualified, name)
        case InvalidError():
            return invalid(served.kind, served.group, name, error.causes)
        case ExpiredError():
            return expired(f"too old resource version: {error}")
        case ConflictError():
            return conflict(served.qualified, name, "the object has been modified; try again")
    raise error


async def _serve_target(
    request: Request, door: Door, identity: Identity, target: Target
) -> Response:
    review = door.review(target)
    if review is not None:
        request.scope[TEMPLATE] = template_of(target, review)
        return await _serve_review(request, identity, review, target)
    try:
        source = door.source(target)
    except ApiError:
        return await serve_path(request, door, identity)
    served = source.served
    request.scope[TEMPLATE] = template_of(target, served)
    if not f"{target.namespace or ''}{target.name or ''}".isprintable():
        raise not_found(served.qualified, "?")
    watch = request.method == "GET" and list_options(request).watch
    verbs = VERBS_OF_SUBRESOURCES if target.subresource else served.verbs
    asked = target.attributes(target.verb(request.method, watch=watch))
    check(identity, served, asked)
    if served.namespaced is False and target.namespace is not None:
        raise no_such_path()
    if target.subresource and target.subresource not in served.subresources:
        raise no_such_path()
    if asked.verb not in verbs:
        raise method_not_allowed(asked.verb, served.qualified)
    try:
        return await _do(asked.verb, request, door, identity, source, target)
    except StoreError as error:
        raise _refusal(error, served, target) from None


async def _do(
    verb: str, request: Request, door: Door, identity: Identity, source: Source, target: Target
) -> Response:
    match verb:
        case "watch":
            return await _watch(request, door, identity, source, target)
        case "list":
            return await _list(request, door, identity, source, target)
        case "get":
            return await _get(request, door, source, target)
        case _:
            return await _write(request, door, identity, source, target)


async def _serve_review(
    request: Request, identity: Identity, served: Served, target: Target
) -> Response:
    check(identity, served, target.attributes(target.verb(request.method, watch=False)))
    body, _ = await read_object(request)
    body = check_envelope(served, body, "", "")
    return answer(await reviews.answer(served.kind, body, identity), 201)


async def _watch(
    request: Request, door: Door, identity: Identity, source: Source, target: Target
) -> Response:
    options, form = list_options(request), form_of(request)
    selector = parse(source.served, target.namespace, options.labels, options.fields)
    if target.name is not None:
        selector = replace(selector, name=target.name)
    allowed = partial(door.api.authenticator.still_valid, identity)
    listing = partial(door.limits.lists.taken, identity.subject)
    leave = await door.limits.watches.take(identity.subject)
    watch = Watch(source, selector, options, form, door.api.store.clock.now, allowed, listing)
    return Stream(watch.lines(), leave)


async def _list(
    request: Request, door: Door, identity: Identity, source: Source, target: Target
) -> Response:
    options, form = list_options(request), form_of(request)
    selector = parse(source.served, target.namespace, options.labels, options.fields)
    horizon, now = await door.api.store.log.horizon(), door.api.store.clock.now()
    if options.limit is not None and options.limit <= PIECE:
        listed = await read_page(source, selector, options, horizon)
        return answer(list_answer(source.served, listed, form, now))
    leave = await door.limits.lists.take(identity.subject)
    try:
        listed = await read_page(source, selector, options, horizon)
    except BaseException:
        leave()
        raise
    return Stream(list_pieces(source.served, listed, form, now), leave)


async def _get(request: Request, door: Door, source: Source, target: Target) -> Response:
    name = target.name or ""
    form, now = form_of(request), door.api.store.clock.now()
    objects, _ = await source.snapshot(target.namespace or "", name)
    if not objects:
        raise not_found(source.served.qualified, name)
    if target.subresource == "scale" and source.served.model is not None:
        return answer(scale_of(objects[0], source.served.model))
    return answer(object_answer(source.served, objects[0], form, now))


async def _write(
    request: Request, door: Door, identity: Identity, source: Source, target: Target
) -> Response:
    options, form = write_options(request), form_of(request)
    if source.served.namespaced and target.namespace is None:
        raise bad_request("an empty namespace may not be set during creation")
    now = door.api.store.clock.now()
    wish = Wish(
        identity,
        request_id(),
        options.dry_run,
        options.manager,
        target.subresource,
    )
    writer = Writer(source, door.namespaces, target.namespace or "", wish, options, now)
    written = await _written(request, door, writer, target)
    body = written.body
    if body.get("kind") == source.served.kind:
        body = object_answer(source.served, body, form, now)
    return answer(body, written.code, warnings=written.warnings)


async def _written(request: Request, door: Door, writer: Writer, target: Target) -> Written:
    match request.method, target.name:
        case "POST", None:
            return await writer.create(request)
        case "PUT", str(name):
            return await writer.replace(request, name)
        case "PATCH", str(name):
            return await writer.patch(request, name)
        case "DELETE", str(name):
            return await writer.delete(request, name)
        case "DELETE", None:
            options = list_options(request)
            served = writer.source.served
            selector = parse(served, target.namespace, options.labels, options.fields)
            horizon = await door.api.store.log.horizon()
            listed = await read_page(writer.source, selector, options, horizon)
            return await writer.delete_each(request, listed.objects)
    raise method_not_allowed(request.method, writer.source.served.qualified)
