"""Everything that may be read of the product from outside, to look for what must not be there."""

import re
import subprocess
from collections.abc import Iterator
from typing import Final

import httpx

from deploy.local.postgres import BINARIES
from tests.e2e.product import Product, http
from tests.e2e.silo import ACCOUNT, NAME, ROLES, Silo
from tests.kubectl.door import Access

# Whoever has so much of the end of a key has what nobody else knows of it.
TAIL: Final = 16
_CLUSTER_WIDE: Final = "-"


def needles(silo: Silo) -> dict[str, str]:
    """What must be found nowhere once it rests, by what it is; it has to be told all of it."""
    keys, told = silo.keys(), silo.context()
    values = {
        "database password": keys.db_password,
        "JWT secret": keys.jwt_secret,
        "anonymous key": keys.anon_key,
        "service-role key": keys.service_role_key,
        "probe key": keys.probe_key,
        "vault key": keys.vault_key,
        "Studio's password": told["studio_password"],
    }
    addresses = {
        "address": told["supabase_url"],
        "Studio's address": told["studio_url"],
    }
    return {what: value[-TAIL:] for what, value in values.items()} | addresses


def found(silo: Silo, hidden: dict[str, str]) -> list[str]:
    """Where something hidden is read, as `what in where`."""
    return [
        f"{what} in {place}"
        for place, text in readable(silo)
        for what, value in hidden.items()
        if value in text
    ]


def readable(silo: Silo) -> Iterator[tuple[str, str]]:
    """Places and what is read there: the doors, the console, the logs and the database."""
    product = silo.product
    for role in ROLES:
        for path in ("/silo-status", "/app-context"):
            yield f"{path} as {role}", silo.ask(path, role=role).text
    group = ("--api-group=invoker.dev", "--verbs=list", "--output=name")
    kinds = ",".join(["events", *silo.kubectl("api-resources", *group).split()])
    yield f"kubectl get {kinds}", silo.kubectl("get", kinds, "-A", "-o", "yaml")
    yield from _metrics(product)
    yield from _console(silo)
    yield "the logs", product.log.read_text(errors="replace")
    yield "the database", dump(product)


def dump(product: Product) -> str:
    """The rows of the control plane's database as text; what is encrypted stays so."""
    command = [str(BINARIES / "pg_dump"), "--data-only", product.database]
    return subprocess.run(  # noqa: S603 - our own program
        command, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def _metrics(product: Product) -> Iterator[tuple[str, str]]:
    access = Access.read(product.state / "kubeconfig")
    with access.client() as client:
        yield "metrics of kubectl's door", _page(client, "/metrics")
    for part in ("api", "controller"):
        with http(base_url=product.url(part)) as client:
            yield f"metrics of {part}", _page(client, "/metrics")


def _console(silo: Silo) -> Iterator[tuple[str, str]]:
    with http(base_url=silo.product.url("api")) as client:
        form = _page(client, "/console/sign-in?next=/console")
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
        fields["token"] = (silo.product.state / "token").read_text().strip()
        origin = {"Origin": silo.product.url("api")}
        client.post("/console/sign-in", data=fields, headers=origin)
        objects = [("accounts", _CLUSTER_WIDE, ACCOUNT), ("devenvs", ACCOUNT, NAME)]
        statement = "SELECT name FROM machines WHERE namespace = %s"
        rows = silo.product.sql(statement, ACCOUNT)
        objects += [("machines", ACCOUNT, row["name"]) for row in rows]
        paths = ["/console", "/console/devenvs", "/console/machines"]
        for plural, namespace, name in objects:
            page = f"/console/{plural}/{namespace}/{name}"
            paths += [page, f"{page}/raw"]
        for path in paths:
            yield f"the page {path}", _page(client, path)


def _page(client: httpx.Client, path: str) -> str:
    answer = client.get(path)
    assert httpx.codes.OK == answer.status_code, f"{path} was not shown"
    return answer.text
