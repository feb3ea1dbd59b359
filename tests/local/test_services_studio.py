"""What stands for `supabase/studio`: a real process, with gateway and tables behind it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psycopg
import pytest

from deploy.local.services.cluster import Cluster
from tests.support.services import SECRET, address, database, free_port, running, start, token

USER = ("supabase", "päss:word")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The database, with two tables."""
    with database() as own:
        with psycopg.connect(own.url()) as connection:
            connection.execute('create table projects (id int); create table "<b>" (id int)')
        yield own


@pytest.fixture(scope="module")
def studio(cluster: Cluster) -> Iterator[httpx.Client]:
    """The service behind which PostgREST and the gateway run, asked by HTTP."""
    ports = {name: free_port() for name in ("postgrest", "kong", "studio")}
    key = token("service_role")
    route = {"name": "rest", "paths": ["/rest/v1/"]}
    rest = {
        "name": "rest",
        "url": f"http://127.0.0.1:{ports['postgrest']}/",
        "routes": [route],
        "plugins": [{"name": "key-auth"}],
    }
    declaration = {
        "_format_version": "3.0",
        "consumers": [{"username": "service", "keyauth_credentials": [{"key": key}]}],
        "services": [rest],
    }
    variables = {
        "postgrest": {
            "PGRST_DB_URI": address(cluster, "authenticator"),
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_JWT_SECRET": SECRET,
        },
        "kong": {
            "KONG_DATABASE": "off",
            "KONG_DECLARATIVE_CONFIG_STRING": json.dumps(declaration),
        },
        "studio": {
            "SUPABASE_URL": f"http://127.0.0.1:{ports['kong']}",
            "SUPABASE_SERVICE_KEY": key,
            "DASHBOARD_USERNAME": USER[0],
            "DASHBOARD_PASSWORD": USER[1],
            "DEFAULT_PROJECT_NAME": "<erp>",
        },
    }
    with ExitStack() as stack:
        for name, told in variables.items():
            stack.enter_context(running(name, told | {"PORT": str(ports[name])}))
        base = f"http://127.0.0.1:{ports['studio']}"
        yield stack.enter_context(httpx.Client(base_url=base, trust_env=False))


def test_profile(studio: httpx.Client) -> None:
    """The profile, which checks ask for, is there for everybody."""
    assert 200 == studio.get("/api/profile").status_code


@pytest.mark.parametrize("path", ["/", "/project/default", "/api/profile/more"])
def test_password(studio: httpx.Client, path: str) -> None:
    """Everything else wants the password, and says so to browsers."""
    nobody = studio.get(path)
    wrong = studio.get(path, auth=(USER[0], "wrong"))
    odd = studio.get(path, headers={"Authorization": "Basic ***"})

    assert [401, 401, 401] == [nobody.status_code, wrong.status_code, odd.status_code]
    assert nobody.headers["www-authenticate"].startswith("Basic ")


def test_tables(studio: httpx.Client) -> None:
    """The page shows the tables that are there, and names as text."""
    page = studio.get("/", auth=USER)

    assert 200 == page.status_code
    assert "<li>projects</li>" in page.text
    assert "<li>&lt;b&gt;</li>" in page.text
    assert "&lt;erp&gt;" in page.text
    assert 404 == studio.get("/nothing", auth=USER).status_code


def test_without_gateway() -> None:
    """Without a gateway the page says so, and the profile is there."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "SUPABASE_URL": f"http://127.0.0.1:{free_port()}",
        "SUPABASE_SERVICE_KEY": "key",
        "DASHBOARD_USERNAME": USER[0],
        "DASHBOARD_PASSWORD": USER[1],
    }
    with running("studio", variables):
        page = httpx.get(f"http://127.0.0.1:{port}/", auth=USER, trust_env=False)

    assert "The gateway does not answer." in page.text


def test_bad_environment() -> None:
    """All that is wrong is said at once, and no value is."""
    process = start("studio", {"SUPABASE_URL": "hidden"})
    _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    for name in ("PORT", "DASHBOARD_USERNAME", "DASHBOARD_PASSWORD", "SUPABASE_URL"):
        assert f"  {name}: " in words
    assert "hidden" not in words
