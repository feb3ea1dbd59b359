"""`postgrest/postgrest`: tables of the database as resources, under the role of the token.

Tables can be read, filtered, ordered, cut, counted and written to;
functions, embedded resources and upserts are not there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.services import tokens
from deploy.local.services.database import Connection, Database
from deploy.local.services.queries import Clause, Query, QueryError, name, parse, read_rows
from deploy.local.services.serving import serve
from deploy.local.services.settings import Variables

_JSON: Final = "application/json; charset=utf-8"
_OBJECT: Final = "application/vnd.pgrst.object+json"
_TABLE: Final = sql.Identifier("_t")
# From "HTTP Status Codes" of PostgREST's page on errors: whole codes first, then classes.
_CODES: Final = {
    400: "P0001",
    403: "0L 0P 28",
    404: "42883 42P01",
    405: "25006",
    409: "23503 23505",
    500: "09 25 2D 38 39 3B 40 53400 54 55 57 58 F0 HV P0 XX",
    503: "08 53",
}
_STATUS: Final = {code: status for status, codes in _CODES.items() for code in codes.split()}


@dataclass(frozen=True, slots=True)
class Settings:
    """PostgREST's own settings, as far as they are heeded."""

    port: int
    url: str
    schemas: tuple[str, ...]
    anonymous: str
    secret: str
    max_rows: int | None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings.

        Raises:
            SettingsError: Something is missing or wrong.
        """
        variables = Variables(environ, "postgrest")
        rows = variables.number("PGRST_DB_MAX_ROWS", 0)
        schemas = variables.text("PGRST_DB_SCHEMAS", "PGRST_DB_SCHEMA", default="public")
        settings = cls(
            port=variables.port(),
            url=variables.database("PGRST_DB_URI"),
            schemas=tuple(schema.strip() for schema in schemas.split(",")),
            anonymous=variables.text("PGRST_DB_ANON_ROLE"),
            secret=variables.text("PGRST_JWT_SECRET", minimum=32),
            max_rows=rows or None,
        )
        variables.check()
        return settings


class Caller(NamedTuple):
    """Whoever asks."""

    role: str
    claims: dict[str, Any]


class Found(NamedTuple):
    """Rows as JSON text, how many they are, and how many there are altogether, if asked."""

    body: str
    rows: int
    total: int | None = None


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    settings = Settings.read(environ)
    api = Api(settings)
    serve(api.app(), settings.port, close=api.database.close)


class Api:
    """The endpoints."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.database = Database(settings.url)

    def app(self) -> Starlette:
        """The ASGI app."""
        methods = ["GET", "HEAD", "POST", "PATCH", "DELETE"]
        return Starlette(
            routes=[
                Route("/", self.root),
                Route("/{table}", self.table, methods=methods),
                Route("/{rest:path}", self.nothing, methods=methods),
            ]
        )

    async def root(self, request: Request) -> Response:
        """Say which tables the caller may use; only a database that answers knows."""
        return await self._answer(request, self._describe)

    async def table(self, request: Request) -> Response:
        """Read from a table or write to it."""
        return await self._answer(request, self._use)

    async def nothing(self, request: Request) -> Response:
        """Refuse what is no table."""
        return await self._answer(request, self._refuse)

    async def _answer(self, request: Request, handle: Any) -> Response:
        """Answer a request; whatever is wrong is said as PostgREST says it."""
        try:
            caller = self._caller(request)
        except tokens.TokenError as error:
            challenge = f'Bearer error="invalid_token", error_description="{error}"'
            return _problem(401, "PGRST301", str(error), headers={"WWW-Authenticate": challenge})
        try:
            async with self.database.transaction(caller.role, caller.claims) as connection:
                response: Response = await handle(request, connection)
                return response
        except QueryError as error:
            return _problem(error.status, error.code, error.message, error.details)
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                return _problem(503, "PGRST000", "Database client error. Retrying the connection.")
            return self._database_problem(error, caller)
        except psycopg.Error as error:
            return self._database_problem(error, caller)

    def _caller(self, request: Request) -> Caller:
        token = tokens.bearer(request.headers.get("authorization"))
        if token is None:
            return Caller(self._settings.anonymous, {"role": self._settings.anonymous})
        claims = tokens.verify(token, self._settings.secret)
        return Caller(str(claims.get("role") or self._settings.anonymous), claims)

    def _database_problem(self, error: psycopg.Error, caller: Caller) -> Response:
        code, diagnostic = error.sqlstate or "XX000", error.diag
        status = _STATUS.get(code, _STATUS.get(code[:2], 400))
        headers = {}
        if code == "42501":
            status = 403
            if caller.role == self._settings.anonymous:
                status, headers = 401, {"WWW-Authenticate": "Bearer"}
        return _problem(
            status,
            code,
            diagnostic.message_primary or "the database refused",
            diagnostic.message_detail,
            diagnostic.message_hint,
            headers,
        )

    async def _refuse(self, request: Request, _: Connection) -> Response:
        path = request.path_params["rest"]
        if path.startswith("rpc/"):
            function = f"{self._settings.schemas[0]}.{path.removeprefix('rpc/')}"
            message = f"Could not find the function {function} in the schema cache"
            raise QueryError(404, "PGRST202", message)
        raise QueryError(404, "PGRST125", "Invalid path specified in request URL")

    async def _describe(self, _: Request, connection: Connection) -> Response:
        cursor = await connection.execute(
            "select relname from pg_class where relnamespace = any(%s::text[]::regnamespace[])"
            " and relkind in ('r', 'v', 'm', 'f', 'p')"
            " and has_table_privilege(oid, 'select, insert, update, delete') order by relname",
            [[self._settings.schemas[0]]],
        )
        tables = [table for (table,) in await cursor.fetchall()]
        document = {
            "swagger": "2.0",
            "info": {"title": "standard public schema", "version": "12.0.1"},
            "paths": {"/": {"get": {}}}
            | {f"/{table}": {"get": {}, "post": {}} for table in tables},
            "definitions": {table: {"type": "object"} for table in tables},
        }
        return Response(json.dumps(document), media_type="application/openapi+json; charset=utf-8")

    async def _use(self, request: Request, connection: Connection) -> Response:
        schema = self._schema(request)
        relation = sql.SQL("{}.{}").format(name(schema), name(request.path_params["table"]))
        query = parse(request.query_params.multi_items(), _TABLE)
        prefer = _preferences(request)
        if any(word.startswith("resolution=") for word in prefer):
            message = "Invalid preferences given with handling=strict"
            raise QueryError(400, "PGRST122", message, "Nothing resolves duplicates here")
        if request.method in {"GET", "HEAD"}:
            return await self._read(request, connection, relation, query, prefer)
        body = await request.body()
        if request.method == "POST":
            clause = insertion(relation, query, body)
        elif request.method == "PATCH":
            clause = change(relation, query, body)
        else:
            clause = removal(relation, query)
        return await self._write(request, connection, clause, query, prefer)

    def _schema(self, request: Request) -> str:
        reads = request.method in {"GET", "HEAD"}
        asked = request.headers.get("accept-profile" if reads else "content-profile")
        schemas = self._settings.schemas
        if asked is not None and asked not in schemas:
            listed = ", ".join(schemas)
            raise QueryError(406, "PGRST106", f"The schema must be one of the following: {listed}")
        return asked or schemas[0]

    async def _read(
        self,
        request: Request,
        connection: Connection,
        relation: sql.Composed,
        query: Query,
        prefer: frozenset[str],
    ) -> Response:
        limits = [limit for limit in (query.limit, self._settings.max_rows) if limit is not None]
        clause = selection(relation, query, min(limits, default=None))
        total = None
        if "count=exact" in prefer:
            total = await _count(connection, relation, query)
            if query.offset and query.offset > total:
                detail = (
                    f"An offset of {query.offset} was requested, but there are only {total} rows."
                )
                raise QueryError(416, "PGRST103", "Requested range not satisfiable", detail)
        found = (await _fetch(connection, clause))._replace(total=total)
        partial = total is not None and found.rows < total
        return _shown(request, found, 206 if partial else 200, query.offset)

    async def _write(
        self,
        request: Request,
        connection: Connection,
        clause: Clause,
        query: Query,
        prefer: frozenset[str],
    ) -> Response:
        made = request.method == "POST"
        if "return=representation" not in prefer:
            await connection.execute(sql.Composed([clause.text]), clause.values)
            return Response(status_code=201 if made else 204)
        steps = sql.SQL("with _t as ({} returning _t.*), _q as (select {} from _t)")
        shown = Clause(steps.format(clause.text, query.columns), clause.values)
        found = await _fetch(connection, shown)
        return _shown(request, found, 201 if made else 200, 0)


