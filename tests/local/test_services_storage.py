"""What stands for `supabase/storage-api`: a real process on a real database and a real disk."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from deploy.local.services.cluster import Cluster
from tests.support.services import (
    SECRET,
    address,
    database,
    free_port,
    running,
    start,
    token,
    volume,
)

ALICE = "11111111-1111-1111-1111-111111111111"
POLICIES = """
create policy own on storage.objects for all to authenticated
  using (bucket_id = 'private' and owner = auth.uid()) with check (bucket_id = 'private');
create policy write_only on storage.objects for insert to anon with check (bucket_id = 'letters');
"""
SERVICE = {"Authorization": f"Bearer {token('service_role')}"}
ANON = {"Authorization": f"Bearer {token('anon')}"}
USER = {"Authorization": f"Bearer {token('authenticated', sub=ALICE)}"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The database."""
    with database() as own:
        yield own


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """The volume."""
    with volume() as data:
        yield data


@pytest.fixture(scope="module")
def storage(cluster: Cluster, disk: Path) -> Iterator[httpx.Client]:
    """The service with three buckets, asked by HTTP."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "INVOKER_DATA_DIR": str(disk),
        "ANON_KEY": token("anon"),
        "SERVICE_KEY": token("service_role"),
        "PGRST_JWT_SECRET": SECRET,
        "DATABASE_URL": address(cluster, "supabase_storage_admin"),
        "STORAGE_BACKEND": "file",
        "FILE_STORAGE_BACKEND_PATH": "/var/lib/storage",
        "FILE_SIZE_LIMIT": "1000",
        "GLOBAL_S3_BUCKET": "stub",
        "TENANT_ID": "stub",
    }
    with (
        running("storage", variables),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        for name in ("private", "letters", "shown"):
            body = {"name": name, "public": name == "shown"}
            client.post("/bucket", json=body, headers=SERVICE).raise_for_status()
        with psycopg.connect(cluster.url()) as connection:
            connection.execute(POLICIES)
        yield client


def test_status(storage: httpx.Client) -> None:
    """The health endpoint answers."""
    assert 200 == storage.get("/status").status_code


def test_buckets(storage: httpx.Client) -> None:
    """Buckets are seen and made by whom the policies let."""
    everything = storage.get("/bucket", headers=SERVICE).json()
    nothing = storage.get("/bucket", headers=ANON).json()
    refused = storage.post("/bucket", json={"name": "mine"}, headers=ANON)
    again = storage.post("/bucket", json={"name": "private"}, headers=SERVICE)

    assert ["letters", "private", "shown"] == [bucket["id"] for bucket in everything]
    assert [] == nothing
    assert (400, "403") == (refused.status_code, refused.json()["statusCode"])
    assert "row-level security" in refused.json()["message"]
    assert (400, "409", "Duplicate") == (
        again.status_code,
        again.json()["statusCode"],
        again.json()["error"],
    )


def test_life_of_an_object(storage: httpx.Client, disk: Path) -> None:
    """What is uploaded comes back as it was, until it is replaced or deleted."""
    path, kind = "/object/private/a folder/words.txt", {"Content-Type": "text/plain"}
    made = storage.post(path, content=b"some words", headers=USER | kind)
    shown = storage.get(path, headers=USER)
    again = storage.post(path, content=b"other words", headers=USER | kind)
    storage.post(path, content=b"new words", headers=USER | {"x-upsert": "true"}).raise_for_status()
    replaced = storage.get(path, headers=USER)
    kept = [file.read_bytes() for file in disk.rglob("*") if file.is_file()]
    deleted = storage.delete(path, headers=USER)
    gone = storage.get(path, headers=USER)

    assert (200, "private/a folder/words.txt") == (made.status_code, made.json()["Key"])
    assert (b"some words", "text/plain; charset=utf-8") == (
        shown.content,
        shown.headers["content-type"],
    )
    assert "409" == again.json()["statusCode"]
    assert b"new words" == replaced.content
    assert [b"new words"] == kept
    assert (200, "404") == (deleted.status_code, gone.json()["statusCode"])
    assert not any(file.is_file() for file in disk.rglob("*"))


def test_form(storage: httpx.Client) -> None:
    """A browser's form is taken as well, with the type of its file."""
    files = {"": ("x.png", b"\x89PNG", "image/png")}
    storage.post("/object/shown/x.png", files=files, headers=SERVICE).raise_for_status()
    shown = storage.get("/object/public/shown/x.png")
    storage.delete("/object/shown/x.png", headers=SERVICE).raise_for_status()

    assert (b"\x89PNG", "image/png") == (shown.content, shown.headers["content-type"])


