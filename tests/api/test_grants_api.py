"""The way to DigitalOcean and back, and browsers' sessions."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import httpx
import jwt
import pytest

from api.sessions import COOKIE
from controller.providers import Call, Gear, Unauthorized
from controller.providers.digitalocean import DigitalOceanOAuth
from crds.account import Account
from crds.cloud_connection import DIGITALOCEAN, CloudConnection, CloudConnectionSpec
from crds.grant_states import MOST_STATES
from crds.grants import Consent, consent_name, read_consent
from crds.meta import ObjectMeta
from crds.secrets import Secrets
from deploy.local.simulators.digitalocean import OAUTH_HOST, DigitalOceanAPI, OAuthApp
from deploy.local.simulators.transport import SimulatorTransport
from tests.api.browsers import CALLBACK, PAGE, Browser, asked_of, cloud_of_tests
from tests.api.service import PASSWORD, Service, User, code_of, later, serving
from tests.support.forms import Form

pytestmark = pytest.mark.anyio


async def connecting(service: Service) -> tuple[Browser, User]:
    """Somebody signed in, in a browser."""
    user, browser = await service.user(), Browser(service, cloud_of_tests())
    answer = await browser.sign_in(user)
    assert 204 == answer.status_code, answer.text
    return browser, user


def pass_time(service: Service, span: timedelta) -> None:
    """Let the API's clock go on."""
    clock = later(service.store.clock, span)
    for holder in (service.api.sessions, service.api.store):
        object.__setattr__(holder, "clock", clock)
    service.api.grant_states._clock = clock


async def consent_of(service: Service, user: User) -> Consent | None:
    """What the user brought back."""
    return await read_consent(Secrets(service.store, service.api.cipher), user.id, DIGITALOCEAN)


async def connection(service: Service, user: User) -> CloudConnection | None:
    """The user's row."""
    return await service.store.find(CloudConnection, DIGITALOCEAN, user.id)


async def test_there_and_back(service: Service) -> None:
    """A consent becomes a wish and a code that the controller, and only it, can exchange."""
    browser, user = await connecting(service)
    address = await browser.sent_out()
    answer = await browser.come_back(await browser.consent(address))

    consent, row = await consent_of(service, user), await connection(service, user)
    assert consent is not None
    assert row is not None
    assert (303, "/auth/do/connection") == (answer.status_code, answer.headers["location"])
    assert ("Connected", consent.given_at) == (row.spec.state, row.spec.connected_at)
    asked = asked_of(address)
    assert {"read write", CALLBACK, "code", "S256"} <= set(asked.values())
    assert address.startswith("https://cloud.digitalocean.com/v1/oauth/authorize?")
    hosts = {OAUTH_HOST: DigitalOceanAPI(browser.cloud)}
    app = OAuthApp()
    oauth = DigitalOceanOAuth(
        SimulatorTransport(hosts=hosts),
        client_id=app.client_id,
        client_secret=app.client_secret,
        redirect_uri=CALLBACK,
        gear=Gear(),
    )
    call = Call()
    other = await browser.consent(address)
    with pytest.raises(Unauthorized):
        await oauth.exchange(asked_of(other)["code"], verifier="not the verifier", call=call)
    granted = await oauth.exchange(consent.code, verifier=consent.verifier, call=call)
    assert "read write" == granted.scope


async def test_a_way_back_is_good_once(service: Service) -> None:
    """Who comes back again is shown how things stand; nothing is brought a second time."""
    browser, user = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    await browser.come_back(location)
    secrets = Secrets(service.store, service.api.cipher)
    await secrets.delete(user.id, consent_name(DIGITALOCEAN))
    before = await connection(service, user)
    answer = await browser.come_back(location)

    assert 303 == answer.status_code
    assert await consent_of(service, user) is None
    assert before == await connection(service, user)


