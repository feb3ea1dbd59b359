"""What guards the console's forms, and what every answer says to browsers."""

from __future__ import annotations

import pytest

from api.console.visitors import SESSION
from crds.workspace import WORKSPACE, Workspace
from tests.console.addresses import ACTIONS, ALICE, READ, WORKSPACES
from tests.console.house import ORIGIN, House, form_of
from tests.console.seeds import settle

pytestmark = pytest.mark.anyio

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture(autouse=True)
async def town(house: House) -> None:
    """One citizen, whose rows the forms change."""
    await settle(house.store, [ALICE])


class TestForms:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Origin": ORIGIN}, 303),
            ({"Sec-Fetch-Site": "same-origin"}, 303),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({}, 403),
        ],
        ids=["own", "fetch metadata", "other", "null", "cross-site", "nothing"],
    )
    async def test_origin(self, house: House, headers: dict[str, str], status: int) -> None:
        """Only the console's own pages send its forms."""
        async with house.browser("platform-admin") as browser:
            fields = form_of(await browser.open(f"{WORKSPACES}/do/stop"), f"{WORKSPACES}/do/stop")
            answer = await browser.send(f"{WORKSPACES}/do/stop", fields, headers=headers)

        workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        assert status == answer.status_code
        assert ("Stopped" if status == 303 else "Running") == workspace.spec.power

    @pytest.mark.parametrize("proof", ["", "x", "é", "0" * 64])
    async def test_proof(self, house: House, proof: str) -> None:
        """A form without its session's proof does nothing."""
        async with house.browser("platform-admin") as browser:
            answer = await browser.submit(f"{WORKSPACES}/do/stop", proof=proof)

        assert (403, "Running") == (
            answer.status_code,
            (await house.store.get(Workspace, WORKSPACE, ALICE.account)).spec.power,
        )

    async def test_proof_of_another(self, house: House) -> None:
        """One session's proof is none for another."""
        async with house.browser("platform-admin") as one, house.browser("platform-admin") as two:
            theirs = await two.proof()

            assert 403 == (await one.submit(f"{WORKSPACES}/do/stop", proof=theirs)).status_code

    async def test_sign_in_form(self, house: House) -> None:
        """The sign-in form is bound to the browser that opened it."""
        token = await house.token()
        async with house.browser() as one, house.browser() as two:
            theirs = form_of(await two.open("/console/sign-in"), "/console/sign-in")
            await one.open("/console/sign-in")
            answer = await one.send("/console/sign-in", {**theirs, "token": token})

        assert (403, False) == (answer.status_code, SESSION in answer.cookies)

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            (b"a" * (3 * 1024 * 1024 + 1), "application/x-www-form-urlencoded", 413),
            (b"{}", "application/json", 415),
            (b"a=%ff", "application/x-www-form-urlencoded", 400),
            (b"&".join(b"a=1" for _ in range(99)), "application/x-www-form-urlencoded", 400),
        ],
        ids=["large", "json", "not text", "many"],
    )
    async def test_broken(self, house: House, content: bytes, kind: str, status: int) -> None:
        """What is no form of ours is refused before anything is done."""
        async with house.browser("platform-admin") as browser:
            answer = await browser.client.post(
                f"{WORKSPACES}/do/stop",
                content=content,
                headers={"Origin": ORIGIN, "Content-Type": kind},
            )

        assert status == answer.status_code

    async def test_session_ended(self, house: House) -> None:
        """A form sent after the session ended is answered by the sign-in page, and does nothing."""
        async with house.browser("platform-admin") as browser:
            await browser.open(f"{WORKSPACES}/do/stop")
            fields = form_of(browser.page, f"{WORKSPACES}/do/stop") if browser.page else {}
            browser.client.cookies.clear()
            answer = await browser.send(f"{WORKSPACES}/do/stop", fields)

        workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        assert (401, "Running") == (answer.status_code, workspace.spec.power)
        assert "Your session has ended" in answer.text

    async def test_theme(self, house: House) -> None:
        """The theme is chosen by a form and kept in a cookie; nonsense is the automatic one."""
        async with house.browser("support") as browser:
            await browser.submit("/console/routes", "/console/theme", theme="dark")
            dark = (await browser.open("/console")).text
            await browser.submit("/console/routes", "/console/theme", theme='"><script>')
            plain = (await browser.open("/console")).text

        assert ('data-theme="dark"' in dark, 'data-theme="auto"' in plain) == (True, True)


class TestHeaders:
    async def test_everywhere(self, house: House) -> None:
        """Every answer, whatever it is, has the policy and is not stored."""
        async with house.browser() as stranger, house.browser("platform-admin") as browser:
            answers = [await browser.open(path) for path in (*READ, *ACTIONS)]
            answers += [
                await stranger.open("/console/sign-in"),
                await stranger.open("/console"),
                await stranger.open("/console/live", **{"Sec-Fetch-Mode": "cors"}),
                await browser.open("/console/nothing/at/all/here"),
                await browser.open("/console/nothing"),
                await browser.client.delete("/console"),
                await browser.client.post("/console/theme", data={}),
                await stranger.sign_in("wrong"),
            ]

        for answer in answers:
            assert POLICY == answer.headers["content-security-policy"], answer.request.url
            assert "no-store" == answer.headers["cache-control"]
            assert "nosniff" == answer.headers["x-content-type-options"]
            assert "same-origin" == answer.headers["referrer-policy"]

    async def test_static(self, house: House) -> None:
        """Our script and sheet are kept for ever under their digest, with the same policy."""
        async with house.browser() as browser:
            page = (await browser.open("/console/sign-in")).text
            path = page.split('<script src="')[1].split('"')[0]
            found, bare = await browser.open(path), await browser.open(path.split("?")[0])
            missing = await browser.open("/console/static/app.py")

        assert (200, 200, 404) == (found.status_code, bare.status_code, missing.status_code)
        assert ("immutable" in found.headers["cache-control"], POLICY) == (
            True,
            found.headers["content-security-policy"],
        )
        assert "no-store" == bare.headers["cache-control"]

    async def test_no_inline(self, house: House) -> None:
        """No page has a script, a style or a handler in itself, nor names another host."""
        async with house.browser("platform-admin") as browser:
            pages = [(await browser.open(path)).text for path in (*READ, *ACTIONS)]

        for page in pages:
            assert " style=" not in page
            assert "<style" not in page
            assert " on" + "click" not in page
            assert page.count("<script") == page.count('<script src="/console/static/') or (
                "<!doctype" not in page
            )
