"""The API for droplets, and the authorisation server's pages, over a cloud."""

from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import urlencode

import anyio

from deploy.local.simulators.digitalocean.cloud import DigitalOceanCloud
from deploy.local.simulators.digitalocean.oauth import OAuthPages
from deploy.local.simulators.digitalocean.state import DigitalOceanError, Team
from deploy.local.simulators.wire import Answer, Call, Endpointed, Router, json_answer

API_HOST = "api.digitalocean.com"
OAUTH_HOST = "cloud.digitalocean.com"
_DROPLET = "/v2/droplets/{droplet_id}"
_KEYS = "/v2/account/keys"
_MOST, _USUAL = 200, 20
_NO_CONTENT = 204

Endpoint = Callable[[Team, Call], Any]


class DigitalOceanAPI:
    """Answers calls for both hosts, whose paths have nothing in common."""

    def __init__(self, cloud: DigitalOceanCloud) -> None:
        self.cloud = cloud
        self.pages = OAuthPages(cloud)
        self.router = Router()
        self._statuses: dict[str, int] = {}
        self._add_droplets()
        self._add_actions()
        self._add_team()

    async def __call__(self, call: Call) -> Answer:
        """Answer a call; every answer carries an `x-request-id` and the server's `date`."""
        if self.cloud.timings.api_seconds:
            await anyio.sleep(self.cloud.timings.api_seconds)
        request_id = self.cloud.request_id()
        if call.path.startswith("/v1/oauth/"):
            answer = self.pages.answer(call)
        else:
            answer = self._answered(call, request_id)
        answer.headers["x-request-id"] = request_id
        answer.headers["date"] = formatdate(self.cloud.now(), usegmt=True)
        return answer

    def _answered(self, call: Call, request_id: str) -> Answer:
        headers: dict[str, str] = {}
        try:
            answer = self._answer(call, headers)
        except DigitalOceanError as error:
            answer = json_answer(error.body(request_id), error.status)
        except (ValueError, TypeError, AttributeError, KeyError):
            wrong = DigitalOceanError(400, "bad_request", "The request could not be parsed.")
            answer = json_answer(wrong.body(request_id), wrong.status)
        answer.headers.update(headers)
        return answer

    def _answer(self, call: Call, headers: dict[str, str]) -> Answer:
        cloud = self.cloud
        writes = call.method != "GET"
        team = cloud.authenticate(call.headers.get("authorization", ""), writes=writes)
        allowed, told = cloud.limits.take(team.uuid, cloud.now())
        headers.update(told)
        if not allowed:
            raise DigitalOceanError(429, "too_many_requests", "API Rate limit exceeded.")
        found = self.router.match(call.method, call.path)
        if found is None:
            raise DigitalOceanError(404, "not_found", "The resource you requested was not found.")
        route, call.params = found
        if not writes:
            return json_answer(route.endpoint(call)(team))
        return self._mutate(route, call, team)

    def _mutate(self, route: Endpointed, call: Call, team: Team) -> Answer:
        self.cloud.history.mark()
        try:
            result = route.endpoint(call)(team)
            self.cloud.record(route, call, team, result)
        finally:
            self.cloud.history.unmark()
        status = self._statuses[route.operation]
        if status == _NO_CONTENT:
            return Answer(status, headers={"content-type": "application/json; charset=utf-8"})
        return json_answer(result, status)

    def _on(
        self, method: str, template: str, operation: str, endpoint: Endpoint, status: int = 200
    ) -> None:
        """Register an endpoint, which is given the team that the token belongs to."""

        def bound(call: Call) -> Callable[[Team], Any]:
            return lambda team: endpoint(team, call)

        self._statuses[operation] = status
        self.router.add(method, template, operation, bound)

    def _list(
        self, template: str, operation: str, key: str, entries: Callable[[Team, Call], list[Any]]
    ) -> None:
        self._on("GET", template, operation, lambda t, q: _page(q, key, entries(t, q)))

    def _add_droplets(self) -> None:
        on, c = self._on, self.cloud
        on(
            "POST",
            "/v2/droplets",
            "droplets.create",
            lambda t, q: c.create_droplet(t, q.json()),
            202,
        )
        self._list(
            "/v2/droplets",
            "droplets.list",
            "droplets",
            lambda t, q: c.list_droplets(t, q.first("tag_name"), q.first("name")),
        )
        on("GET", _DROPLET, "droplets.get", lambda t, q: c.get_droplet(t, _droplet(q)))
        delete = partial(on, "DELETE", _DROPLET, "droplets.delete", status=_NO_CONTENT)
        delete(lambda t, q: c.delete_droplet(t, _droplet(q)))

    def _add_actions(self) -> None:
        on, c = self._on, self.cloud
        path = _DROPLET + "/actions"
        on("POST", path, "actions.create", lambda t, q: c.act(t, _droplet(q), q.json()), 201)
        self._list(path, "actions.of", "actions", lambda t, q: c.list_actions(t, _droplet(q)))
        self._list("/v2/actions", "actions.list", "actions", lambda t, _: c.list_actions(t))
        on(
            "GET",
            "/v2/actions/{action_id}",
            "actions.get",
            lambda t, q: c.get_action(t, q.params["action_id"]),
        )
        on(
            "GET",
            path + "/{action_id}",
            "actions.get_of",
            lambda t, q: c.get_action(t, q.params["action_id"], _droplet(q)),
        )

    def _add_team(self) -> None:
        on, c = self._on, self.cloud
        on("GET", "/v2/account", "account.get", lambda t, _: c.get_account(t))
        self._list("/v2/regions", "regions.list", "regions", lambda _, __: c.list_regions())
        self._list("/v2/sizes", "sizes.list", "sizes", lambda _, __: c.list_sizes())
        on("GET", "/v2/images/{image}", "images.get", lambda _, q: c.get_image(q.params["image"]))
        self._list(_KEYS, "keys.list", "ssh_keys", lambda t, _: c.list_keys(t))
        on("POST", _KEYS, "keys.create", lambda t, q: c.create_key(t, q.json()), 201)
        on(
            "DELETE",
            _KEYS + "/{key}",
            "keys.delete",
            lambda t, q: c.delete_key(t, q.params["key"]),
            _NO_CONTENT,
        )


def _page(call: Call, key: str, entries: list[Any]) -> dict[str, Any]:
    """Return one page of a list, with the links and the total that the API tells."""
    size = min(_MOST, max(1, int(call.first("per_page", str(_USUAL)))))
    number = max(1, int(call.first("page", "1")))
    last = max(1, -(-len(entries) // size))
    more = {name: values[0] for name, values in call.query.items() if name != "page"}
    numbers = {"first": 1, "prev": number - 1} if number > 1 else {}
    numbers |= {"next": number + 1, "last": last} if number < last else {}
    address = f"https://{API_HOST}{call.path}"
    links = {name: f"{address}?{urlencode(more | {'page': n})}" for name, n in numbers.items()}
    return {
        key: entries[(number - 1) * size : number * size],
        "links": {"pages": links} if links else {},
        "meta": {"total": len(entries)},
    }


def _droplet(call: Call) -> str:
    return call.params["droplet_id"]
