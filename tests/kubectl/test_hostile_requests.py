"""Whatever is sent, the answer is a Status that says what is wrong, and nothing else happens."""

import base64
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest

from tests.kubectl.door import Door

# The API is a process of its own, which takes a second to start.
pytestmark = pytest.mark.slow

GROUP: Final = "/apis/invoker.dev/v1"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


class Victim:
    """A workspace at the API, and ways to send things to it.

    Args:
        client: An administrator's.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.namespace = f"victim-{uuid.uuid4().hex[:6]}"
        self.collection = f"{GROUP}/namespaces/{self.namespace}/workspaces"
        self.path = f"{self.collection}/main"
        account = {
            "apiVersion": "invoker.dev/v1",
            "kind": "Account",
            "metadata": {"name": self.namespace},
            "spec": {"email": "victim@example.com"},
        }
        client.post(f"{GROUP}/accounts", json=account).raise_for_status()
        client.post(self.collection, json=self.manifest("main")).raise_for_status()

    def manifest(self, name: str, **spec: Any) -> dict[str, Any]:
        """A workspace's manifest."""
        return {
            "apiVersion": "invoker.dev/v1",
            "kind": "Workspace",
            "metadata": {"name": name},
            "spec": {"subdomain": f"{name}-{self.namespace[-6:]}", "power": "Stopped", **spec},
        }

    def send(
        self, method: str, path: str, content: str = "", kind: str = "application/json"
    ) -> httpx.Response:
        """Send a body as it is."""
        headers = {"Content-Type": kind}
        return self.client.request(method, path, content=content, headers=headers)

    def read(self) -> dict[str, Any]:
        """The workspace as it is."""
        answer = self.client.get(self.path)
        answer.raise_for_status()
        read: dict[str, Any] = answer.json()
        return read


@pytest.fixture
def victim(door: Door) -> Iterator[Victim]:
    """A workspace of this test's own."""
    with door.access.client() as client:
        yield Victim(client)


