"""Requests to a machine that runs, through the edge."""

import time
import uuid

import httpx
import pytest

from tests.e2e.person import Person
from tests.e2e.product import Product


def test_owner_is_known(alice: Person) -> None:
    """The machine knows its owner, and the name in the Host header leads to it."""
    answer = alice.visit("/api/identity")

    assert (alice.id, alice.email) == (answer.json()["user"], answer.json()["email"])


def test_machine_learns_its_name(alice: Person) -> None:
    """The control plane tells the machine under which name it is reached."""
    answer = alice.visit("/api/identity")

    assert alice.subdomain == answer.json()["subdomain"]


def test_forged_identity_is_ignored(alice: Person, bob: Person) -> None:
    """What a client says in the edge's name counts for nothing."""
    forged = {"x-invoker-identity": alice.token, "x-forwarded-host": "bob.localhost"}
    own = alice.visit("/api/identity", headers=forged)
    nobody = bob.visit("/api/identity", at=alice.subdomain, signed_in=False, headers=forged)

    assert (alice.id, 401) == (own.json()["user"], nobody.status_code)


def test_other_user_is_refused(alice: Person, bob: Person) -> None:
    """A valid token of somebody else gets 403 on a known subdomain."""
    answer = bob.visit("/api/identity", at=alice.subdomain)

    assert (403, "urn:invoker:problem:forbidden") == (answer.status_code, answer.json()["type"])


def test_nobody_gets_the_machines_refusal(alice: Person) -> None:
    """Without a token a program is given the machine's own 401."""
    answer = alice.visit("/api/identity", signed_in=False)

    assert (401, "about:blank") == (answer.status_code, answer.json()["type"])


def test_nobody_in_a_browser_gets_the_sign_in_page(alice: Person) -> None:
    """Without a token a browser is shown where to sign in."""
    answer = alice.visit("/", signed_in=False, html=True)

    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert 'action="/.invoker/sign-in"' in answer.text


def test_sign_in_by_form(alice: Person) -> None:
    """The sign-in form sets a cookie with which the owner's page comes."""
    form = {"email": alice.email, "password": alice.password, "next": "/"}
    answer = alice.visit("/.invoker/sign-in", "POST", signed_in=False, html=True, data=form)
    cookie = answer.headers["set-cookie"].split(";")[0]
    page = alice.visit("/", signed_in=False, html=True, headers={"Cookie": cookie})

    assert (303, "/") == (answer.status_code, answer.headers["location"])
    assert f"Hello, {alice.email}" in page.text


def test_web_socket(alice: Person) -> None:
    """A WebSocket passes through the edge and the proxy, text and bytes."""
    with alice.talk("/api/echo") as socket:
        socket.send("hello")
        text = socket.recv(timeout=10)
        socket.send(b"\x00\xff")
        data = socket.recv(timeout=10)

    assert ("hello", b"\x00\xff") == (text, data)


@pytest.mark.slow
def test_stream(product: Product, alice: Person) -> None:
    """An answer that comes bit by bit is handed on bit by bit (slow: it takes a second to come)."""
    headers = {"Host": f"{alice.subdomain}.localhost", **alice.bearer, "CF-Connecting-IP": "::1"}
    url = product.url("edge") + "/api/stream"
    params = {"count": "3", "interval": "0.5"}
    with httpx.stream("GET", url, params=params, headers=headers, trust_env=False) as answer:
        times = [time.monotonic() for _ in answer.iter_raw()]

    assert times[-1] - times[0] > 0.7


def test_large_body_both_ways(alice: Person) -> None:
    """A body of some megabytes comes back whole."""
    body = uuid.uuid4().bytes * 250_000
    answer = alice.visit("/api/echo", "POST", content=body)

    assert body == answer.content


def test_rate_limit(alice: Person) -> None:
    """The hundred and first request of a minute from one address is told when to come again."""
    one = {"CF-Connecting-IP": "198.51.100.7"}
    answers = [alice.visit("/.invoker/sign-in", headers=one) for _ in range(101)]

    assert {200} == {answer.status_code for answer in answers[:100]}
    assert 429 == answers[100].status_code
    assert 0 < int(answers[100].headers["retry-after"]) <= 60


def test_unknown_name(alice: Person) -> None:
    """A name that nobody has leads to a page that says so."""
    answer = alice.visit("/", at="nobody-has-this", html=True, signed_in=False)

    assert answer.status_code == httpx.codes.NOT_FOUND
    assert "Account not found" in answer.text
