"""`supabase/storage-api`: buckets and objects; rows in the database, files on the volume.

What may be done, row-level security on `storage.buckets` and `storage.objects` decides.
There are no signed addresses, no transformations, no resumable uploads.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from deploy.local.services import rows, tokens
from deploy.local.services.database import Connection, Database, require
from deploy.local.services.files import Files, TooLargeError
from deploy.local.services.serving import serve
from deploy.local.services.settings import Variables

# The characters that Storage allows in names, which are those that S3 does.
_KEY: Final = re.compile(r"[\w/!\-.*'() &$@=;:+,?]{1,1024}", re.ASCII)
# What Storage has below `/object/` beside objects.
_OTHER_ROUTES: Final = frozenset("authenticated copy info list move public sign upload".split())
_LONGEST_PART: Final = 250  # characters: file systems take 255 bytes
_PIECE_BYTES: Final = 1 << 16
_DEFAULT_TYPE: Final = "application/octet-stream"
_DEFAULT_LIMIT: Final = 52_428_800  # bytes: 50 MiB, as in self-hosted Supabase

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Settings:
    """Storage's own settings, as far as they are heeded."""

    port: int
    url: str
    secret: str
    largest: int
    files: Path

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings; Storage does not start without those required here.

        Raises:
            SettingsError: Something is missing or wrong.
        """
        variables = Variables(environ, "storage")
        for key in ("ANON_KEY", "SERVICE_KEY"):
            variables.text(key)
        if variables.text("STORAGE_BACKEND") not in {"file", ""}:
            variables.refuse("STORAGE_BACKEND", "must be file")
        # The path of the image is the mount of the volume, which is elsewhere here.
        variables.text("FILE_STORAGE_BACKEND_PATH")
        # S3's names, by which the image keeps files apart.
        bucket, tenant = variables.text("GLOBAL_S3_BUCKET"), variables.text("TENANT_ID")
        if {bucket, tenant} & {".", ".."} or "/" in bucket + tenant:
            variables.refuse("GLOBAL_S3_BUCKET and TENANT_ID", "must be names")
        settings = cls(
            port=variables.port(),
            url=variables.database("DATABASE_URL"),
            secret=variables.text("PGRST_JWT_SECRET", "AUTH_JWT_SECRET", minimum=32),
            largest=variables.number("FILE_SIZE_LIMIT", _DEFAULT_LIMIT, 1, 2**53),
            files=variables.volume() / bucket / tenant,
        )
        variables.check()
        return settings


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request is refused.

    Storage's answers have 400 in almost every case, and the status that is meant in the body.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.body = {"statusCode": str(status), "error": error, "message": message}


class Caller(NamedTuple):
    """Whoever asks."""

    role: str
    claims: dict[str, Any]

    @property
    def owner(self) -> str | None:
        """Whose a thing is that this caller makes."""
        subject = str(self.claims.get("sub") or "")
        return subject if re.fullmatch(r"[0-9a-fA-F-]{36}", subject) else None


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; without its tables it does not start.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    settings = Settings.read(environ)
    require(settings.url, "storage.objects")
    api = Api(settings)
    serve(api.app(), settings.port, close=api.database.close)


class Api:
    """The endpoints."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = Files(settings.files)
        self.database = Database(settings.url)

    def app(self) -> Starlette:
        """The ASGI app."""
        one, many = "/object/{bucket}/{name:path}", ["POST", "PUT", "GET", "HEAD", "DELETE"]
        return Starlette(
            routes=[
                Route("/status", self.status),
                Route("/bucket", _answering(self.buckets), methods=["GET", "POST"]),
                Route("/bucket/{bucket}", _answering(self.bucket), methods=["GET", "DELETE"]),
                Route("/object/public/{bucket}/{name:path}", _answering(self.public)),
                Route("/object/authenticated/{bucket}/{name:path}", _answering(self.download)),
                Route(one, _answering(self.object), methods=many),
            ]
        )

    async def status(self, _: Request) -> Response:
        """Say that the process answers."""
        return Response(status_code=200)

    async def buckets(self, request: Request) -> Response:
        """List the buckets that the caller sees, or make one."""
        async with self._acting(request) as (caller, connection):
            if request.method == "GET":
                return JSONResponse(await rows.buckets(connection))
            body = await _body(request)
            name = str(body.get("id") or body.get("name") or "")
            if not _is_key(name) or "/" in name:
                raise Refused(400, "Invalid Input", "Bucket name invalid")
            is_public = body.get("public") is True
            await rows.add_bucket(connection, name, caller.owner, is_public=is_public)
            return JSONResponse({"name": name})

    async def bucket(self, request: Request) -> Response:
        """Show a bucket, or delete one that is empty."""
        name = request.path_params["bucket"]
        async with self._acting(request) as (_, connection):
            found = [each for each in await rows.buckets(connection) if each["id"] == name]
            if not found:
                raise Refused(404, "Bucket not found", "Bucket not found")
            if request.method == "GET":
                return JSONResponse(found[0])
            try:
                await rows.remove_bucket(connection, name)
            except psycopg.errors.ForeignKeyViolation:
                words = "The bucket you tried to delete is not empty"
                raise Refused(409, "Storage not empty", words) from None
            return JSONResponse({"message": "Successfully deleted"})

    async def object(self, request: Request) -> Response:
        """Upload, show or delete one object."""
        if request.method in {"GET", "HEAD"}:
            return await self.download(request)
        if request.method == "DELETE":
            return await self._remove(request)
        return await self._upload(request)

    async def download(self, request: Request) -> Response:
        """Show an object that the caller sees."""
        bucket, name = _place(request)
        async with self._acting(request) as (_, connection):
            return self._shown(await rows.find_object(connection, bucket, name), bucket, name)

    async def public(self, request: Request) -> Response:
        """Show an object of a public bucket to anybody."""
        bucket, name = _place(request)
        async with self.database.transaction("service_role") as connection:
            found = await rows.find_object(connection, bucket, name, only_public=True)
            return self._shown(found, bucket, name)

    # Steps

    async def _upload(self, request: Request) -> Response:
        """Keep the file first, then the row: a row whose file is not there is a broken promise."""
        bucket, name = _place(request)
        caller = self._caller(request)
        version = self._files.new_version()
        pieces, kind = await _content(request)
        try:
            size, etag = await self._files.write(
                bucket, name, version, pieces, self._settings.largest
            )
            metadata = {"eTag": etag, "size": size, "mimetype": kind, "contentLength": size}
            made, before = await self._record(request, caller, rows.Object(version, metadata))
        except BaseException:
            self._files.remove(bucket, name, version)
            raise
        if before is not None:
            self._files.remove(bucket, name, before.version)
        return JSONResponse({"Key": f"{bucket}/{name}", "Id": made})

    async def _record(
        self, request: Request, caller: Caller, row: rows.Object
    ) -> tuple[str, rows.Object | None]:
        """Write an object's row; returns its id, and what was there before."""
        bucket, name = _place(request)
        replaces = request.method == "PUT" or request.headers.get("x-upsert") == "true"
        async with self.database.transaction(caller.role, caller.claims) as connection:
            # Whoever may not see the object that is there may not replace it either.
            before = await rows.find_object(connection, bucket, name) if replaces else None
            if request.method == "PUT" and before is None:
                raise Refused(404, "not_found", "Object not found")
            write = rows.replace_object if before else rows.add_object
            return await write(connection, bucket, name, row, caller.owner), before

    async def _remove(self, request: Request) -> Response:
        bucket, name = _place(request)
        async with self._acting(request) as (_, connection):
            version = await rows.remove_object(connection, bucket, name)
        if version is None:
            raise Refused(404, "not_found", "Object not found")
        self._files.remove(bucket, name, version)
        return JSONResponse({"message": "Successfully deleted"})

    def _shown(self, found: rows.Object | None, bucket: str, name: str) -> Response:
        path = self._files.path(bucket, name, found.version) if found else None
        if found is None or path is None or not path.is_file():
            raise Refused(404, "not_found", "Object not found")
        headers = {"ETag": found.metadata["eTag"], "Cache-Control": "no-cache"}
        return FileResponse(path, headers=headers, media_type=found.metadata["mimetype"])

    def _caller(self, request: Request) -> Caller:
        token = tokens.bearer(request.headers.get("authorization"))
        if token is None:
            raise Refused(400, "Error", "headers must have required property 'authorization'")
        try:
            claims = tokens.verify(token, self._settings.secret)
        except tokens.TokenError as error:
            raise Refused(403, "Unauthorized", str(error)) from None
        return Caller(str(claims.get("role") or "anon"), claims)

    @contextlib.asynccontextmanager
    async def _acting(self, request: Request) -> AsyncIterator[tuple[Caller, Connection]]:
        """A transaction in the caller's name."""
        caller = self._caller(request)
        async with self.database.transaction(caller.role, caller.claims) as connection:
            yield caller, connection