def test_others_see_nothing(storage: httpx.Client) -> None:
    """An object in a bucket that is not public is there for its owner and the service only."""
    storage.post("/object/private/secret", content=b"x", headers=USER).raise_for_status()
    seen = {
        "anon": storage.get("/object/private/secret", headers=ANON),
        "public": storage.get("/object/public/private/secret"),
        "service": storage.get("/object/authenticated/private/secret", headers=SERVICE),
    }
    storage.delete("/object/private/secret", headers=USER).raise_for_status()

    assert {"anon": 400, "public": 400, "service": 200} == {
        who: answer.status_code for who, answer in seen.items()
    }


def test_write_only(storage: httpx.Client) -> None:
    """Who may add and not look can add, and cannot replace what is there."""
    path = "/object/letters/1"
    made = storage.post(path, content=b"dear", headers=ANON)
    shown = storage.get(path, headers=ANON)
    replaced = storage.post(path, content=b"other", headers=ANON | {"x-upsert": "true"})
    kept = storage.get(path, headers=SERVICE)
    storage.delete(path, headers=SERVICE).raise_for_status()

    assert [200, 400, 400] == [made.status_code, shown.status_code, replaced.status_code]
    assert b"dear" == kept.content


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status"),
    [
        ("POST", "/object/none/x", SERVICE, b"x", "404"),
        ("POST", "/object/private/x", SERVICE, b"x" * 1001, "413"),
        ("POST", "/object/private/x", ANON, b"x", "403"),
        ("POST", "/object/private/a%2F%2E%2E%2Fb", SERVICE, b"x", "400"),
        ("POST", "/object/private/a%00", SERVICE, b"x", "400"),
        ("POST", f"/object/private/{'a' * 300}", SERVICE, b"x", "400"),
        ("POST", "/object/list/private", SERVICE, b"{}", "404"),
        ("PUT", "/object/private/none", SERVICE, b"x", "404"),
        ("GET", "/object/private/none", SERVICE, b"", "404"),
        ("DELETE", "/object/private/none", SERVICE, b"", "404"),
        ("GET", "/object/private/x", {}, b"", "400"),
        ("GET", "/bucket", {"Authorization": f"Bearer {token('x', SECRET[::-1])}"}, b"", "403"),
        (
            "GET",
            "/bucket",
            {"Authorization": f"Bearer {token('service_role', age=7200)}"},
            b"",
            "403",
        ),
        ("GET", "/bucket/none", SERVICE, b"", "404"),
        ("POST", "/bucket", SERVICE, b"{}", "400"),
        ("POST", "/bucket", SERVICE, b"[", "400"),
    ],
)
def test_refusals(
    storage: httpx.Client,
    disk: Path,
    method: str,
    path: str,
    headers: dict[str, str],
    content: bytes,
    status: str,
) -> None:
    """What cannot be done is refused as Storage does, and leaves no file."""
    answer = storage.request(method, path, headers=headers, content=content)

    assert (400, status) == (answer.status_code, answer.json()["statusCode"])
    assert not any(file.is_file() for file in disk.rglob("*"))


def test_bucket_with_objects(storage: httpx.Client) -> None:
    """A bucket goes when it is empty, and not before."""
    storage.post("/bucket", json={"name": "brief"}, headers=SERVICE).raise_for_status()
    storage.post("/object/brief/x", content=b"x", headers=SERVICE).raise_for_status()
    full = storage.delete("/bucket/brief", headers=SERVICE)
    storage.delete("/object/brief/x", headers=SERVICE).raise_for_status()
    empty = storage.delete("/bucket/brief", headers=SERVICE)

    assert ("409", 200) == (full.json()["statusCode"], empty.status_code)


def test_bad_environment() -> None:
    """All that is wrong is said at once, and no value is."""
    process = start("storage", {"PGRST_JWT_SECRET": "hidden", "STORAGE_BACKEND": "s3"})
    _, words = process.communicate(timeout=20)

    assert process.returncode == 1
    for name in ("PORT", "INVOKER_DATA_DIR", "DATABASE_URL", "ANON_KEY", "STORAGE_BACKEND"):
        assert f"  {name}: " in words
    assert "hidden" not in words