def selection(relation: sql.Composed, query: Query, limit: int | None) -> Clause:
    """The `with` that reads rows."""
    where = query.where
    start = sql.SQL("with _q as (select {} from {} as {}")
    parts = [start.format(query.columns, relation, _TABLE), where.text]
    values: tuple[Any, ...] = where.values
    if query.order is not None:
        parts.append(sql.SQL(" order by {}").format(query.order))
    if limit is not None:
        parts.append(sql.SQL(" limit %s"))
        values += (limit,)
    if query.offset:
        parts.append(sql.SQL(" offset %s"))
        values += (query.offset,)
    return Clause(sql.Composed([*parts, sql.SQL(")")]), values)


def insertion(relation: sql.Composed, query: Query, body: bytes) -> Clause:
    """The statement that inserts what a body holds.

    Raises:
        QueryError: The body cannot be read.
    """
    rows, columns = read_rows(body, query.given)
    if rows and not columns:
        return Clause(sql.SQL("insert into {} as {} default values").format(relation, _TABLE))
    names = sql.SQL(", ").join(map(name, columns)) if columns else sql.SQL("*")
    text = sql.SQL("insert into {} as {} {} select {} from json_populate_recordset(null::{}, %s)")
    into = sql.SQL("({})").format(names) if columns else sql.SQL("")
    return Clause(text.format(relation, _TABLE, into, names, relation), (json.dumps(rows),))