def _answering(handle: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except Refused as refused:
            return JSONResponse(refused.body, 400)
        except (psycopg.Error, TooLargeError) as error:
            body = _refusal(error).body
            return JSONResponse(body, 500 if body["statusCode"] == "500" else 400)

    return answer


def _refusal(error: Exception) -> Refused:
    """What Storage says of an error."""
    words = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    if isinstance(error, TooLargeError):
        message = "The object exceeded the maximum allowed size"
        return Refused(413, "Payload too large", message)
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return Refused(404, "Bucket not found", "Bucket not found")
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return Refused(403, "Unauthorized", words or "not allowed")
    if isinstance(error, psycopg.errors.UniqueViolation):
        return Refused(409, "Duplicate", "The resource already exists")
    if isinstance(error, psycopg.DataError):
        return Refused(400, "DatabaseError", words or "not a text")
    return Refused(500, "Internal", "The database does not answer")


def _is_key(name: str) -> bool:
    parts = name.split("/")
    fits = all(len(part) <= _LONGEST_PART and part not in {"", ".", ".."} for part in parts)
    return fits and _KEY.fullmatch(name) is not None


def _place(request: Request) -> tuple[str, str]:
    """The bucket and the name of an object."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    if bucket in _OTHER_ROUTES:
        raise Refused(404, "Not Found", "Route not found")
    if not _is_key(bucket) or not _is_key(name) or "/" in bucket:
        raise Refused(400, "InvalidKey", "Invalid key")
    return bucket, name


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "Error", "body must be object")
    return body


async def _content(request: Request) -> tuple[AsyncIterator[bytes], str]:
    """What is uploaded, piece by piece, and its type: the body itself or a form's file."""
    kind = request.headers.get("content-type", _DEFAULT_TYPE)
    if not kind.startswith("multipart/form-data"):
        return request.stream(), kind
    form = await request.form(max_files=1)
    for value in form.values():
        if isinstance(value, UploadFile):
            return _pieces(value), value.content_type or _DEFAULT_TYPE
    raise Refused(400, "Error", "the form has no file")


async def _pieces(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_PIECE_BYTES):
        yield piece
