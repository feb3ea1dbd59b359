"""`supabase/gotrue`: users who sign up and in with address and password, and their tokens.

There are no mails, no other providers and no administration of users.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.services import tokens, users
from deploy.local.services.database import Database, require
from deploy.local.services.serving import serve
from deploy.local.services.settings import Variables

_EMAIL: Final = re.compile(r"[^@\s\0]+@[^@\s\0]+\.[^@\s\0]+")
_MAX_EMAIL: Final = 255
_MAX_BODY: Final = 1 << 20  # bytes: GoTrue's own limit
_SCOPES: Final = ("global", "local", "others")
_HEALTH: Final = {
    "version": "v2.143.0",
    "name": "GoTrue",
    "description": "GoTrue is a user registration and authentication API",
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Settings:
    """GoTrue's own settings, as far as they are heeded."""

    port: int
    url: str
    secret: str
    lifetime: int
    audience: str
    issuer: str
    autoconfirm: bool
    signup: bool
    shortest_password: int

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check the settings; GoTrue refuses to start without those required here.

        Raises:
            SettingsError: Something is missing or wrong.
        """
        variables = Variables(environ, "gotrue")
        web = ("http", "https")
        external = variables.url("API_EXTERNAL_URL", schemes=web)
        variables.url("GOTRUE_SITE_URL", schemes=web)
        settings = cls(
            port=variables.port(),
            url=variables.database("GOTRUE_DB_DATABASE_URL", "DATABASE_URL"),
            secret=variables.text("GOTRUE_JWT_SECRET", minimum=32),
            lifetime=variables.number("GOTRUE_JWT_EXP", 3600, 1),
            audience=variables.text("GOTRUE_JWT_AUD", default="authenticated"),
            issuer=variables.text("GOTRUE_JWT_ISSUER", default=external),
            autoconfirm=variables.flag("GOTRUE_MAILER_AUTOCONFIRM", default=False),
            signup=not variables.flag("GOTRUE_DISABLE_SIGNUP", default=False),
            shortest_password=variables.number("GOTRUE_PASSWORD_MIN_LENGTH", 6),
        )
        variables.check()
        return settings


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request is refused; told as GoTrue tells it.

    Attributes:
        status: The HTTP status.
        body: The answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"code": status, "msg": message}


class NotGranted(Refused):
    """No token is given out; told as OAuth tells it."""

    def __init__(self, message: str, error: str = "invalid_grant") -> None:
        super().__init__(400, message)
        self.body = {"error": error, "error_description": message}


def run(environ: Mapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; without its tables it does not start.

    Raises:
        SettingsError: Variables are missing or wrong.
    """
    settings = Settings.read(environ)
    require(settings.url, "auth.refresh_tokens")
    api = Api(settings)
    serve(api.app(), settings.port, close=api.database.close)


