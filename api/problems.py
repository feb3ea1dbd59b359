"""Problem details (RFC 9457): the one shape of every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crds.errors import InvalidError, StoreError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:invoker:problem:"
# A field's name comes from the client when the field is unknown: do not repeat a novel.
MAX_FIELD_LENGTH = 100


class Problem(Exception):  # noqa: N818 - RFC 9457's word, and not every one is an error of ours
    """A refusal with everything that the client may know about it.

    Attributes:
        status: The HTTP status.
        code: What it is, for programs: the last part of the problem's `type`.
        detail: What it is, for people.
        headers: Headers of the answer.
        extensions: Further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        self.extensions = extensions

    def body(self, instance: str) -> dict[str, Any]:
        """The JSON body for the request whose path is `instance`."""
        return {
            "type": TYPE_PREFIX + self.code,
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **self.extensions,
        }

    def response(self, path: str) -> Response:
        """The answer to a request of this path."""
        # Back to the escaped form: an instance is a URI reference.
        instance = quote(path[:200], safe="/:@!$&'()*+,;=-._~", errors="replace")
        return JSONResponse(
            self.body(instance),
            status_code=self.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def invalid(errors: list[tuple[str, str]]) -> Problem:
    """The body breaks rules: one entry a field, saying which rule."""
    entries = [{"field": field[:MAX_FIELD_LENGTH], "rule": rule} for field, rule in errors]
    detail = "; ".join(f"{entry['field']}: {entry['rule']}" for entry in entries)
    return Problem(422, "invalid-request", detail, errors=entries)


def invalid_body(error: ValidationError) -> Problem:
    """What pydantic refused, without the values."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    if any(detail["type"] == "json_invalid" for detail in details):
        return Problem(400, "malformed-json", "The body is not well-formed JSON.")
    return invalid(
        [
            (".".join(map(_printable, d["loc"])) or "body", d["msg"].removeprefix("Value error, "))
            for d in details
        ]
    )


def _printable(part: int | str) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(part))


def unauthenticated(detail: str, code: str = "invalid-token") -> Problem:
    """401, with the challenge of RFC 6750."""
    challenge = 'Bearer error="invalid_token"' if code == "invalid-token" else "Bearer"
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})


def unavailable(code: str, detail: str, retry_after: int = 5) -> Problem:
    """503: nothing is wrong with the request, and it may be repeated."""
    return Problem(503, code, detail, retry_after=retry_after)


def of_http(error: HTTPException) -> Problem:
    """Starlette's own refusals: unknown paths and wrong methods."""
    known = {
        404: ("not-found", "There is nothing at this path."),
        405: ("method-not-allowed", "This path does not take this method; see the Allow header."),
    }
    phrase = HTTPStatus(error.status_code).phrase
    code, detail = known.get(error.status_code, (phrase.lower().replace(" ", "-"), phrase))
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    return Problem(error.status_code, code, detail, headers=headers)


def of_store(error: Exception) -> Problem:
    """What the store refused although the request looked right."""
    if isinstance(error, InvalidError):
        # Requests are judged before the store is asked: this is a row edited by plain SQL.
        return Problem(500, "broken-row", "A stored object breaks the rules of its kind.")
    if isinstance(error, StoreError):
        detail = "Somebody else is changing the same thing; try again."
        return Problem(409, "busy", detail, retry_after=1)
    return unavailable("database-unavailable", "The database does not answer at present.")


async def answer_problem(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for `Problem`."""
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return error.response(request.url.path)


async def answer_http(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for its own refusals."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return of_http(error).response(request.url.path)


async def answer_store(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for the store's and the driver's errors."""
    return of_store(error).response(request.url.path)
