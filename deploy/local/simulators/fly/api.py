"""The Machines API over a cloud."""

from collections.abc import Callable
from typing import Any

import anyio
from starlette.applications import Starlette

from deploy.local.simulators.fly.cloud import FlyCloud
from deploy.local.simulators.fly.state import FlyError
from deploy.local.simulators.wire import Answer, Call, Endpointed, Router, asgi, json_answer, settle

_NONCE = "fly-machine-lease-nonce"
_APP = "/v1/apps/{app_name}"
_MACHINE = _APP + "/machines/{machine_id}"
_VOLUME = _APP + "/volumes/{volume_id}"
_OK = 200
_NO_CONTENT = 204
_EVENTS = "20"
_EXEC = "machines.exec"


def fly_api(cloud: FlyCloud) -> Starlette:
    """Return the Machines API as an application."""
    return asgi(FlyAPI(cloud))


class FlyAPI:
    """Answers calls of the Machines API."""

    def __init__(self, cloud: FlyCloud) -> None:
        self.cloud = cloud
        self.router = Router()
        self._statuses: dict[str, int] = {}
        self._add_apps()
        self._add_volumes()
        self._add_machines()
        self._add_orders()
        self._add_notes()
        self._add_platform()

    async def __call__(self, call: Call) -> Answer:
        """Answer a call; every answer carries a `fly-request-id`."""
        try:
            answer = await self._answer(call)
        except FlyError as error:
            answer = json_answer(error.body(), error.status)
        except (ValueError, TypeError, AttributeError) as error:
            answer = json_answer({"error": f"invalid_argument: {error}"}, 400)
        answer.headers["fly-request-id"] = self.cloud.request_id()
        return answer

    async def _answer(self, call: Call) -> Answer:
        cloud = self.cloud
        cloud.authenticate(call.headers.get("authorization", ""))
        found = self.router.match(call.method, call.path)
        if found is None:
            raise FlyError(404, "not found")
        route, call.params = found
        self._limit(route, call)
        if cloud.timings.api_seconds:
            await anyio.sleep(cloud.timings.api_seconds)
        if route.method != "GET" or route.operation.endswith(".wait"):
            await self._reach(call)
        if not route.mutates:
            return self._done(route, await settle(route.endpoint(call)))
        if route.operation == _EXEC:
            result = await settle(route.endpoint(call))
            cloud.record(route, call, result)
            return self._done(route, result)
        cloud.history.mark()
        try:
            result = route.endpoint(call)
            cloud.record(route, call, result)
        finally:
            cloud.history.unmark()
        return self._done(route, result)

    def _limit(self, route: Endpointed, call: Call) -> None:
        params = call.params
        subject = params.get("machine_id") or params.get("app_name") or ""
        if not self.cloud.limits.allows(route.operation, subject, self.cloud.now()):
            raise FlyError(429, "rate limit exceeded")

    async def _reach(self, call: Call) -> None:
        if self.cloud.unreachable(call):
            await anyio.sleep(self.cloud.timings.hang_seconds)
            raise FlyError(504, "deadline_exceeded: host did not answer")

    def _done(self, route: Endpointed, result: Any) -> Answer:
        status = self._statuses[route.operation]
        return Answer(status) if status == _NO_CONTENT else json_answer(result, status)

    def _on(
        self,
        method: str,
        template: str,
        operation: str,
        endpoint: Callable[[Call], Any],
        status: int = _OK,
    ) -> None:
        self._statuses[operation] = status
        self.router.add(method, template, operation, endpoint)

    def _add_apps(self) -> None:
        on, c = self._on, self.cloud
        on("GET", "/v1/apps", "apps.list", c.list_apps)
        on("POST", "/v1/apps", "apps.create", lambda q: c.create_app(q.json()), 201)
        on("GET", _APP, "apps.get", lambda q: c.get_app(_app(q)))
        on("DELETE", _APP, "apps.delete", lambda q: c.delete_app(_app(q)), 202)
        ips, secrets = _APP + "/ip_assignments", _APP + "/secrets"
        on("GET", ips, "addresses.list", lambda q: c.list_addresses(_app(q)))
        on("POST", ips, "addresses.create", lambda q: c.assign_address(_app(q), q.json()))
        on(
            "DELETE",
            ips + "/{ip}",
            "addresses.delete",
            lambda q: c.release_address(_app(q), q.params["ip"]),
            _NO_CONTENT,
        )
        on("GET", secrets, "secrets.list", lambda q: c.list_secrets(_app(q)))
        on(
            "POST",
            secrets,
            "secrets.update",
            lambda q: c.set_secrets(_app(q), q.json().get("values") or {}),
        )
        one = secrets + "/{secret_name}"
        on("GET", one, "secrets.get", lambda q: c.get_secret(_app(q), _secret(q)))
        on(
            "POST",
            one,
            "secrets.set",
            lambda q: c.set_secret(_app(q), _secret(q), q.json().get("value", "")),
            201,
        )
        on("DELETE", one, "secrets.delete", lambda q: c.unset_secret(_app(q), _secret(q)))

    def _add_volumes(self) -> None:
        on, c = self._on, self.cloud
        every, snapshots = _APP + "/volumes", _VOLUME + "/snapshots"
        on("GET", every, "volumes.list", lambda q: c.list_volumes(_app(q), q))
        on("POST", every, "volumes.create", lambda q: c.create_volume(_app(q), q.json()))
        on("GET", _VOLUME, "volumes.get", lambda q: c.get_volume(*_volume(q)))
        on("PUT", _VOLUME, "volumes.update", lambda q: c.update_volume(*_volume(q), q.json()))
        on("DELETE", _VOLUME, "volumes.delete", lambda q: c.delete_volume(*_volume(q)))
        on(
            "PUT",
            _VOLUME + "/extend",
            "volumes.extend",
            lambda q: c.extend_volume(*_volume(q), q.json()),
        )
        on("GET", snapshots, "snapshots.list", lambda q: c.list_snapshots(*_volume(q)))
        on("POST", snapshots, "snapshots.create", lambda q: c.create_snapshot(*_volume(q)))

    def _add_machines(self) -> None:
        on, c = self._on, self.cloud
        every = _APP + "/machines"
        on("GET", every, "machines.list", lambda q: c.list_machines(_app(q), q))
        on("POST", every, "machines.create", lambda q: c.create_machine(_app(q), q.json()))
        on(
            "GET",
            _MACHINE,
            "machines.get",
            self._get,
        )
        on(
            "POST",
            _MACHINE,
            "machines.update",
            lambda q: c.update_machine(*_machine(q), q.json(), _nonce(q)),
        )
        on(
            "DELETE",
            _MACHINE,
            "machines.destroy",
            lambda q: c.destroy_machine(*_machine(q), _nonce(q), force=q.flag("force")),
        )
        on(
            "GET",
            _MACHINE + "/events",
            "machines.events",
            lambda q: c.list_events(*_machine(q), int(q.first("limit", _EVENTS))),
        )
        on(
            "GET",
            _MACHINE + "/versions",
            "machines.versions",
            lambda q: c.list_versions(*_machine(q)),
        )
        on("GET", _MACHINE + "/wait", "machines.wait", self._wait)

    def _add_orders(self) -> None:
        on, c = self._on, self.cloud
        on(
            "POST",
            _MACHINE + "/start",
            "machines.start",
            lambda q: c.start_machine(*_machine(q), _nonce(q)),
        )
        on(
            "POST",
            _MACHINE + "/stop",
            "machines.stop",
            lambda q: c.stop_machine(*_machine(q), q.json(), _nonce(q)),
        )
        on(
            "POST",
            _MACHINE + "/suspend",
            "machines.suspend",
            lambda q: c.suspend_machine(*_machine(q), _nonce(q)),
        )
        on(
            "POST",
            _MACHINE + "/restart",
            "machines.restart",
            lambda q: c.restart_machine(*_machine(q), q.first("timeout"), _nonce(q)),
        )
        on("POST", _MACHINE + "/exec", _EXEC, lambda q: c.exec_machine(*_machine(q), q.json()))
        for action, cordoned in (("cordon", True), ("uncordon", False)):
            on("POST", f"{_MACHINE}/{action}", f"machines.{action}", self._cordon(cordoned))

    def _add_notes(self) -> None:
        on, c = self._on, self.cloud
        lease, metadata = _MACHINE + "/lease", _MACHINE + "/metadata"
        on("GET", lease, "leases.get", lambda q: c.get_lease(*_machine(q)))
        on(
            "POST",
            lease,
            "leases.create",
            lambda q: c.create_lease(*_machine(q), q.json(), _nonce(q)),
            201,
        )
        on("DELETE", lease, "leases.release", lambda q: c.release_lease(*_machine(q), _nonce(q)))
        on("GET", metadata, "metadata.list", lambda q: c.get_metadata(*_machine(q)))
        for method, merge in (("PUT", False), ("PATCH", True)):
            on(method, metadata, f"metadata.{method.lower()}", self._metadata(merge), _NO_CONTENT)
        one = metadata + "/{key}"
        on("GET", one, "metadata.get", lambda q: c.get_metadata_key(*_machine(q), _key(q)))
        on(
            "POST",
            one,
            "metadata.set",
            lambda q: c.set_metadata_key(*_machine(q), _key(q), q.json().get("value")),
            _NO_CONTENT,
        )
        on(
            "DELETE",
            one,
            "metadata.delete",
            lambda q: c.set_metadata_key(*_machine(q), _key(q), None),
            _NO_CONTENT,
        )

    def _add_platform(self) -> None:
        on, c = self._on, self.cloud
        on("GET", "/v1/tokens/current", "tokens.current", lambda _: c.get_token())
        on("GET", "/v1/platform/regions", "platform.regions", lambda _: c.list_regions())
        on(
            "GET",
            "/prometheus/{org_slug}/api/v1/query",
            "metrics.query",
            lambda q: c.query_metrics(q.params["org_slug"], q.first("query")),
        )
        org = "/v1/orgs/{org_slug}"
        on(
            "GET",
            org + "/machines",
            "org.machines",
            lambda q: c.list_org_machines(q.params["org_slug"], q),
        )
        on(
            "GET",
            org + "/volumes",
            "org.volumes",
            lambda q: c.list_org_volumes(q.params["org_slug"], q),
        )

    async def _get(self, call: Call) -> dict[str, Any]:
        await self.cloud.run_checks(self.cloud.machine(*_machine(call)))
        include = call.flag("include_leases")
        return self.cloud.get_machine(*_machine(call), include_leases=include)

    async def _wait(self, call: Call) -> dict[str, Any]:
        states = [s for given in call.query.get("state", []) for s in given.split(",") if s]
        version = call.first("version") or call.first("instance_id")
        return await self.cloud.wait_machine(
            *_machine(call), states, version, call.first("timeout")
        )

    def _cordon(self, cordoned: bool) -> Callable[[Call], Any]:  # noqa: FBT001 - one of a pair
        return lambda q: self.cloud.cordon_machine(*_machine(q), _nonce(q), cordoned=cordoned)

    def _metadata(self, merge: bool) -> Callable[[Call], Any]:  # noqa: FBT001 - one of a pair
        return lambda q: self.cloud.replace_metadata(*_machine(q), q.json(), merge=merge)


def _app(call: Call) -> str:
    return call.params["app_name"]


def _machine(call: Call) -> tuple[str, str]:
    return call.params["app_name"], call.params["machine_id"]


def _volume(call: Call) -> tuple[str, str]:
    return call.params["app_name"], call.params["volume_id"]


def _secret(call: Call) -> str:
    return call.params["secret_name"]


def _key(call: Call) -> str:
    return call.params["key"]


def _nonce(call: Call) -> str:
    return call.headers.get(_NONCE, "")