def change(relation: sql.Composed, query: Query, body: bytes) -> Clause:
    """The statement that changes rows to what a body holds.

    Raises:
        QueryError: The body is not one object with something in it.
    """
    rows, columns = read_rows(body, query.given)
    if len(rows) != 1 or not columns:
        raise QueryError(400, "PGRST102", "Empty or invalid json")
    pair = sql.SQL("{0} = _b.{0}")
    pairs = sql.SQL(", ").join(pair.format(name(column)) for column in columns)
    text = sql.SQL("update {} as {} set {} from json_populate_record(null::{}, %s) as _b{}")
    where = query.where
    statement = text.format(relation, _TABLE, pairs, relation, where.text)
    return Clause(statement, (json.dumps(rows[0]), *where.values))


def removal(relation: sql.Composed, query: Query) -> Clause:
    """The statement that deletes rows."""
    text = sql.SQL("delete from {} as {}{}").format(relation, _TABLE, query.where.text)
    return Clause(text, query.where.values)


async def _count(connection: Connection, relation: sql.Composed, query: Query) -> int:
    where = query.where
    text = sql.SQL("select count(*) from {} as {}{}").format(relation, _TABLE, where.text)
    row = await (await connection.execute(text, where.values)).fetchone()
    return int(row[0]) if row else 0


async def _fetch(connection: Connection, clause: Clause) -> Found:
    """Have the database write the rows of a `with` that makes `_q` as JSON."""
    text = sql.SQL("{} select coalesce(json_agg(_q), '[]')::text, count(*) from _q")
    row = await (await connection.execute(text.format(clause.text), clause.values)).fetchone()
    return Found(row[0], row[1]) if row else Found("[]", 0)


def _preferences(request: Request) -> frozenset[str]:
    said = ",".join(request.headers.getlist("prefer"))
    return frozenset(word.strip() for word in said.split(","))


def _shown(request: Request, found: Found, status: int, offset: int) -> Response:
    if _OBJECT in request.headers.get("accept", ""):
        if found.rows != 1:
            message = "JSON object requested, multiple (or no) rows returned"
            detail = f"The result contains {found.rows} rows"
            raise QueryError(406, "PGRST116", message, detail)
        one = json.dumps(json.loads(found.body)[0])
        return Response(one, status, media_type=f"{_OBJECT}; charset=utf-8")
    reach = f"{offset}-{offset + found.rows - 1}" if found.rows else "*"
    headers = {"Content-Range": f"{reach}/{'*' if found.total is None else found.total}"}
    return Response(found.body, status, headers, media_type=_JSON)


def _problem(
    status: int,
    code: str,
    message: str,
    details: str | None = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {"code": code, "details": details, "hint": hint, "message": message}
    return Response(json.dumps(body), status, headers, media_type=_JSON)
