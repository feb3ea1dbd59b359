"""Who comes into the console, what each role sees and does, and what guards the forms."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from api.console.limits import FAILURES
from api.console.visitors import LIFETIME, SESSION
from crds.access import Role
from crds.account import Account
from deploy.local.simulators.auth import SupabaseAuth
from tests.api.service import later
from tests.console.addresses import ACTIONS, ALICE, READ, WORKSPACES
from tests.console.house import Browser, House
from tests.console.seeds import settle

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def town(house: House) -> None:
    """One citizen, whose rows the pages show."""
    await settle(house.store, [ALICE])


class TestRoles:
    @pytest.mark.parametrize("role", ["platform-admin", "support"])
    async def test_pages(self, house: House, role: Role) -> None:
        """Operators read every page."""
        async with house.browser(role) as browser:
            answers = {path: (await browser.open(path)).status_code for path in READ}

        assert dict.fromkeys(READ, 200) == answers

    @pytest.mark.parametrize(("place", "role"), [(0, "platform-admin"), (1, "support")])
    async def test_actions(self, house: House, place: int, role: Role) -> None:
        """An administrator may do what makes sense; support may restart and wake."""
        async with house.browser(role) as browser:
            answers = {path: (await browser.open(path)).status_code for path in ACTIONS}

        assert {path: both[place] for path, both in ACTIONS.items()} == answers

    async def test_offered(self, house: House) -> None:
        """A page offers what the role may do, and nothing else."""
        async with house.browser("support") as browser:
            page = (await browser.open(WORKSPACES)).text

        offered = [name for name in ("restart", "wake", "stop", "delete") if f"/do/{name}" in page]
        assert (["restart", "wake"], False) == (offered, "/edit" in page)

    @pytest.mark.parametrize("path", [path for path, both in ACTIONS.items() if both[1] == 403])
    async def test_forms_are_judged(self, house: House, path: str) -> None:
        """A form that no page offered is refused as the page would have been."""
        async with house.browser("support") as browser:
            proof = await browser.proof()
            before = await _rows(house)
            answer = await browser.send(path, {"proof": proof, "confirm": "alice", "yaml": "a: 1"})

        assert (403, before) == (answer.status_code, await _rows(house))

    @pytest.mark.parametrize("role", ["account-owner", "metrics"])
    async def test_others(self, house: House, role: Role) -> None:
        """Other roles are told clearly that there is nothing for them, and have no session."""
        account = ALICE.account if role == "account-owner" else ""
        async with house.browser() as browser:
            answer = await browser.sign_in(await house.token(role, account))

        assert (403, False) == (answer.status_code, SESSION in answer.cookies)
        assert "This console is for operators" in answer.text

    async def test_nobody(self, house: House) -> None:
        """Without a session every page leads to the sign-in page and back again."""
        async with house.browser() as browser:
            answers = [await browser.open(path) for path in READ]

        places = [answer.headers["location"] for answer in answers]
        assert [303] * len(READ) == [answer.status_code for answer in answers]
        assert "/console/sign-in?next=%2Fconsole%2Fmachines%3Fwide%3D1" == places[3]


class TestSessions:
    async def test_cookie(self, house: House) -> None:
        """The session's cookie is no script's and no other site's business."""
        async with house.browser() as browser:
            answer = await browser.sign_in(await house.token(), WORKSPACES)

        cookie = next(c for c in answer.headers.get_list("set-cookie") if SESSION in c)
        attributes = {part.strip() for part in cookie.split(";")[1:]}
        assert {"HttpOnly", "SameSite=strict", "Path=/console", "Max-Age=43200"} == attributes
        assert WORKSPACES == answer.headers["location"]

    async def test_secure(self, house: House) -> None:
        """By https the cookie goes by https only."""
        transport = httpx.ASGITransport(app=house.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://console") as client:
            browser = Browser(client, headers={"Origin": "https://console"})
            answer = await browser.sign_in(await house.token())

        assert all("Secure" in each for each in answer.headers.get_list("set-cookie"))

    async def test_child(self, house: House) -> None:
        """A session ends with the token with which it was opened."""
        token, kept = await house.issue()
        async with house.browser() as browser:
            await browser.sign_in(token)
            before = (await browser.open("/console")).status_code
            await house.desk.sessions.authenticator.tokens.revoke(kept.id)
            after = (await browser.open("/console")).status_code

        assert (200, 303) == (before, after)

    async def test_sign_out(self, house: House) -> None:
        """After signing out the cookie, even kept, opens nothing."""
        async with house.browser("support") as browser:
            kept = browser.client.cookies[SESSION]
            answer = await browser.submit("/console", "/console/sign-out")
            browser.client.cookies.set(SESSION, kept, path="/console")
            after = await browser.open("/console")

        assert (303, "/console/sign-in") == (answer.status_code, answer.headers["location"])
        assert 303 == after.status_code

    async def test_lifetime(self, house: House) -> None:
        """After twelve hours a session is over."""
        async with house.browser("support") as browser:
            tokens = house.desk.sessions.authenticator.tokens
            now = tokens._clock
            tokens._clock = later(now, LIFETIME - timedelta(seconds=1))
            before = (await browser.open("/console")).status_code
            tokens._clock = later(now, LIFETIME)
            after = (await browser.open("/console")).status_code

        assert (200, 303) == (before, after)

    async def test_other_tokens(self, house: House) -> None:
        """A token in the cookie that no sign-in put there opens nothing."""
        async with house.browser() as browser:
            browser.client.cookies.set(SESSION, await house.token(), path="/console")

            assert 303 == (await browser.open("/console")).status_code

    async def test_wrong_token(self, house: House) -> None:
        """A wrong token is refused in words, without repeating it."""
        wrong = f"inv_{'0' * 16}_{'x' * 43}"
        async with house.browser() as browser:
            answer = await browser.sign_in(wrong)

        assert (401, True) == (answer.status_code, "unknown, expired or revoked" in answer.text)
        assert wrong not in answer.text

    async def test_limit(self, house: House) -> None:
        """Too many failures have to wait, even with a right token; then they are let in."""
        async with house.browser() as browser:
            answers = [await browser.sign_in("inv_0_0") for _ in range(FAILURES)]
            blocked = await browser.sign_in(await house.token())
            house.desk.attempts.succeeded("127.0.0.1")
            freed = await browser.sign_in(await house.token())

        assert {401} == {answer.status_code for answer in answers}
        assert (429, 303) == (blocked.status_code, freed.status_code)
        assert 0 < int(blocked.headers["retry-after"]) <= 301

    async def test_elsewhere(self, house: House) -> None:
        """Nobody is sent to another site after signing in."""
        async with house.browser() as browser:
            answer = await browser.sign_in(await house.token(), "https://evil.example/console")

        assert "/console" == answer.headers["location"]

    async def test_signed_in_already(self, house: House) -> None:
        """Whoever has a session is not asked again."""
        async with house.browser("support") as browser:
            answer = await browser.open("/console/sign-in?next=/console/routes")

        assert (303, "/console/routes") == (answer.status_code, answer.headers["location"])

    async def test_led_here(self, house: House) -> None:
        """A link from another site, with which the cookie is kept back, is asked once more."""
        async with house.browser() as browser:
            led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
            answer = await browser.open("/console/routes", **led)

        assert (200, True) == (answer.status_code, 'http-equiv="refresh"' in answer.text)

    async def test_script(self, house: House) -> None:
        """A script without a session is refused plainly; a stream is told that it is over."""
        async with house.browser() as browser:
            script = await browser.open("/console/live", **{"Sec-Fetch-Mode": "cors"})
            stream = await browser.open("/console/live", Accept="text/event-stream")

        assert (401, "") == (script.status_code, script.text)
        assert (200, "event: end\ndata: session\n\n") == (stream.status_code, stream.text)


class TestSupabase:
    async def test_operator(self, house: House) -> None:
        """A user whom the issuer calls an operator signs in with their access token."""
        user = await house.service.user("Olga")
        _promote(house.service.auth, "olga@example.com", "support")
        token = await _sign_in(house, "olga@example.com")
        async with house.browser() as browser:
            answer = await browser.sign_in(token)
            page = await browser.open("/console")

        assert (303, 200) == (answer.status_code, page.status_code)
        assert f"user:{user.id}" in page.text

    async def test_user(self, house: House) -> None:
        """Any other user is told that there is nothing for them."""
        user = await house.service.user("Ulla")
        async with house.browser() as browser:
            answer = await browser.sign_in(user.token)

        assert 403 == answer.status_code

    async def test_revoked(self, house: House) -> None:
        """What ends a user's tokens ends the session opened with one."""
        user = await house.service.user("Olga")
        _promote(house.service.auth, "olga@example.com", "support")
        token = await _sign_in(house, "olga@example.com")
        async with house.browser() as browser:
            await browser.sign_in(token)
            account = await house.store.get(Account, user.id)
            account.spec.tokens_valid_after = house.store.clock.now() + timedelta(seconds=1)
            await house.store.update(account)

            assert 303 == (await browser.open("/console")).status_code

    async def test_outage(self, house: House) -> None:
        """While the issuer is away, its tokens are refused in words and our own work."""
        user = await house.service.user("Olga")
        house.service.supabase.down = True
        house.desk.sessions.authenticator.supabase.keys._keys.clear()
        async with house.browser() as browser:
            theirs = await browser.sign_in(user.token)
            ours = await browser.sign_in(await house.token())

        assert (503, 303) == (theirs.status_code, ours.status_code)


async def _rows(house: House) -> list[object]:
    rows = await house.store.database.fetch(
        "SELECT uid, spec, annotations, deletion_timestamp FROM objects ORDER BY uid"
    )
    return list(rows)


def _promote(auth: SupabaseAuth, email: str, role: str) -> None:
    """What only the issuer's service role may write."""
    user = next(user for user in auth.users.values() if user.email == email)
    user.app_metadata = {**user.app_metadata, "invoker_role": role}


async def _sign_in(house: House, email: str) -> str:
    answer = await house.service.client.post(
        "/api/auth/login", json={"email": email, "password": "correct horse"}
    )
    token: str = answer.json()["access_token"]
    return token