def _refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and reason of an answer that has to be a Status."""
    status = answer.json()
    assert ("Status", "Failure", answer.status_code) == (
        status["kind"],
        status["status"],
        status["code"],
    )
    return answer.status_code, status["reason"]


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ('{"metadata":{"annotations":{"a":"x\\u0000y"}}}', (422, "Invalid")),
        ('{"metadata":{"annotations":{"a":"\\ud800"}}}', (422, "Invalid")),
        ('{"metadata":{"annotations":{"a":1}}}', (422, "Invalid")),
        ('{"metadata":{"annotations":{"a b":"c"}}}', (422, "Invalid")),
        ('{"metadata":{"labels":{"a":"no spaces"}}}', (422, "Invalid")),
        ('{"metadata":{"finalizers":"a"}}', (422, "Invalid")),
        ('{"metadata":{"ownerReferences":[{"kind":"A","uid":"no"}]}}', (422, "Invalid")),
        ('{"metadata":{"name":"other"}}', (400, "BadRequest")),
        ('{"metadata":{"namespace":"other"}}', (400, "BadRequest")),
        ('{"metadata":{"resourceVersion":"9999999999999999999999"}}', (400, "BadRequest")),
        ('{"kind":"Machine"}', (400, "BadRequest")),
        ('{"spec":{"image":"x\\u0000y"}}', (422, "Invalid")),
        ('{"spec":{"image":"\\ud800"}}', (422, "Invalid")),
        ('{"spec":{"volumeGb":"3"}}', (422, "Invalid")),
        ('{"spec":{"volumeGb":true}}', (422, "Invalid")),
        ('{"spec":{"volumeGb":1e400}}', (422, "Invalid")),
        ('{"spec":[]}', (422, "Invalid")),
        ("[]", (400, "BadRequest")),
        ('{"a":' * 5000 + "1" + "}" * 5000, (400, "BadRequest")),
        ("{", (400, "BadRequest")),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_bad_patch_is_refused_and_changes_nothing(
    victim: Victim, patch: str, reason: tuple[int, str]
) -> None:
    """The reason tells whether the request or the object is wrong; the object is as it was."""
    before = victim.read()
    answer = victim.send("PATCH", victim.path, patch, MERGE)

    assert reason == _refusal(answer)
    assert before == victim.read()


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ('{"dryRun":["Some"]}', {400, 422}),
        ('{"dryRun":"All"}', {400, 422}),
        ('{"preconditions":{"uid":"00000000-0000-4000-8000-000000000000"}}', {409}),
        ('{"preconditions":{"uid":"nonsense"}}', {400, 409}),
        ('{"preconditions":{"resourceVersion":"1"}}', {409}),
        ('{"propagationPolicy":"Orphan"}', {400}),
        ("nonsense", {400}),
        ("[]", {400}),
    ],
)
def test_a_deletion_whose_options_do_not_hold_deletes_nothing(
    victim: Victim, options: str, codes: set[int]
) -> None:
    """What cannot be followed to the letter is not followed at all."""
    code, _ = _refusal(victim.send("DELETE", victim.path, options))

    assert code in codes
    assert "deletionTimestamp" not in victim.read()["metadata"]


def test_a_patch_cannot_grow_without_bound(victim: Victim) -> None:
    """Copies that double what they copy would fill the memory: their sum is bounded."""
    start = {"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1000}}
    copies = [
        {"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/a{number}"}
        for number in range(30)
    ]
    answer = victim.send("PATCH", victim.path, json.dumps([start, *copies]), JSON_PATCH)

    assert (413, "RequestEntityTooLarge") == _refusal(answer)


def test_a_body_that_is_too_large_is_refused(victim: Victim) -> None:
    """As a Kubernetes API does, at 3 MiB."""
    patch = json.dumps({"metadata": {"annotations": {"a": "x" * (3 * 2**20)}}})
    answer = victim.send("PATCH", victim.path, patch, MERGE)

    assert (413, "RequestEntityTooLarge") == _refusal(answer)


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("limit=-1", {400}),
        ("limit=many", {400}),
        ("resourceVersion=-1", {400}),
        ("resourceVersion=nonsense", {400}),
        ("resourceVersion=9999999999", {504}),
        ("resourceVersion=99999999999999999999999", {400}),
        ("resourceVersion=1&resourceVersionMatch=Nearly", {400}),
        ("resourceVersionMatch=Exact", {400, 422}),
        ("sendInitialEvents=true", {400, 422}),
        ("watch=true&sendInitialEvents=true", {400, 422}),
        ("watch=true&timeoutSeconds=soon", {400}),
        ("labelSelector=a%3Dx%00", {400}),
        ("labelSelector=%3D%3D", {400}),
        ("fieldSelector=spec.nothing%3D1", {400}),
        ("continue=nonsense", {400}),
    ],
)
def test_a_bad_query_is_refused(victim: Victim, query: str, codes: set[int]) -> None:
    """No parameter is guessed at."""
    code, _ = _refusal(victim.client.get(f"{victim.collection}?{query}"))

    assert code in codes


@pytest.mark.parametrize("token", ['[1, "\\u0000", "\\u0000"]', '[99999999999999999999, "", ""]'])
def test_a_forged_continue_token_is_refused(victim: Victim, token: str) -> None:
    """It comes back from clients, so it is input like any other."""
    forged = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    code, _ = _refusal(victim.client.get(victim.collection, params={"continue": forged}))

    assert code in {400, 410}


def test_a_name_that_cannot_be_is_not_found(victim: Victim) -> None:
    """A NUL in a path is no reason to fail."""
    assert (404, "NotFound") == _refusal(victim.client.get(f"{victim.collection}/%00"))


@pytest.mark.parametrize("authorization", ["Basic eDp5", "Bearer wrong", "Bearer inv_a_b", "wrong"])
def test_credentials_that_prove_nothing_are_refused(victim: Victim, authorization: str) -> None:
    """A Status, too, and the way to authenticate."""
    answer = victim.client.get(victim.path, headers={"Authorization": authorization})

    assert (401, "Unauthorized") == _refusal(answer)
    assert "Bearer" == answer.headers["WWW-Authenticate"]


def test_patches_at_the_same_time_lose_nothing(victim: Victim) -> None:
    """Forty programs label one object at once: every label is there."""
    labels = {f"label-{number}": "yes" for number in range(40)}

    def put(label: str) -> int:
        patch = json.dumps({"metadata": {"labels": {label: "yes"}}})
        return victim.send("PATCH", victim.path, patch, MERGE).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = set(pool.map(put, labels))

    assert ({200}, labels) == (codes, victim.read()["metadata"]["labels"])


def test_creations_of_one_name_at_the_same_time_have_one_winner(victim: Victim) -> None:
    """All others are told AlreadyExists."""

    def create(_: int) -> int:
        return victim.client.post(victim.collection, json=victim.manifest("one")).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(create, range(8)))

    assert [201, *[409] * 7] == codes
