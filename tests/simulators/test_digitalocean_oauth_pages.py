"""The authorisation server's pages, as a browser sees them."""

from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from deploy.local.simulators.digitalocean import OAUTH_HOST, DigitalOceanCloud
from tests.simulators.digitalocean_calls import REDIRECT, transport_of

pytestmark = pytest.mark.anyio

ASKED = {
    "response_type": "code",
    "client_id": "sim-digitalocean-client",
    "redirect_uri": REDIRECT,
    "scope": "read write",
    "state": 'x&"><script>',
}


class Form(HTMLParser):
    """The fields of a page's form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field."""
        self.tags.add(tag)
        told = dict(attrs)
        if tag == "input":
            self.fields[told["name"] or ""] = told.get("value") or ""


@pytest.fixture
def cloud() -> DigitalOceanCloud:
    """An empty cloud."""
    return DigitalOceanCloud()


@pytest.fixture
def browser(cloud: DigitalOceanCloud) -> httpx.AsyncClient:
    """A browser that does not follow redirects."""
    base = f"https://{OAUTH_HOST}/v1/oauth"
    return httpx.AsyncClient(transport=transport_of(cloud), base_url=base)


def came_back(answer: httpx.Response) -> dict[str, str]:
    """Return what the browser brings back to the application."""
    location = urlsplit(answer.headers["location"])
    assert 302 == answer.status_code
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(location.query).items()}


async def test_consent(browser: httpx.AsyncClient, cloud: DigitalOceanCloud) -> None:
    """The page carries everything on unharmed, and consent brings a code and the state back."""
    page = await browser.get("/authorize", params=ASKED)
    form = Form(page.text)
    fields = form.fields | {"email": "Ada@example.com", "decision": "authorize"}
    back = came_back(await browser.post("/authorize", data=fields))

    assert "script" not in form.tags
    assert ASKED["state"] == back["state"]
    assert "ada@example.com" == cloud.teams[cloud.codes[back["code"]].team].email


async def test_no_consent(browser: httpx.AsyncClient, cloud: DigitalOceanCloud) -> None:
    """A person who declines is sent back without a code."""
    back = came_back(await browser.post("/authorize", data=ASKED | {"decision": "deny"}))

    assert ("access_denied", ASKED["state"]) == (back["error"], back["state"])
    assert not cloud.codes


@pytest.mark.parametrize(
    "wrong", [{"redirect_uri": "https://evil.example/"}, {"client_id": "somebody"}]
)
async def test_nobody_is_sent_to_a_strange_address(
    browser: httpx.AsyncClient, cloud: DigitalOceanCloud, wrong: dict[str, str]
) -> None:
    """An address that is not registered gets neither a code nor an error."""
    agreed = ASKED | wrong | {"decision": "authorize", "email": "a@example.com"}
    answers = [
        await browser.get("/authorize", params=ASKED | wrong),
        await browser.post("/authorize", data=agreed),
    ]

    assert [(400, False)] * 2 == [(a.status_code, "location" in a.headers) for a in answers]
    assert not cloud.codes


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "read everything"}, "invalid_scope"),
    ],
)
async def test_what_cannot_be_asked_for(
    browser: httpx.AsyncClient, wrong: dict[str, str], error: str
) -> None:
    """A wrong question comes back to the application with its name."""
    back = came_back(await browser.get("/authorize", params=ASKED | wrong))

    assert error == back["error"]


async def test_an_account_has_an_address(browser: httpx.AsyncClient) -> None:
    """Without an address the page asks again."""
    agreed = ASKED | {"decision": "authorize", "email": "ada"}
    again = await browser.post("/authorize", data=agreed)

    assert 200 == again.status_code
    assert "Enter the address" in again.text


async def test_a_code_is_bound(browser: httpx.AsyncClient, cloud: DigitalOceanCloud) -> None:
    """A code needs our secret and the address it was sent to, and none is given twice."""
    code = cloud.consent("ada@example.com", "read", REDIRECT)
    other = cloud.consent("ada@example.com", "read", REDIRECT)
    form = {
        "grant_type": "authorization_code",
        "client_id": "sim-digitalocean-client",
        "client_secret": "sim-digitalocean-secret",
        "redirect_uri": REDIRECT,
        "code": code,
    }
    answers = [
        await browser.post("/token", data=form | {"client_secret": "no"}),
        await browser.post("/token", data=form | {"redirect_uri": "http://x", "code": other}),
        await browser.post("/token", data=form),
        await browser.post("/token", data=form),
        await browser.post("/token", data={"grant_type": "password"}),
        await browser.get("/elsewhere"),
    ]

    told = [(a.status_code, a.json().get("error")) for a in answers]
    assert [
        (401, "invalid_client"),
        (400, "invalid_grant"),
        (200, None),
        (400, "invalid_grant"),
        (400, "unsupported_grant_type"),
        (404, "not_found"),
    ] == told
    assert {"no-store"} == {a.headers["cache-control"] for a in answers[:5]}