async def test_the_same_way_back_ten_times_at_once(service: Service) -> None:
    """However many come back with one state, one brings the consent, and one wish is written."""
    browser, user = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    codes = [location.replace("code=", f"code={number}") for number in range(10)]
    answers = await asyncio.gather(*(browser.come_back(each) for each in codes))

    consent, row = await consent_of(service, user), await connection(service, user)
    used = await service.store.database.fetch("SELECT used_at FROM grant_states")
    assert consent is not None
    assert row is not None
    assert {303} == {answer.status_code for answer in answers}
    assert [consent.given_at] == [row.spec.connected_at]
    assert [True] == [each["used_at"] is not None for each in used]


async def test_a_crash_between_consent_and_wish(service: Service) -> None:
    """Coming back again writes the wish that was not written, as long as nobody has exchanged."""
    browser, user = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    asked = asked_of(location)
    consent = Consent(asked["code"], "v", service.store.clock.now())
    states = service.api.grant_states
    await states.consume(asked["state"], browser.cookies["control_grant"], consent)
    await browser.come_back(location)

    row = await connection(service, user)
    assert row is not None
    assert consent == await consent_of(service, user)
    assert consent.given_at == row.spec.connected_at


async def test_only_the_browser_that_was_sent_out_comes_back(service: Service) -> None:
    """Nobody can have another's browser connect an account that is not its user's."""
    browser, user = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    stranger = Browser(service, browser.cloud)
    mallory = await service.user("Mallory")
    await stranger.sign_in(mallory)
    without_cookie = await stranger.come_back(location)
    stranger.cookies["control_grant"] = browser.cookies["control_grant"]
    as_somebody_else = await stranger.come_back(location)

    assert [400, 400] == [without_cookie.status_code, as_somebody_else.status_code]
    assert [None, None] == [await consent_of(service, who) for who in (user, mallory)]
    assert 303 == (await browser.come_back(location)).status_code


async def test_a_way_back_ends_after_ten_minutes(service: Service) -> None:
    """A state that is too old is good for nothing."""
    browser, user = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    pass_time(service, timedelta(minutes=10, seconds=1))
    answer = await browser.come_back(location)

    assert 400 == answer.status_code
    assert "Stale state" in answer.text
    assert await consent_of(service, user) is None


async def test_two_tabs(service: Service) -> None:
    """What one tab was sent out with is as good as what the other was, in any order."""
    browser, _ = await connecting(service)
    ways = [await browser.consent(await browser.sent_out()) for _ in range(2)]

    assert [303, 303] == [(await browser.come_back(way)).status_code for way in ways]


async def test_somebody_who_asks_in_a_loop(service: Service) -> None:
    """An account has so many ways back and no more; the newest are good."""
    browser, user = await connecting(service)
    ways = [await browser.sent_out() for _ in range(MOST_STATES + 5)]
    rows = await service.store.database.fetch(
        "SELECT count(*) AS number FROM grant_states WHERE account = %s", user.id
    )

    assert MOST_STATES == rows[0]["number"]
    assert 303 == (await browser.come_back(await browser.consent(ways[-1]))).status_code


async def test_somebody_who_does_not_consent(service: Service) -> None:
    """They are told that nothing is connected, and nothing is."""
    browser, user = await connecting(service)
    answer = await browser.come_back(await browser.consent(await browser.sent_out(), "deny"))

    assert 403 == answer.status_code
    assert "nothing is connected" in answer.text
    assert await connection(service, user) is None


async def test_who_is_connected_is_not_sent_out(service: Service) -> None:
    """A grant that lives is not replaced by another behind its back."""
    browser, user = await connecting(service)
    row = CloudConnection(
        metadata=ObjectMeta(name=DIGITALOCEAN, namespace=user.id), spec=CloudConnectionSpec()
    )
    row = await service.store.create(row)
    row.status.phase = "Connected"
    await service.store.update_status(row)
    answer = await browser.ask("GET", "/auth/do")
    shown = await browser.look("/auth/do/connection")

    assert (409, "already-connected") == (answer.status_code, code_of(answer))
    assert "It is connected." in shown.text
    assert "Disconnect" in shown.text


