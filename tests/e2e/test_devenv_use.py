"""A dev environment in use, on the whole product: what its keys open, and what they do not."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from crds.devenv import SERVICES
from tests.e2e.patience import eventually
from tests.e2e.silo import Silo

# Six services start for the first of these tests.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

NOTICED_SECONDS = 20


def test_all_six_services_are_told(silo: Silo) -> None:
    """What one `kubectl apply` asked for runs, and the status tells of each service.

    Slow: see above.
    """
    told = silo.status()
    services = told["services"]

    assert set(SERVICES) == set(services)
    assert {"running"} == {service["status"] for service in services.values()}
    assert {machine["id"] for machine in silo.machines()} == {
        service["machine_id"] for service in services.values()
    }
    assert ("Full", "yyz", []) == (told["connection"], told["region"], told["missing"])


def test_rows_are_seen_by_key(silo: Silo) -> None:
    """The public key sees the rows that a policy shows, the service role's all, any other none.

    Slow: see above.
    """
    silo.sql(
        "set role postgres; create table if not exists projects (name text, open boolean);"
        "alter table projects enable row level security;"
        "create policy shown on projects for select to anon using (open);"
        "insert into projects values ('bridge', true), ('tunnel', false);"
    )
    context = silo.context()
    anybody = silo.gateway(context["supabase_anon_key"])
    seen = eventually(lambda: anybody.rows("projects", "name"), within=NOTICED_SECONDS)
    forged = silo.gateway(context["supabase_anon_key"][:-4] + "AAAA")

    assert ["bridge"] == seen
    assert ["bridge", "tunnel"] == silo.gateway(context["supabase_service_role_key"]).rows(
        "projects", "name"
    )
    assert httpx.codes.UNAUTHORIZED == forged.ask("GET", "/rest/v1/projects").status_code


def test_users_see_what_is_theirs(silo: Silo) -> None:
    """Who signs up writes and reads rows under a policy on `auth.uid()`, and nobody else's.

    Slow: see above.
    """
    silo.sql(
        "set role postgres;"
        "create table diaries (owner uuid not null default auth.uid(), words text);"
        "alter table diaries enable row level security;"
        "create policy own on diaries to authenticated"
        " using (owner = auth.uid()) with check (owner = auth.uid());"
    )
    anybody = silo.gateway(silo.context("dev-worker")["supabase_anon_key"])
    alice, bob = (anybody.sign_up(f"{uuid.uuid4().hex}@example.com", "long enough") for _ in "ab")
    eventually(lambda: alice.add("diaries", words="mine").is_success, within=NOTICED_SECONDS)
    strangers = bob.add("diaries", words="hers", owner=str(uuid.uuid4()))

    assert (["mine"], [], []) == tuple(
        who.rows("diaries", "words") for who in (alice, bob, anybody)
    )
    assert httpx.codes.FORBIDDEN == strangers.status_code


def test_files_come_back_to_their_owner(silo: Silo) -> None:
    """A file that a user uploads is theirs to download, and hidden from everybody else.

    Slow: see above.
    """
    silo.sql(
        "insert into storage.buckets (id, name) values ('letters', 'letters');"
        "create policy own_letters on storage.objects to authenticated"
        " using (owner = auth.uid()) with check (bucket_id = 'letters');"
    )
    anybody = silo.gateway(silo.context("dev-worker")["supabase_anon_key"])
    alice = anybody.sign_up(f"{uuid.uuid4().hex}@example.com", "long enough")
    uploaded = alice.upload("letters/to-bob.txt", b"Dear Bob")

    assert httpx.codes.OK == uploaded.status_code, uploaded.text
    assert b"Dear Bob" == alice.download("letters/to-bob.txt").content
    assert httpx.codes.BAD_REQUEST == anybody.download("letters/to-bob.txt").status_code


@pytest.fixture
def studio(silo: Silo) -> Iterator[httpx.Client]:
    """Studio by its public name."""
    with silo.public("studio")() as client:
        yield client


def test_studio_wants_its_password(silo: Silo, studio: httpx.Client) -> None:
    """Studio lets in with the password that devops is told, and with no other.

    Slow: see above.
    """
    told = silo.context()
    user, password = told["studio_user"], told["studio_password"]
    answers = [studio.get("/", auth=auth) for auth in (None, (user, "guess"), (user, password))]

    assert [401, 401, 200] == [answer.status_code for answer in answers]
