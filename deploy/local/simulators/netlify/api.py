"""Netlify's HTTP API, as far as sites, variables and builds go."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from starlette.applications import Starlette

from deploy.local.simulators.clock import rfc3339
from deploy.local.simulators.netlify.state import Deploy, NetlifyError, Site, Value, Variable
from deploy.local.simulators.netlify.team import TEAM, NetlifyTeam
from deploy.local.simulators.netlify.words import SCOPES, checked_key, checked_value
from deploy.local.simulators.wire import Answer, Call, Router, asgi, json_answer

_BASE = "/api/v1"
_ENV = "/accounts/{account_id}/env"
_KEY = _ENV + "/{key}"
_VALUE = _KEY + "/value/{id}"
_SITE = "/sites/{site_id}"
_MOST = 100


def netlify_api(team: NetlifyTeam) -> Starlette:
    """Return the API as an application; the server it runs in writes the `date`."""
    api = NetlifyAPI(team)

    async def undated(call: Call) -> Answer:
        answer = await api(call)
        del answer.headers["date"]
        return answer

    return asgi(undated)


class NetlifyAPI:
    """Answers calls."""

    def __init__(self, team: NetlifyTeam) -> None:
        self.team = team
        self.router = Router()
        on = self.router.add
        on("GET", _SITE, "sites.get", self._get_site)
        on("GET", _ENV, "variables.list", self._list)
        on("POST", _ENV, "variables.create", self._create)
        on("GET", _KEY, "variables.get", lambda q: self._variable(q).view())
        on("PUT", _KEY, "variables.replace", self._replace)
        on("PATCH", _KEY, "variables.set", self._set)
        on("DELETE", _KEY, "variables.delete", self._delete)
        on("DELETE", _VALUE, "values.delete", self._delete_value)
        on("POST", _SITE + "/builds", "builds.create", self._build)
        on("GET", "/builds/{build_id}", "builds.get", self._get_build)
        on("GET", _SITE + "/deploys", "deploys.list", self._deploys)
        on("GET", "/deploys/{deploy_id}", "deploys.get", self._get_deploy)

    async def __call__(self, call: Call) -> Answer:
        """Answer a call; every answer carries the request's ID, the time and the limits."""
        try:
            answer = self._answer(call)
        except NetlifyError as error:
            body = {"code": error.status, "message": str(error)}
            answer = json_answer(body, error.status, error.headers)
        except (ValueError, TypeError, AttributeError, KeyError):
            answer = json_answer({"code": 400, "message": "Bad Request"}, 400)
        now = self.team.now()
        date = format_datetime(datetime.fromtimestamp(int(now), UTC), usegmt=True)
        told = {"date": date, "x-nf-request-id": self.team.ids.ulid(now)}
        answer.headers = told | self.team.limits.headers() | answer.headers
        return answer

    def _answer(self, call: Call) -> Answer:
        if call.headers.get("authorization", "") != f"Bearer {self.team.token}":
            raise NetlifyError(401, "Access Denied")
        if not self.team.limits.allows(self.team.now()):
            raise NetlifyError(429, "API rate limit exceeded")
        found = self.router.match(call.method, call.path.removeprefix(_BASE))
        if found is None:
            raise NetlifyError(404, "Not Found")
        route, call.params = found
        result = route.endpoint(call)
        return result if isinstance(result, Answer) else json_answer(result)

    # Sites

    def _get_site(self, call: Call) -> dict[str, Any]:
        site, team = self.team.site(call.params["site_id"]), self.team
        published = team.published(site.id)
        return {
            "id": site.id,
            "state": "current",
            "name": site.name,
            "url": site.url,
            "ssl_url": site.url,
            "created_at": rfc3339(site.created_at),
            "account_id": team.account,
            "account_slug": team.slug,
            "account_name": team.slug,
            "build_settings": {"repo_branch": site.branch, "stop_builds": site.stop_builds},
            "published_deploy": published and published.view(site, team.now()),
        }

    # Variables

    def _list(self, call: Call) -> list[dict[str, Any]]:
        context, scope = call.first("context_name"), call.first("scope")
        return [
            variable.view()
            for variable in self._place(call)[1].values()
            if (not scope or scope in variable.scopes)
            and (not context or variable.seen_by(context, "") is not None)
        ]

    def _create(self, call: Call) -> Answer:
        site, variables = self._place(call)
        made = [self._made(body, variables) for body in call.json()]
        variables.update({variable.key: variable for variable in made})
        for variable, body in zip(made, call.json(), strict=True):
            self.team.record("POST", _ENV, "variables.create", site, variable.key, body)
        return json_answer([variable.view() for variable in made], 201)

    def _made(self, body: dict[str, Any], among: dict[str, Variable]) -> Variable:
        variable = self._written(body, body["key"])
        if variable.key in among:
            raise NetlifyError(409, f"Environment variable {variable.key} already exists")
        return variable

    def _replace(self, call: Call) -> dict[str, Any]:
        (site, variables), old = self._place(call), self._variable(call)
        new = self._written(call.json(), call.json().get("key", old.key))
        del variables[old.key]
        variables[new.key] = new
        self.team.record("PUT", _KEY, "variables.replace", site, new.key, call.json())
        return new.view()

    def _set(self, call: Call) -> Answer:
        (site, _), variable = self._place(call), self._variable(call)
        value = self._value(call.json(), secret=variable.is_secret)
        same = next((v for v in variable.values if v.where == value.where), None)
        if same is None:
            variable.values.append(value)
        else:
            same.value = value.value
        variable.updated_at = self.team.now()
        self.team.record("PATCH", _KEY, "variables.set", site, variable.key, call.json())
        return json_answer(variable.view(), 201)

    def _delete(self, call: Call) -> Answer:
        (site, variables), variable = self._place(call), self._variable(call)
        del variables[variable.key]
        self.team.record("DELETE", _KEY, "variables.delete", site, variable.key, {})
        return Answer(204)

    def _delete_value(self, call: Call) -> Answer:
        (site, variables), variable = self._place(call), self._variable(call)
        left = [value for value in variable.values if value.id != call.params["id"]]
        if len(left) == len(variable.values):
            raise NetlifyError(404, "Not Found")
        variable.values, variable.updated_at = left, self.team.now()
        if not left:
            del variables[variable.key]
        self.team.record("DELETE", _VALUE, "values.delete", site, variable.key, {})
        return Answer(204)

    def _place(self, call: Call) -> tuple[str, dict[str, Variable]]:
        """Return whose variables are meant: without `site_id` the whole team's."""
        if call.params["account_id"] not in {self.team.account, self.team.slug}:
            raise NetlifyError(404, "Not Found")
        site = call.first("site_id", TEAM)
        if site != TEAM:
            self.team.site(site)
        return site, self.team.variables[site]

    def _variable(self, call: Call) -> Variable:
        variable = self._place(call)[1].get(call.params["key"])
        if variable is None:
            raise NetlifyError(404, "Not Found")
        return variable

    def _written(self, body: dict[str, Any], key: str) -> Variable:
        secret, scopes = bool(body.get("is_secret")), body.get("scopes")
        if scopes and set(scopes) != set(SCOPES) and not self.team.specific_scopes:
            raise NetlifyError(403, "Upgrade your Netlify account to set specific scopes")
        allowed = [scope for scope in SCOPES if not (secret and scope == "post-processing")]
        if not set(scopes or allowed) <= set(allowed):
            raise NetlifyError(422, "Invalid scopes")
        values = [self._value(value, secret=secret) for value in body["values"]]
        return Variable(checked_key(key), values, scopes or allowed, secret, self.team.now())

    def _value(self, body: dict[str, Any], *, secret: bool) -> Value:
        value, context, parameter = checked_value(body, secret=secret)
        return Value(self.team.ids.uuid(), value, context, parameter)

    # Builds

    def _build(self, call: Call) -> dict[str, Any]:
        site, team = self.team.site(call.params["site_id"]), self.team
        if not team.limits.allows_deploy(site.id, team.now()):
            told = team.limits.deploys(site.id).headers()
            raise NetlifyError(429, "Too many deploys of this site", told)
        query = {name: call.first(name) for name in call.query}
        deploy = team.trigger(site.id, branch=call.first("branch"), title=call.first("title"))
        team.record("POST", _SITE + "/builds", "builds.create", site.id, deploy.build_id, query)
        return deploy.build_view(team.now())

    def _get_build(self, call: Call) -> dict[str, Any]:
        wanted = call.params["build_id"]
        for deploy in self.team.deploys.values():
            if deploy.build_id == wanted:
                return deploy.build_view(self.team.now())
        raise NetlifyError(404, "Not Found")

    def _get_deploy(self, call: Call) -> dict[str, Any]:
        deploy = self.team.deploys.get(call.params["deploy_id"])
        if deploy is None:
            raise NetlifyError(404, "Not Found")
        return deploy.view(self.team.sites[deploy.site_id], self.team.now())

    def _deploys(self, call: Call) -> list[dict[str, Any]]:
        site, now = self.team.site(call.params["site_id"]), self.team.now()
        shown = [deploy for deploy in reversed(self.team.deploys.values()) if _of(deploy, site)]
        wanted = [
            view
            for view in (deploy.view(site, now) for deploy in shown)
            if all(call.first(name) in {"", view[name]} for name in ("state", "branch"))
        ]
        page, size = int(call.first("page", "1")), min(_MOST, int(call.first("per_page", "100")))
        return wanted[(page - 1) * size : page * size]


def _of(deploy: Deploy, site: Site) -> bool:
    return deploy.site_id == site.id
