"""What a request asks for beside its path: query parameters, and the form of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request

from api.kubernetes.errors import ApiError, bad_request
from api.kubernetes.objects import parse_version
from api.kubernetes.tables import IncludeObject

Shape = Literal["object", "table", "partial"]
Validation = Literal["Ignore", "Warn", "Strict"]
MAX_MANAGER: Final = 128
# Room for a selector of a thousand names.
MAX_URI: Final = 32 * 1024
JSON: Final = ("application/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer.

    Attributes:
        shape: Whole objects, a Table, or only their metadata.
        include: How much of each object goes along with a Table's row.
    """

    shape: Shape
    include: IncludeObject = "Metadata"

    @property
    def name(self) -> str:
        """A word for it, for caches."""
        return f"{self.shape}/{self.include}"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or a watch asks for.

    Attributes:
        version: resourceVersion; None: any.
        match: resourceVersionMatch.
        initial: sendInitialEvents; None: as the version says.
        bookmarks: allowWatchBookmarks.
        timeout: Seconds after which a watch ends; None: as the server likes.
        limit: The most objects of a page.
        resume: The continue token.
    """

    watch: bool
    labels: str | None
    fields: str | None
    version: int | None
    match: str | None
    initial: bool | None
    bookmarks: bool
    timeout: int | None
    limit: int | None
    resume: str | None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What goes with a write.

    Attributes:
        manager: fieldManager, or what the user agent says.
        named: Whether the client named the manager.
        force: Take over fields that somebody else manages.
    """

    dry_run: bool
    manager: str
    named: bool
    validation: Validation
    force: bool


def check_length(request: Request) -> None:
    """Have a request whose path and parameters are not endless.

    Raises:
        ApiError: 414, they are.
    """
    if len(request.scope["path"]) + len(request.scope["query_string"]) > MAX_URI:
        raise ApiError(414, "RequestURITooLong", f"the path and its parameters exceed {MAX_URI}")


def form_of(request: Request) -> Form:
    """The form that the client takes, the first that is ours.

    Raises:
        ApiError: 406, none is.
    """
    accept = request.headers.get("accept") or "*/*"
    for part in accept.split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        if media not in JSON:
            continue
        wanted = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        shape = wanted.get("as", "")
        if not shape:
            return Form("object")
        if wanted.get("g") != "meta.k8s.io" or wanted.get("v") != "v1":
            continue
        if shape == "Table":
            return Form("table", _include(request))
        if shape in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Form("partial")
    message = "only the following media types are accepted: application/json"
    raise ApiError(406, "NotAcceptable", message)


def _include(request: Request) -> IncludeObject:
    include = request.query_params.get("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise bad_request("includeObject must be None, Metadata or Object")
    return include  # type: ignore[return-value]  # one of the three


def list_options(request: Request) -> ListOptions:
    """The options of a list or a watch.

    Raises:
        ApiError: 400, one breaks its rule.
    """
    query = request.query_params
    version = query.get("resourceVersion")
    options = ListOptions(
        watch=_flag(request, "watch"),
        labels=query.get("labelSelector"),
        fields=query.get("fieldSelector"),
        version=parse_version(version) if version else None,
        match=query.get("resourceVersionMatch") or None,
        initial=_flag(request, "sendInitialEvents") if "sendInitialEvents" in query else None,
        bookmarks=_flag(request, "allowWatchBookmarks"),
        timeout=_number(request, "timeoutSeconds"),
        limit=_number(request, "limit"),
        resume=query.get("continue") or None,
    )
    _check(options)
    return options


def _check(options: ListOptions) -> None:
    if options.match not in (None, "Exact", "NotOlderThan"):
        raise bad_request("resourceVersionMatch must be Exact or NotOlderThan")
    if options.initial is not None:
        if not options.watch:
            raise bad_request("sendInitialEvents is forbidden for list")
        if options.match != "NotOlderThan":
            raise bad_request("sendInitialEvents requires resourceVersionMatch=NotOlderThan")
    elif options.match is not None and options.watch:
        raise bad_request("resourceVersionMatch is forbidden for watch without sendInitialEvents")
    if options.match is not None and options.initial is None and options.version is None:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if options.resume and options.version:
        raise bad_request("resourceVersion is forbidden together with continue")


def write_options(request: Request) -> WriteOptions:
    """The options of a write.

    Raises:
        ApiError: 400, one breaks its rule.
    """
    query = request.query_params
    dry_run = query.getlist("dryRun")
    if any(each not in ("", "All") for each in dry_run):
        raise bad_request("dryRun must be All")
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request("fieldValidation must be Ignore, Warn or Strict")
    return WriteOptions(
        dry_run="All" in dry_run,
        manager=_manager(request),
        named=bool(query.get("fieldManager")),
        validation=validation,  # type: ignore[arg-type]  # one of the three
        force=_flag(request, "force"),
    )


def _manager(request: Request) -> str:
    given = request.query_params.get("fieldManager")
    if given:
        if len(given) > MAX_MANAGER or not given.isprintable():
            raise bad_request(f"fieldManager must have at most {MAX_MANAGER} printable characters")
        return given
    agent = re.split(r"[/\s]", request.headers.get("user-agent", ""), maxsplit=1)[0]
    return agent[:MAX_MANAGER] if agent.isprintable() and agent else "unknown"


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name)
    if value in (None, "", "0", "false", "False", "f"):
        return name in request.query_params and value == "" and name == "watch"
    if value in ("1", "true", "True", "t"):
        return True
    raise bad_request(f"{name} must be true or false")


def _number(request: Request, name: str) -> int | None:
    value = request.query_params.get(name)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):  # noqa: PLR2004 - a 32-bit number
        raise bad_request(f"{name} must be a whole number, not negative")
    return int(value) or None
