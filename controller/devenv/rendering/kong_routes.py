"""Kong's routes: what the gateway lets through, to whom, and for whom.

The routes of the product and their plugins are those of self-hosted Supabase (its `kong.yml`).
Beside them are ours: one health route a service, which the probe key opens, and which opens nothing
else.
"""

from __future__ import annotations

from typing import Any, Final

from controller.devenv.rendering import gotrue, storage, studio
from controller.devenv.rendering.facts import Facts
from crds.devenv import Service

PROBE: Final = "invoker-probe"
HEALTH_PATH: Final = "/invoker/health"
# Paths of GoTrue that browsers follow from mails and from other providers, without any key.
OPEN: Final = ("verify", "callback", "authorize")
# Requests a minute from one address: a guard against a loop run wild, not a quota.
PER_MINUTE: Final = 6000
# Milliseconds: a probe wants an answer soon, or none.
PROBE_TIMEOUT: Final = 5000

Json = dict[str, Any]


def declaration(facts: Facts) -> Json:
    """Everything that Kong does, as it is declared where there is no database."""
    return {
        "_format_version": "3.0",
        "consumers": _consumers(facts),
        "services": [*_product(facts), *_health(facts)],
        "plugins": [
            _plugin("cors"),
            # By consumer, so that the probes' own requests can be told from people's.
            _plugin("prometheus", status_code_metrics=True, per_consumer=True),
        ],
    }


def _consumers(facts: Facts) -> list[Json]:
    keys = facts.keys
    groups = (
        ("anon", keys.anon_key, "anon"),
        ("service_role", keys.service_role_key, "admin"),
        (PROBE, keys.probe_key, "probe"),
    )
    return [
        {"username": name, "keyauth_credentials": [{"key": key}], "acls": [{"group": group}]}
        for name, key, group in groups
    ]


def _product(facts: Facts) -> list[Json]:
    auth = facts.inside("gotrue")
    guard = _plugin("rate-limiting", minute=PER_MINUTE, limit_by="ip", policy="local")
    keyed = [guard, _plugin("key-auth"), _allow("admin", "anon")]
    opened = [_service(f"auth-v1-{o}", f"{auth}/{o}", f"/auth/v1/{o}", [guard]) for o in OPEN]
    return [
        *opened,
        _service("auth-v1", f"{auth}/", "/auth/v1/", keyed),
        _service("rest-v1", f"{facts.inside('postgrest')}/", "/rest/v1/", keyed),
        # Storage looks at tokens itself: files of public buckets are there for everybody.
        _service("storage-v1", f"{facts.inside('storage')}/", "/storage/v1/", [guard]),
    ]


def _health(facts: Facts) -> list[Json]:
    paths: dict[Service, str] = {
        "postgrest": "/",
        "gotrue": gotrue.HEALTH,
        "storage": storage.HEALTH,
        "studio": studio.HEALTH,
    }
    # Kong answers for itself, so the address is never asked.
    answer = _plugin("request-termination", status_code=200, message="ok")
    return [
        _probed("kong", "http://127.0.0.1:9", [answer]),
        *(
            _probed(service, f"{facts.inside(service)}{path}", [])
            for service, path in paths.items()
            if service in facts.spec.services
        ),
    ]


def _probed(service: Service, url: str, more: list[Json]) -> Json:
    """A health route: this very path, or whatever lies below the service's own would be open."""
    only = [_plugin("key-auth", hide_credentials=True), _allow("probe"), *more]
    made = _service(f"health-{service}", url, f"~{HEALTH_PATH}/{service}$", only)
    made["routes"][0]["methods"] = ["GET", "HEAD"]
    times = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), PROBE_TIMEOUT)
    return {**made, **times, "retries": 0}


def _service(name: str, url: str, path: str, plugins: list[Json]) -> Json:
    route = {"name": name, "paths": [path], "strip_path": True}
    return {"name": name, "url": url, "routes": [route], "plugins": plugins}


def _allow(*groups: str) -> Json:
    return _plugin("acl", allow=list(groups), hide_groups_header=True)


def _plugin(name: str, **config: object) -> Json:
    return {"name": name, "config": config}
