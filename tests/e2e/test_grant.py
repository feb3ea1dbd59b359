"""A user connects their DigitalOcean account in a browser, and takes it back."""

from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.e2e.patience import eventually
from tests.e2e.person import Person
from tests.e2e.product import Product, http
from tests.support.forms import Form

pytestmark = pytest.mark.slow

WITHIN = 20
PAGE = {"Accept": "text/html"}


def state_of(browser: httpx.Client, state: str) -> dict[str, Any]:
    """What is said of the connection, once it is that."""
    answer = browser.get("/auth/do/connection")
    told: dict[str, Any] = answer.json()
    assert state == told["state"], answer.text
    return told


def test_there_and_back_again(product: Product, bob: Person) -> None:
    """Consent at DigitalOcean becomes a connection, and disconnecting revokes it there.

    Slow: the whole product is started for it.
    """
    # The bare domain, as a browser has it.
    front = f"http://localhost:{product.ports['edge']}"
    with http(base_url=front) as browser:
        browser.post("/auth/session", headers=bob.bearer).raise_for_status()
        sent = browser.get("/auth/do", headers=PAGE)
        address = sent.headers["location"]
        with http() as elsewhere:
            form = Form(elsewhere.get(address).text)
            fields = form.fields | {"decision": "authorize"}
            decided = elsewhere.post(urljoin(address, form.action), data=fields)
        back = browser.get(decided.headers["location"], headers=PAGE, follow_redirects=True)
        connected = eventually(lambda: state_of(browser, "connected"), within=WITHIN)
        again = browser.get(decided.headers["location"], headers=PAGE, follow_redirects=True)
        origin = {"Origin": front}
        gone = browser.post("/auth/do/disconnect", headers=origin)
        eventually(lambda: state_of(browser, "disconnected"), within=WITHIN)

    kept = product.sql("SELECT name FROM secrets WHERE namespace = %s", bob.id)
    assert product.url("digitalocean") in address
    assert [200, 200] == [back.status_code, again.status_code]
    assert "Your DigitalOcean account" in back.text
    assert "It is connected." in again.text
    assert (["read", "write"], "My Team") == (connected["scopes"], connected["team"])
    assert 202 == gone.status_code
    assert [] == kept
