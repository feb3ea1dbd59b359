"""Signing in and out."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.access import UnauthenticatedError
from api.console.addresses import PATH, local
from api.console.desk import Desk
from api.console.visitors import (
    FORM,
    LIFETIME,
    SESSION,
    Visitor,
    form_cookie,
    proof_of,
    proves,
    set_cookie,
)
from api.console.web import Refusal, Visit, check_origin, gone_by, page, read_form

# What an interrupted edit carries through the sign-in page.
DRAFT = ("yaml", "base", "seen", "uid")


async def sign_in_page(request: Request, desk: Desk) -> Response:
    """The form; whoever has a session goes on."""
    back = local(request.query_params.get("next", PATH))
    if await desk.sessions.find(request) is not None:
        return gone_by(back)
    return _form(request, desk, back)


async def sign_in(request: Request, desk: Desk) -> Response:
    """Open a session.

    Raises:
        Refusal: The form is not ours, there were too many failures, or the role has no pages here.
        KeysUnavailableError: The issuer's keys are not to be had.
    """
    check_origin(request)
    form = await read_form(request)
    if not proves(form.get("proof", ""), request.cookies.get(FORM, "")):
        raise Refusal(403, "This form is too old", "Open the sign-in page again.")
    address = request.client.host if request.client else ""
    if wait := desk.attempts.wait(address):
        text = f"Try again in {wait} seconds."
        raise Refusal(429, "Too many failed attempts", text, retry_after=wait)
    back = local(form.get("next", PATH))
    try:
        token, identity = await desk.sessions.open(form.get("token", "").strip())
    except UnauthenticatedError as error:
        desk.attempts.failed(address)
        return _form(request, desk, back, HTTPStatus.UNAUTHORIZED, form, problem=str(error))
    if not token:
        desk.attempts.failed(address)
        text = f"The token is valid, but the role {identity.role} has no pages here."
        raise Refusal(403, "This console is for operators", text)
    desk.attempts.succeeded(address)
    response = _onwards(request, desk, Visitor(identity, token), back, form)
    set_cookie(request, response, SESSION, token, LIFETIME)
    set_cookie(request, response, FORM, "")
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    await visit.desk.sessions.end(visit.visitor)
    response = gone_by(f"{PATH}/sign-in")
    set_cookie(visit.request, response, SESSION, "")
    return response


def interrupted(request: Request, desk: Desk, form: Mapping[str, str]) -> Response:
    """The sign-in form for somebody whose session ended before they sent a form."""
    problem = "Your session has ended. Sign in to go on where you were."
    return _form(request, desk, request.url.path, HTTPStatus.UNAUTHORIZED, form, problem=problem)


def _onwards(
    request: Request, desk: Desk, visitor: Visitor, back: str, form: Mapping[str, str]
) -> Response:
    """To where they came from; with the text that they had typed, if they had."""
    if not form.get("yaml") or not back.endswith("/edit"):
        return gone_by(back)
    return page(request, desk, "resume.html", visitor=visitor, back=back, draft=_draft(form))


def _form(
    request: Request,
    desk: Desk,
    back: str,
    status: int = HTTPStatus.OK,
    form: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    cookie = form_cookie(request)
    response = page(
        request,
        desk,
        "sign_in.html",
        status,
        visitor=None,
        back=back,
        form_proof=proof_of(cookie),
        draft=_draft(form or {}),
        **{"problem": "", **context},
    )
    set_cookie(request, response, FORM, cookie)
    return response


def _draft(form: Mapping[str, str]) -> dict[str, str]:
    return {name: form[name] for name in DRAFT if name in form} if form.get("yaml") else {}