class Api:
    """The endpoints."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.database = Database(settings.url)

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/signup", _answering(self.sign_up), methods=["POST"]),
                Route("/token", _answering(self.token), methods=["POST"]),
                Route("/user", _answering(self.user)),
                Route("/logout", _answering(self.log_out), methods=["POST"]),
            ]
        )

    async def health(self, _: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse(_HEALTH)

    async def sign_up(self, request: Request) -> Response:
        """Add a user; one who is confirmed at once is signed in."""
        if not self._settings.signup:
            raise Refused(403, "Signups not allowed for this instance")
        body = await _body(request)
        email, password = self._credentials(body)
        data = body.get("data")
        kept = await users.hashed(password)
        async with self.database.transaction() as connection:
            try:
                user = await users.create(
                    connection,
                    email,
                    kept,
                    data if isinstance(data, dict) else {},
                    confirmed=self._settings.autoconfirm,
                    audience=self._settings.audience,
                )
            except users.UserExistsError:
                raise Refused(400, "User already registered") from None
            if not user.confirmed:
                return JSONResponse(user.view)
            session = await users.open_session(connection, user.id)
        return JSONResponse(self._granted(session))

    async def token(self, request: Request) -> Response:
        """Give out tokens for a password or a refresh token."""
        kind = request.query_params.get("grant_type")
        body = await _body(request)
        if kind == "password":
            return JSONResponse(self._granted(await self._by_password(body)))
        if kind == "refresh_token":
            return JSONResponse(self._granted(await self._by_refresh_token(body)))
        raise NotGranted("", "unsupported_grant_type")

    async def user(self, request: Request) -> Response:
        """Show the user whose token it is."""
        claims = self._claims(request)
        async with self.database.transaction() as connection:
            user = await users.find(connection, str(claims.get("sub")))
        if user is None:
            raise Refused(404, "User from sub claim in JWT does not exist")
        return JSONResponse(user.view)

    async def log_out(self, request: Request) -> Response:
        """End sessions; tokens that were given out hold until they expire."""
        claims = self._claims(request)
        scope = request.query_params.get("scope", "global")
        if scope not in _SCOPES:
            raise Refused(400, f"Unsupported logout scope {scope[:20]!r}")
        subject, session = str(claims.get("sub")), str(claims.get("session_id"))
        async with self.database.transaction() as connection:
            await users.close_sessions(connection, subject, session, scope)
        return Response(status_code=204)

    # Steps

    def _credentials(self, body: dict[str, Any]) -> tuple[str, str]:
        email, password = body.get("email"), body.get("password")
        if not isinstance(password, str) or not password:
            raise Refused(422, "Signup requires a valid password")
        if len(password) < self._settings.shortest_password:
            shortest = self._settings.shortest_password
            raise Refused(422, f"Password should be at least {shortest} characters")
        if not isinstance(email, str) or len(email) > _MAX_EMAIL or not _EMAIL.fullmatch(email):
            raise Refused(422, "Unable to validate email address: invalid format")
        return email.lower(), password

    async def _by_password(self, body: dict[str, Any]) -> users.Session:
        email, password = str(body.get("email", "")), str(body.get("password", ""))
        if "\0" in email:
            raise NotGranted("Invalid login credentials")
        async with self.database.transaction() as connection:
            try:
                user = await users.log_in(connection, email.lower(), password)
            except users.GrantError as error:
                raise NotGranted(str(error)) from None
            return await users.open_session(connection, user.id)

    async def _by_refresh_token(self, body: dict[str, Any]) -> users.Session:
        given = str(body.get("refresh_token", "")).replace("\0", "")
        async with self.database.transaction() as connection:
            try:
                session = await users.renew(connection, given)
            except users.GrantError as error:
                raise NotGranted(str(error)) from None
        # Refused only here: that the session is over has to be committed.
        if session is None:
            raise NotGranted("Invalid Refresh Token: Already Used")
        return session

    def _claims(self, request: Request) -> dict[str, Any]:
        token = tokens.bearer(request.headers.get("authorization"))
        if token is None:
            raise Refused(401, "This endpoint requires a Bearer token")
        try:
            return tokens.verify(token, self._settings.secret)
        except tokens.TokenError as error:
            message = f"invalid JWT: unable to parse or verify signature, {error}"
            raise Refused(401, message) from None

    def _granted(self, session: users.Session) -> dict[str, Any]:
        """A session as its user is told it."""
        now = int(time.time())
        expires, user = now + self._settings.lifetime, session.user.view
        claims = {
            "iss": self._settings.issuer,
            "sub": session.user.id,
            "aud": user["aud"],
            "iat": now,
            "exp": expires,
            "email": user["email"],
            "phone": user["phone"],
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "role": user["role"],
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": session.id,
        }
        return {
            "access_token": tokens.sign(claims, self._settings.secret),
            "token_type": "bearer",
            "expires_in": self._settings.lifetime,
            "expires_at": expires,
            "refresh_token": session.refresh_token,
            "user": user,
        }


def _answering(handle: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)
        except psycopg.DataError:  # text that no database keeps
            return JSONResponse({"code": 400, "msg": "Could not parse request body as JSON"}, 400)
        except psycopg.OperationalError:
            return JSONResponse({"code": 500, "msg": "Database error"}, 500)

    return answer


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent."""
    text = b""
    async for chunk in request.stream():
        text += chunk
        if len(text) > _MAX_BODY:
            raise Refused(413, "Request body too large")
    try:
        body = json.loads(text)
        json.dumps(body, ensure_ascii=False).encode()  # half characters are no text
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "Could not parse request body as JSON")
    return body