@pytest.mark.parametrize(
    ("origin", "status"), [("http://api", 303), ("http://evil.example", 403), ("null", 403)]
)
async def test_disconnect(service: Service, origin: str, status: int) -> None:
    """The user's own page ends the grant; a form that another site sends does nothing."""
    browser, user = await connecting(service)
    await browser.come_back(await browser.consent(await browser.sent_out()))
    answer = await browser.ask("POST", "/auth/do/disconnect", headers={"Origin": origin, **PAGE})

    row = await connection(service, user)
    assert row is not None
    assert status == answer.status_code
    assert ("Disconnected" if status == 303 else "Connected") == row.spec.state


async def test_disconnect_by_a_program(service: Service) -> None:
    """A token will do, needs no origin, and repeating it changes nothing."""
    user = await service.user()
    first = await service.call(user, "POST", "/auth/do/disconnect")

    assert (202, "none") == (first.status_code, first.json()["state"])


async def test_pages_run_nothing(service: Service) -> None:
    """A page's policy allows its own style and its own forms, and what came along is escaped."""
    browser = Browser(service, cloud_of_tests())
    answer = await browser.look("/auth/do/callback?state=%3Cscript%3E&code=x")

    policy = answer.headers["content-security-policy"]
    assert 400 == answer.status_code
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "<script" not in answer.text
    assert "no-store" == answer.headers["cache-control"]


async def test_nobody_is_asked_without_an_application(database_url: str) -> None:
    """Where none is configured, that is said, and nothing else is different."""
    async with serving(database_url, digitalocean_client_id="") as service:
        user = await service.user()
        answer = await service.call(user, "GET", "/auth/do")

    assert (501, "not-configured") == (answer.status_code, code_of(answer))


async def test_a_session_is_for_the_server_alone(service: Service) -> None:
    """No script reads the cookie and no other site's form brings it along."""
    user = await service.user()
    answer = await Browser(service, cloud_of_tests()).sign_in(user)

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=1800"} <= set(cookie.split("; "))


async def test_a_session_through_the_worker_is_as_safe_as_one_by_https(service: Service) -> None:
    """What a browser sent by https is https, although the Worker asks in the clear."""
    user = await service.user()
    seen = {"x-forwarded-proto": "https"}
    answer = await service.client.post("/auth/session", headers={**user.headers, **seen})

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert "Secure" in cookie


async def test_the_bare_domains_own_pages_may_change_things(service: Service) -> None:
    """A form on the bare domain counts as one of this site's, and one on a subdomain does not."""
    user = await service.user()
    browser = Browser(service, cloud_of_tests())
    await browser.sign_in(user)
    front = service.api.settings.front_url
    own = await browser.ask("POST", "/auth/do/disconnect", headers={"Origin": front})
    foreign = front.replace("://", "://evil.")
    other = await browser.ask("POST", "/auth/do/disconnect", headers={"Origin": foreign})

    assert [202, 403] == [own.status_code, other.status_code]


async def test_a_session_by_https_is_this_hosts_alone(service: Service) -> None:
    """Over https the cookie is never sent without it, nor can a subdomain set it."""
    user = await service.user()
    answer = await service.client.post("https://api/auth/session", headers=user.headers)

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert "Secure" in cookie.split("; ")


@pytest.mark.parametrize(
    ("minutes", "expected"), [(5, [200, False]), (11, [200, True]), (31, [401, False])]
)
async def test_a_session_is_renewed(service: Service, minutes: int, expected: list[object]) -> None:
    """A token in use is replaced by the next; one that was left alone for long is good no more."""
    browser, _ = await connecting(service)
    pass_time(service, timedelta(minutes=minutes))
    answer = await browser.ask("GET", "/auth/do/connection")

    assert expected == [answer.status_code, "set-cookie" in answer.headers]


async def test_a_session_ends(service: Service) -> None:
    """Twelve hours after it was opened it is over, however often it was renewed."""
    browser, _ = await connecting(service)
    answers: list[httpx.Response] = []
    for _ in range(37):
        pass_time(service, timedelta(minutes=20))
        answers.append(await browser.ask("GET", "/auth/do/connection"))

    assert [200] * 35 == [answer.status_code for answer in answers[:35]]
    assert [401, 401] == [answer.status_code for answer in answers[35:]]


