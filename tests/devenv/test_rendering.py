"""What services are told is complete, agrees with itself, and keeps what is secret apart."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from controller.devenv.keys import dashboard_password
from controller.devenv.wanted import machine_spec
from crds.devenv import PORTS, SERVICES, DevEnvSpec, Service
from tests.devenv.rendered import SPEC, keys_of, public_url, specs, told

LOCAL = {f"{scheme}://localhost:3000{tail}" for scheme in ("http", "https") for tail in ("", "/**")}


@given(spec=specs, seed=st.integers(0, 2**32))
def test_no_secret_stands_where_anybody_reads(spec: DevEnvSpec, seed: int) -> None:
    """No key, nothing made of one and no public address is in what rows, logs and configs show."""
    keys = keys_of(seed, spec)
    values = (
        keys.db_password,
        keys.jwt_secret,
        keys.anon_key,
        keys.service_role_key,
        keys.probe_key,
        dashboard_password(keys),
        # Rows are there while the environment is down, when nobody is told where it was.
        public_url(spec.app_of("kong")),
        public_url(spec.app_of("studio")),
    )

    for service in spec.services:
        rendered = told(service, spec, keys)
        shown = repr((rendered, rendered.env, rendered.command, rendered.files))
        assert not [value for value in values if value in shown]


@given(spec=specs)
def test_a_variable_has_one_value(spec: DevEnvSpec) -> None:
    """No name stands among the open and the secret ones, and every one is a variable's name."""
    for service in spec.services:
        rendered = told(service, spec)
        names = [*rendered.env, *rendered.secrets]
        assert len(names) == len(set(names))
        assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in names)
        assert all(rendered.env.values())
        assert all(rendered.secrets.values())


@given(spec=specs)
def test_what_is_rendered_makes_a_machine(spec: DevEnvSpec) -> None:
    """Every rendering fits a Machine's rules; the same wishes and keys make the same one."""
    for service in spec.services:
        made = [
            machine_spec(
                spec,
                service,
                told(service, spec),
                account="acme",
                network="inv-test-net",
                region="yyz",
                machine="m",
                fingerprint="f",
            )
            for _ in range(2)
        ]
        assert made[0] == made[1]
        assert (made[0].volume is not None) == (service in ("postgres", "storage"))


@given(spec=specs)
def test_redirects_are_a_list_of_sound_globs(spec: DevEnvSpec) -> None:
    """Whatever the preview's address is, it adds its origin and nothing of another meaning."""
    allowed = told("gotrue", spec).secrets["GOTRUE_URI_ALLOW_LIST"].split(",")
    ours = [each for each in allowed if each not in LOCAL]

    assert set(allowed) >= LOCAL
    assert len(ours) in (0, 2)
    for each in ours:
        assert re.fullmatch(r"https?://[A-Za-z0-9._~:/%-]+(/\*\*)?", each)


def test_the_front_end_is_where_people_are_led() -> None:
    """GoTrue leads to the preview, or to the gateway as long as there is none."""
    alone = SPEC.model_copy(update={"preview_url": None})

    led, led_alone = told("gotrue").secrets, told("gotrue", alone).secrets

    assert led["GOTRUE_SITE_URL"] == SPEC.preview_url
    assert f"{SPEC.preview_url}/**" in led["GOTRUE_URI_ALLOW_LIST"].split(",")
    assert led_alone["GOTRUE_SITE_URL"] == "https://devenv-acme-erp-kong.fly.dev"


@pytest.mark.parametrize(
    ("service", "variable", "role"),
    [
        ("postgrest", "PGRST_DB_URI", "authenticator"),
        ("gotrue", "GOTRUE_DB_DATABASE_URL", "supabase_auth_admin"),
        ("storage", "DATABASE_URL", "supabase_storage_admin"),
    ],
)
def test_each_service_connects_with_its_own_role(
    service: Service, variable: str, role: str
) -> None:
    """None of them is a superuser, and all find the database on the private network."""
    keys = keys_of(1)
    expected = {
        "user": role,
        "password": keys.db_password,
        "host": "devenv-acme-erp-pg.flycast",
        "port": "5432",
        "dbname": "postgres",
    }

    assert expected == conninfo_to_dict(told(service, keys=keys).secrets[variable])


def test_all_verify_tokens_with_one_secret() -> None:
    """What GoTrue signs, PostgREST and Storage take."""
    keys = keys_of(2)

    assert {keys.jwt_secret} == {
        told("gotrue", keys=keys).secrets["GOTRUE_JWT_SECRET"],
        told("postgrest", keys=keys).secrets["PGRST_JWT_SECRET"],
        told("storage", keys=keys).secrets["PGRST_JWT_SECRET"],
    }


def test_services_listen_where_their_machines_are_asked() -> None:
    """The port in a service's own settings is the one of its kind."""
    listens = {
        "postgrest": told("postgrest").env["PGRST_SERVER_PORT"],
        "gotrue": told("gotrue").env["GOTRUE_API_PORT"],
        "kong": told("kong").env["KONG_PROXY_LISTEN"].removeprefix("0.0.0.0:"),
        "storage": told("storage").env["PORT"],
        "studio": told("studio").env["PORT"],
    }

    assert {name: str(port) for name, port in PORTS.items() if name != "postgres"} == listens


def test_only_the_gateway_and_studio_are_public() -> None:
    """Everything else is reached through them."""
    assert {"kong", "studio"} == {service for service in SERVICES if told(service).public}


def test_postgres_survives_its_machine() -> None:
    """Its data lie on the volume, below its root; the key that encrypts in it comes with it."""
    rendered = told("postgres")
    script = rendered.command[-1]

    assert rendered.stop_signal == "SIGINT"
    assert rendered.env["PGDATA"].startswith(f"{rendered.volume_path}/")
    assert 'data_directory="$PGDATA"' in script
    assert {"POSTGRES_PASSWORD", "PGSODIUM_ROOT_KEY"} == set(rendered.secrets)
    assert '"$PGSODIUM_ROOT_KEY" > /etc/postgresql-custom/pgsodium_root.key' in script
    subprocess.run(["/bin/bash", "-n", "-c", script], check=True)  # noqa: S603 - our own script


def test_storage_keeps_files_on_its_volume() -> None:
    """The place of files is the volume's."""
    rendered = told("storage")

    assert rendered.volume_path == rendered.env["FILE_STORAGE_BACKEND_PATH"]
