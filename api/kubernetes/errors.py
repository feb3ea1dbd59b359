"""Refusals as Kubernetes words them: a `Status` with a reason, a code and causes."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.responses import JSONResponse, Response

from crds.errors import Cause

NO_STORE = {"Cache-Control": "no-cache, private"}


class StatusCause(NamedTuple):
    """One reason of a refusal: a word for programs, words for people, the field."""

    reason: str
    message: str
    field: str = ""

    def to_json(self) -> dict[str, str]:
        """The form of `details.causes`."""
        form = {"reason": self.reason, "message": self.message, "field": self.field}
        return {name: value for name, value in form.items() if value}


class ApiError(Exception):
    """A refusal.

    Attributes:
        code: The HTTP status.
        reason: Kubernetes' word, CamelCase: `NotFound`.
        message: For people; kubectl prints it.
        kind: The resource it is about, as `details.kind`.
        group: Its group.
        name: The object's name.
        causes: Every single thing that is wrong.
        retry_after: Seconds after which to try again.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        kind: str = "",
        group: str = "",
        name: str = "",
        causes: Sequence[StatusCause] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.kind, self.group, self.name = kind, group, name
        self.causes = causes
        self.retry_after = retry_after

    def status(self) -> dict[str, Any]:
        """The `Status` object."""
        details: dict[str, Any] = {
            "name": self.name,
            "group": self.group,
            "kind": self.kind,
            "causes": [cause.to_json() for cause in self.causes],
            "retryAfterSeconds": self.retry_after,
        }
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {name: value for name, value in details.items() if value},
            "code": self.code,
        }

    def response(self) -> Response:
        """The answer to the request."""
        headers = dict(NO_STORE)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.code == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.status(), self.code, headers)


def bad_request(message: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """401: nobody is known to have asked."""
    return ApiError(401, "Unauthorized", message)


def forbidden(message: str, *, kind: str = "", group: str = "", name: str = "") -> ApiError:
    """403: somebody known may not."""
    return ApiError(403, "Forbidden", message, kind=kind, group=group, name=name)


def terminating(resource: str, group: str, namespace: str) -> ApiError:
    """403: the namespace takes nothing new any more; the cause is a word that clients know."""
    message = (
        f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    cause = StatusCause("NamespaceTerminating", message, "metadata.namespace")
    return ApiError(403, "Forbidden", message, kind=resource, group=group, causes=[cause])


def not_found(resource: str, name: str) -> ApiError:
    """404: no such object; `resource` is `plural.group`."""
    plural, _, group = resource.partition(".")
    message = f'{resource} "{name}" not found'
    return ApiError(404, "NotFound", message, kind=plural, group=group, name=name)


def no_such_path() -> ApiError:
    """404: nothing is served there."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed(verb: str, resource: str) -> ApiError:
    """405: this resource does not take this verb."""
    return ApiError(
        405, "MethodNotAllowed", f"{verb} is not supported on resources of kind {resource!r}"
    )


def already_exists(resource: str, name: str) -> ApiError:
    """409: the key is taken."""
    plural, _, group = resource.partition(".")
    message = f'{resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, kind=plural, group=group, name=name)


def conflict(resource: str, name: str, message: str) -> ApiError:
    """409: the object is not the one that was meant, or moved."""
    plural, _, group = resource.partition(".")
    text = f'Operation cannot be fulfilled on {resource} "{name}": {message}'
    return ApiError(409, "Conflict", text, kind=plural, group=group, name=name)


def expired(message: str) -> ApiError:
    """410: the version is no longer, or not yet, in the log."""
    return ApiError(410, "Expired", message)


def no_database() -> ApiError:
    """503: the database does not answer."""
    message = "the database does not answer at present"
    return ApiError(503, "ServiceUnavailable", message, retry_after=2)


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: the object breaks rules, one cause a field."""
    of = f"{kind}.{group}" if group else kind
    words = [f"{cause.field}: Invalid value: {cause.message}" for cause in causes]
    text = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    return ApiError(
        422,
        "Invalid",
        f'{of} "{name}" is invalid: {text}',
        kind=kind,
        group=group,
        name=name,
        causes=[StatusCause("FieldValueInvalid", c.message, c.field) for c in causes],
    )


def too_large(limit: str) -> ApiError:
    """413: the body has more of something than is taken."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {limit}")


def unsupported_media_type(message: str) -> ApiError:
    """415: the body's type is not taken."""
    return ApiError(415, "UnsupportedMediaType", message)


def unprocessable(field: str, rule: str) -> ApiError:
    """422: a value that no kind could keep."""
    field = field[:200]
    cause = StatusCause("FieldValueInvalid", rule, field)
    return ApiError(422, "Invalid", f"{field}: Invalid value: {rule}", causes=[cause])
