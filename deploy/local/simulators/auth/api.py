"""Supabase Auth's HTTP API, with or without the `/auth/v1` that the gateway puts before it."""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette

from deploy.local.simulators.auth.state import AuthError
from deploy.local.simulators.auth.users import SupabaseAuth
from deploy.local.simulators.wire import Answer, Call, Router, asgi, json_answer

_BASE = "/auth/v1"
_DATED = "2024-01-01"
_USER = "/admin/users/{user_id}"
_OPEN = "auth.jwks"


def auth_api(auth: SupabaseAuth) -> Starlette:
    """Return the API as an application."""
    return asgi(AuthAPI(auth))


class AuthAPI:
    """Answers calls."""

    def __init__(self, auth: SupabaseAuth) -> None:
        self.auth = auth
        self.router = Router()
        on = self.router.add
        on("GET", "/.well-known/jwks.json", _OPEN, self._jwks)
        on("GET", "/health", "auth.health", self._health)
        on("GET", "/settings", "auth.settings", self._settings)
        on("POST", "/signup", "auth.signup", self._signup)
        on("POST", "/token", "auth.token", self._token)
        on("POST", "/logout", "auth.logout", self._logout)
        on("GET", "/user", "auth.user", lambda q: auth.whoami(_bearer(q))[0].view())
        on("PUT", "/user", "auth.change", self._change)
        on("GET", "/admin/users", "auth.admin_list", self._admin(self._list))
        on("POST", "/admin/users", "auth.admin_create", self._admin(self._create))
        on("GET", _USER, "auth.admin_get", self._admin(lambda q: auth.user(_id(q)).view()))
        on(
            "PUT",
            _USER,
            "auth.admin_change",
            self._admin(lambda q: auth.admin_change(_id(q), q.json())),
        )
        on("DELETE", _USER, "auth.admin_delete", self._admin(lambda q: auth.delete_user(_id(q))))

    async def __call__(self, call: Call) -> Answer:
        """Answer a call; refusals carry `x-sb-error-code`."""
        try:
            return self._answer(call)
        except AuthError as error:
            return _refusal(error, call)
        except (ValueError, TypeError, AttributeError, KeyError):
            return _refusal(AuthError(400, "bad_json", "Could not parse request body"), call)

    def _answer(self, call: Call) -> Answer:
        path = call.path.removeprefix(_BASE)
        found = self.router.match(call.method, path)
        if found is None:
            raise AuthError(404, "not_found", "404: path not found")
        route, call.params = found
        if route.operation != _OPEN:
            if refusal := self._keyless(call):
                return refusal
            self._limit(route.operation, call)
        result = route.endpoint(call)
        return result if isinstance(result, Answer) else json_answer(result)

    def _keyless(self, call: Call) -> Answer | None:
        if call.headers.get("apikey") in {self.auth.anon_key, self.auth.service_key}:
            return None
        known = "apikey" in call.headers
        text = "Invalid API key" if known else "No API key found in request"
        hint = "Double check the API key" if known else "No `apikey` request header was found."
        return json_answer({"message": text, "hint": hint}, 401)

    def _limit(self, operation: str, call: Call) -> None:
        address = call.headers.get("sb-forwarded-for") or call.client
        limited = operation in {"auth.signup", "auth.token"}
        if limited and not self.auth.limits.allows(operation, address, self.auth.now()):
            raise AuthError(429, "over_request_rate_limit", "Request rate limit reached")

    def _jwks(self, _: Call) -> Answer:
        return json_answer(self.auth.keys.jwks(), headers={"cache-control": "public, max-age=600"})

    def _health(self, _: Call) -> dict[str, str]:
        return {
            "version": "v2.180.0",
            "name": "GoTrue",
            "description": "GoTrue is a user registration and authentication API",
        }

    def _settings(self, _: Call) -> dict[str, Any]:
        return {
            "external": {"email": True, "phone": False},
            "disable_signup": False,
            "mailer_autoconfirm": self.auth.autoconfirm,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
        }

    def _signup(self, call: Call) -> dict[str, Any]:
        body = call.json()
        if not body.get("password"):
            raise AuthError(400, "validation_failed", "Signup requires a valid password")
        return self.auth.sign_up(body.get("email") or "", body["password"], body.get("data"))

    def _token(self, call: Call) -> dict[str, Any]:
        body, grant = call.json(), call.first("grant_type")
        if grant == "password":
            return self.auth.sign_in(body.get("email") or "", body.get("password") or "")
        if grant == "refresh_token":
            return self.auth.refresh(body.get("refresh_token") or "")
        raise AuthError(400, "validation_failed", "unsupported_grant_type", oauth="invalid_request")

    def _logout(self, call: Call) -> Answer:
        scope = call.first("scope", "global")
        if scope not in {"global", "local", "others"}:
            raise AuthError(400, "validation_failed", f"Unsupported logout scope {scope!r}")
        self.auth.sign_out(_bearer(call), scope)
        return Answer(204)

    def _change(self, call: Call) -> dict[str, Any]:
        user, _ = self.auth.whoami(_bearer(call))
        return self.auth.change(user, call.json())

    def _admin(self, endpoint: Callable[[Call], Any]) -> Callable[[Call], Any]:
        def guarded(call: Call) -> Any:
            bearer = _bearer(call)
            if not bearer:
                raise AuthError(401, "no_authorization", "This endpoint requires a Bearer token")
            if bearer != self.auth.service_key:
                raise AuthError(403, "not_admin", "User not allowed")
            return endpoint(call)

        return guarded

    def _list(self, call: Call) -> dict[str, Any]:
        page, size = int(call.first("page", "1")), int(call.first("per_page", "50"))
        users = list(self.auth.users.values())[(page - 1) * size : page * size]
        return {"aud": "authenticated", "users": [user.view() for user in users]}

    def _create(self, call: Call) -> dict[str, Any]:
        body = call.json()
        confirmed = bool(body.get("email_confirm"))
        email, data = body["email"].strip().lower(), body.get("user_metadata")
        user = self.auth.add_user(email, body.get("password") or "", data, confirmed=confirmed)
        return user.view()


def _refusal(error: AuthError, call: Call) -> Answer:
    modern = call.headers.get("x-supabase-api-version", "") >= _DATED
    headers = {"x-sb-error-code": error.code}
    return json_answer(error.body(modern=modern), error.status, headers)


def _bearer(call: Call) -> str:
    return call.headers.get("authorization", "").removeprefix("Bearer ").strip()


def _id(call: Call) -> str:
    return call.params["user_id"]
