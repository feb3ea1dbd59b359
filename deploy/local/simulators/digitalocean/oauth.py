"""The authorisation server: a page that asks for consent, and the endpoints behind it."""

from html import escape
from urllib.parse import parse_qs, urlencode

from deploy.local.simulators.digitalocean.grants import Grants
from deploy.local.simulators.digitalocean.state import DEFAULT_EMAIL, OAuthError
from deploy.local.simulators.wire import Answer, Call, json_answer

_BASE = "/v1/oauth"
_SCOPES = frozenset({"read", "write"})
_PKCE = ("code_challenge", "code_challenge_method")
_CARRIED = ("client_id", "redirect_uri", "response_type", "scope", "state", *_PKCE)
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
}
_STYLE = (
    "body{font:16px system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}"
    "label,input,button{display:block;margin:.5rem 0;font:inherit}"
    "input,button{box-sizing:border-box;width:100%;padding:.5rem}"
)


class OAuthPages:
    """Answers calls of the authorisation server."""

    def __init__(self, cloud: Grants) -> None:
        self.cloud = cloud

    def answer(self, call: Call) -> Answer:
        """Answer a call."""
        form = _form(call)
        endpoint = (call.method, call.path.removeprefix(_BASE))
        try:
            if endpoint == ("GET", "/authorize"):
                return self._ask(form)
            if endpoint == ("POST", "/authorize"):
                return self._decide(form)
            if endpoint == ("POST", "/token"):
                return _unstored(json_answer(self.cloud.token(form)))
            if endpoint == ("POST", "/revoke"):
                bearer = call.headers.get("authorization", "")
                return json_answer(self.cloud.revoke(form.get("token", ""), bearer))
        except OAuthError as error:
            return _unstored(json_answer(error.body(), error.status))
        return json_answer({"error": "not_found", "error_description": "not found"}, 404)

    def _ask(self, form: dict[str, str], complaint: str = "") -> Answer:
        """Show the page that asks, or say why nobody is asked."""
        refusal = self._refusal(form)
        if refusal:
            return refusal
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(form.get(name, ""))}">'
            for name in _CARRIED
        )
        may = "read and change" if "write" in _scope(form) else "read"
        email = escape(form.get("email") or DEFAULT_EMAIL)
        return _html(
            f"<h1>Authorize {escape(self.cloud.app.name)}</h1>"
            f"<p>It will be able to {may} everything in your DigitalOcean account.</p>"
            f'<p role="alert">{escape(complaint)}</p>'
            f'<form method="post" action="{_BASE}/authorize">{hidden}'
            f'<label>Account<input type="email" name="email" value="{email}" required></label>'
            '<button name="decision" value="authorize">Authorize application</button>'
            '<button name="decision" value="deny" formnovalidate>Cancel</button></form>'
        )

    def _decide(self, form: dict[str, str]) -> Answer:
        refusal = self._refusal(form)
        if refusal:
            return refusal
        if form.get("decision") != "authorize":
            denied = "The resource owner or authorization server denied the request."
            return _back(form, {"error": "access_denied", "error_description": denied})
        email = form.get("email", "").strip().lower()
        if "@" not in email:
            return self._ask(form, "Enter the address of your account.")
        scope = " ".join(sorted(_scope(form)))
        challenge = form.get("code_challenge", "")
        code = self.cloud.consent(email, scope, form["redirect_uri"], challenge)
        return _back(form, {"code": code})

    def _refusal(self, form: dict[str, str]) -> Answer | None:
        """Return what goes back where nobody may be asked.

        An application that does not show where it is registered gets no redirect at all:
        the address could be anybody's.
        """
        if not self.cloud.accepts(form.get("client_id", ""), form.get("redirect_uri", "")):
            return _html("<h1>Unknown application</h1><p>Its address is not registered.</p>", 400)
        if form.get("response_type") != "code":
            return _back(form, {"error": "unsupported_response_type"})
        if not _scope(form) <= _SCOPES:
            return _back(form, {"error": "invalid_scope"})
        if form.get("code_challenge") and form.get("code_challenge_method") != "S256":
            return _back(form, {"error": "invalid_request"})
        return None


def _scope(form: dict[str, str]) -> set[str]:
    return set((form.get("scope") or "read").split())


def _form(call: Call) -> dict[str, str]:
    """Return the fields of the address and of the body, which both count here."""
    fields = {name: values[0] for name, values in call.query.items()}
    body = parse_qs(call.body.decode(errors="replace"), keep_blank_values=True)
    return fields | {name: values[0] for name, values in body.items()}


def _back(form: dict[str, str], answer: dict[str, str]) -> Answer:
    """Send the browser back to the application; the state goes along untouched."""
    if "state" in form:
        answer = answer | {"state": form["state"]}
    uri = form["redirect_uri"]
    location = f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}"
    return Answer(302, headers={"location": location, "cache-control": "no-store"})


def _html(body: str, status: int = 200) -> Answer:
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>DigitalOcean</title>'
        f"<style>{_STYLE}</style><main>{body}</main></html>"
    )
    return Answer(status, page.encode(), dict(_HEADERS))


def _unstored(answer: Answer) -> Answer:
    answer.headers["cache-control"] = "no-store"
    return answer