async def test_who_signs_out_everywhere_has_no_session(service: Service) -> None:
    """What revokes a user's tokens ends their sessions as well."""
    browser, user = await connecting(service)
    await service.call(user, "POST", "/api/auth/logout", {"scope": "global"})
    answer = await browser.ask("GET", "/auth/do/connection")

    account = await service.store.get(Account, user.id)
    assert account.spec.tokens_valid_after is not None
    assert (401, "no-session") == (answer.status_code, code_of(answer))


async def test_a_session_that_somebody_made_up(service: Service) -> None:
    """Neither another key nor no signature at all makes a session."""
    browser, _ = await connecting(service)
    claims = jwt.decode(browser.cookies[COOKIE], options={"verify_signature": False})
    forged = [
        jwt.encode(claims, "k" * 32, "HS256", headers={"kid": "1"}),
        jwt.encode(claims, "", "none", headers={"kid": "1"}),
        jwt.encode(claims, "k" * 32, "HS256"),
        json.dumps(claims),
        "x" * 5000,
    ]
    statuses = []
    for cookie in forged:
        browser.cookies[COOKIE] = cookie.replace(";", "")
        statuses.append((await browser.ask("GET", "/auth/do/connection")).status_code)

    assert [401] * len(forged) == statuses


async def test_a_session_by_password(service: Service) -> None:
    """Who has no session is shown where to sign in, and is let in with their password."""
    user, browser = await service.user(), Browser(service, cloud_of_tests())
    refused = await browser.look("/auth/do")
    form = Form((await browser.look("/auth/session")).text)
    fields = dict.fromkeys(form.fields, "") | {"email": "alice@example.com", "password": PASSWORD}
    own = {"Origin": "http://api", **PAGE}
    wrong = await browser.ask("POST", form.action, form=fields | {"password": "guess"}, headers=own)
    foreign = await browser.ask("POST", form.action, form=fields, headers={"Origin": "http://e"})
    answer = await browser.ask("POST", form.action, form=fields, headers=own)

    assert 'href="/auth/session"' in refused.text
    assert 'href="/auth/session"' in wrong.text
    assert [401, 401, 403, 303] == [a.status_code for a in (refused, wrong, foreign, answer)]
    assert await connection(service, user) is None
    assert 302 == (await browser.look("/auth/do")).status_code


@pytest.mark.parametrize(
    ("body", "status"), [(b"email=x&password=y", 422), (b"\xff=\xff", 400), (b"a" * 70_000, 413)]
)
async def test_a_broken_form(service: Service, body: bytes, status: int) -> None:
    """What is no sign-in form is refused, with a page."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": "http://api",
        **PAGE,
    }
    answer = await service.client.post("/auth/session", content=body, headers=headers)

    assert status == answer.status_code
    assert "text/html" in answer.headers["content-type"]


async def test_the_way_out_of_a_session(service: Service) -> None:
    """Signing out takes the cookie away; another site cannot do that."""
    browser, _ = await connecting(service)
    foreign = await browser.ask("DELETE", "/auth/session", headers={"Origin": "http://evil"})
    own = await browser.ask("DELETE", "/auth/session", headers={"Origin": "http://api"})

    assert [403, 204] == [foreign.status_code, own.status_code]
    assert "Max-Age=0" in own.headers["set-cookie"]


async def test_the_table_says_nothing(service: Service) -> None:
    """Nobody who reads the rows can come back in a user's place."""
    browser, _ = await connecting(service)
    location = await browser.consent(await browser.sent_out())
    await browser.come_back(location)
    rows = await service.store.database.fetch(
        "SELECT grant_states::text AS text FROM grant_states UNION ALL "
        "SELECT secrets::text FROM secrets UNION ALL SELECT objects::text FROM objects"
    )

    secret = [*asked_of(location).values(), *browser.cookies.values()]
    assert not [row for row in rows if any(value in row["text"] for value in secret)]
