"""The gateway's declaration holds together, and its probe key opens health routes alone."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from hypothesis import given

from controller.devenv.rendering.kong_routes import HEALTH_PATH, OPEN, PROBE
from crds.devenv import PORTS, DevEnvSpec
from tests.devenv.rendered import SPEC, keys_of, specs, told

Json = dict[str, Any]


def declared(spec: DevEnvSpec = SPEC) -> Json:
    """The declaration as Kong reads it."""
    text = told("kong", spec).secrets["KONG_DECLARATIVE_CONFIG_STRING"]
    found: Json = json.loads(text)
    return found


def plugins(service: Json) -> dict[str, Json]:
    """A service's own plugins by name."""
    return {plugin["name"]: plugin["config"] for plugin in service["plugins"]}


def opens(service: Json) -> set[str] | None:
    """The consumers that get through to a service; None: everybody."""
    if "key-auth" not in plugins(service):
        return None
    allowed = set(plugins(service)["acl"]["allow"])
    return {
        consumer["username"]
        for consumer in declared()["consumers"]
        if allowed & {acl["group"] for acl in consumer["acls"]}
    }


@given(spec=specs)
def test_kong_reads_what_was_said(spec: DevEnvSpec) -> None:
    """Kong may take the text for JSON or for YAML: both mean the same, in one line."""
    text = told("kong", spec).secrets["KONG_DECLARATIVE_CONFIG_STRING"]

    assert declared(spec) == yaml.load(text, yaml.CSafeLoader)
    assert "\n" not in text
    assert "#" not in text


@given(spec=specs)
def test_the_declaration_holds_together(spec: DevEnvSpec) -> None:
    """Names are unique, every plugin is loaded, every group has a consumer, every host is ours."""
    rendered, config = told("kong", spec), declared(spec)
    loaded = set(rendered.env["KONG_PLUGINS"].split(","))
    groups = {acl["group"] for consumer in config["consumers"] for acl in consumer["acls"]}
    hosts = {f"{spec.app_of(service)}.flycast" for service in spec.services} | {"127.0.0.1"}
    names = [service["name"] for service in config["services"]]

    assert len(names) == len(set(names))
    for service in config["services"]:
        assert set(plugins(service)) <= loaded
        assert set(plugins(service).get("acl", {}).get("allow", [])) <= groups
        # Kong looks at groups only after it knows who asks.
        assert ("acl" in plugins(service)) == ("key-auth" in plugins(service))
        assert len(service["routes"]) == 1
        assert re.match(r"http://([^/:]+)", service["url"])[1] in hosts  # type: ignore[index]  # it matches
    assert {plugin["name"] for plugin in config["plugins"]} <= loaded


def test_the_probe_key_opens_health_routes_and_nothing_else() -> None:
    """And nobody else's key opens those."""
    for service in declared()["services"]:
        is_health = service["name"].startswith("health-")
        who = opens(service)
        assert is_health == (who == {PROBE})
        assert is_health or who in (None, {"anon", "service_role"})


def test_a_health_route_is_one_path() -> None:
    """What lies below a service's own health address stays closed, and writing does too."""
    for service in declared()["services"]:
        if not service["name"].startswith("health-"):
            continue
        (route,) = service["routes"]
        (path,) = route["paths"]
        wanted = f"{HEALTH_PATH}/{service['name'].removeprefix('health-')}"
        assert path.startswith("~")
        assert re.match(path[1:], wanted)
        assert not re.match(path[1:], f"{wanted}/users")
        assert ["GET", "HEAD"] == route["methods"]
        assert plugins(service)["key-auth"]["hide_credentials"]


def test_every_service_has_a_health_route_that_leads_to_its_own() -> None:
    """The provider's checks and the probe ask the same addresses."""
    urls = {service["name"]: service["url"] for service in declared()["services"]}

    for service in ("postgrest", "gotrue", "storage"):
        host = f"http://{SPEC.app_of(service)}.flycast:{PORTS[service]}"
        assert urls[f"health-{service}"] == f"{host}{told(service).check_path}"
    studio = f"http://{SPEC.app_of('studio')}.flycast{told('studio').check_path}"
    assert urls["health-studio"] == studio
    kong = next(s for s in declared()["services"] if s["name"] == "health-kong")
    assert plugins(kong)["request-termination"]["status_code"] == 200


def test_without_studio_nothing_leads_there() -> None:
    """A route to what is not there would only ever fail."""
    spec = SPEC.model_copy(update={"studio": False})

    assert "health-studio" not in {service["name"] for service in declared(spec)["services"]}


def test_keys_are_asked_for_as_in_self_hosted_supabase() -> None:
    """REST and auth want a key; what browsers follow from mails, and storage, do not."""
    paths = {service["routes"][0]["paths"][0]: opens(service) for service in declared()["services"]}
    both = {"anon", "service_role"}

    assert {"/rest/v1/": both, "/auth/v1/": both, "/storage/v1/": None} | {
        f"/auth/v1/{each}": None for each in OPEN
    } == {path: who for path, who in paths.items() if not path.startswith("~")}


def test_consumers_have_the_environments_keys() -> None:
    """Each key belongs to one consumer."""
    keys = keys_of()
    found = {
        consumer["username"]: [each["key"] for each in consumer["keyauth_credentials"]]
        for consumer in declared()["consumers"]
    }

    assert {
        "anon": [keys.anon_key],
        "service_role": [keys.service_role_key],
        PROBE: [keys.probe_key],
    } == found


def test_requests_are_counted_by_consumer() -> None:
    """So that the probes' own do not pass for traffic; the metrics lie where they are sought."""
    config, rendered = declared(), told("kong")
    counted = next(p["config"] for p in config["plugins"] if p["name"] == "prometheus")

    assert {"status_code_metrics": True, "per_consumer": True} == counted
    assert rendered.metrics is not None
    assert rendered.env["KONG_STATUS_LISTEN"].endswith(f":{rendered.metrics.port}")


def test_nobody_administers_it_from_outside() -> None:
    """Neither the admin API nor the manager's page listens."""
    env = told("kong").env

    assert ("off", "off") == (env["KONG_ADMIN_LISTEN"], env["KONG_ADMIN_GUI_LISTEN"])
