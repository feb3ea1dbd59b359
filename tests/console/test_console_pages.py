"""An object's page, and what is done from it."""

from __future__ import annotations

import httpx
import pytest

from crds.access import Role
from crds.account import Account
from crds.devenv import DevEnv, DevEnvSpec, cost_of
from crds.machine import Machine
from crds.meta import ObjectMeta, Resource
from crds.platform import PLATFORM, Platform
from crds.store import Actor
from crds.workspace import WORKSPACE, Workspace
from tests.console.house import Browser, House, text_of
from tests.console.seeds import HOSTILE, SECRET, Citizen, citizens, phase, settle, warn

pytestmark = pytest.mark.anyio

ALICE = Citizen("alice")
OBJECT = f"{ALICE.account}/{WORKSPACE}"
WORKSPACES, MACHINE = f"/console/workspaces/{OBJECT}", f"/console/machines/{OBJECT}"
ACCOUNT = f"/console/accounts/-/{ALICE.account}"
PLATFORM_PAGE = f"/console/platforms/-/{PLATFORM}"


def _actor(subject: str = "token:0:cli") -> Actor:
    return Actor(subject, "platform-admin", "cli")


class TestObjects:
    async def test_dev_environment(self, house: House) -> None:
        """What it costs, and who read its secrets: by name of what they were given."""
        spec = DevEnvSpec(client="acme", app="erp")
        meta = ObjectMeta(name="erp", namespace="acme")
        devenv = await house.store.create(DevEnv(metadata=meta, spec=spec))
        agent = Actor("token:1:agent", "devops", "api", "r1")
        note = house.store.audit.note_read
        await note(agent, devenv.key, devenv.uid, given=["supabase_url", "db_password"])
        await note(agent, devenv.key, devenv.uid, given=[], refused="account-suspended")
        async with house.browser("support") as browser:
            page = await browser.open("/console/devenvs/acme/erp")

        audit = text_of(page, "audit")
        assert "read its secrets as devops by api" in audit
        assert "given: supabase_url, db_password" in audit
        assert "was refused its secrets as devops by api" in audit
        assert "account-suspended" in audit
        assert f"${cost_of(spec).always_on_usd:.2f}" in text_of(page, "devenv")

    async def test_everything(self, house: House) -> None:
        """Retry, intent, differences, conditions, relatives, cost, heartbeat and trace."""
        jonas = citizens(house.store.clock.now())[9]
        await settle(house.store, [jonas])
        await warn(house.store, jonas, "NoCapacity", "insufficient memory", 4)
        path = f"{jonas.account}/{WORKSPACE}"
        async with house.browser("support") as browser:
            machine = await browser.open(f"/console/machines/{path}")
            workspace = await browser.open(f"/console/workspaces/{path}")
            account = await browser.open(f"/console/accounts/-/{jonas.account}")
            route = await browser.open("/console/routes/-/jonas")

        progress = text_of(machine, "progress")
        assert "NoCapacity could not reserve resource" in progress
        assert "Attempt 4" in progress
        assert "01JD8ZK3V7-ams" in progress
        assert "machines.create was begun" in progress
        assert 'data-until title="' in machine.text
        compared = text_of(machine, "compare")
        assert "2 fields differ" in compared
        assert "volume.sizeGb 3 ≠ differs: 1" in compared
        assert "Ready False Creating wants Running" in text_of(machine, "timeline")
        assert "Warning NoCapacity \N{MULTIPLICATION SIGN}4 insufficient memory" in text_of(
            machine, "events"
        )
        assert "owner Workspace main route Route jonas Running" in text_of(machine, "relations")
        assert "$6.14" in text_of(machine, "facts")
        assert "agent 1.4.0" in text_of(workspace, "facts")
        assert "0af7651916cd43dd8448eb211c80319c" in text_of(workspace, "facts")
        assert "child Machine main Creating route Route jonas" in text_of(workspace, "relations")
        assert "$5.84" in text_of(account, "facts")
        assert "jonas@example.com" in text_of(route, "facts")

    @pytest.mark.parametrize("role", ["platform-admin", "support"])
    async def test_secrets(self, house: House, role: Role) -> None:
        """No page shows a value that looks like a secret, nor the audit's past ones."""
        await settle(house.store, [ALICE])
        machine = await house.store.get(Machine, WORKSPACE, ALICE.account)
        machine.spec.env = {**machine.spec.env, "STRIPE_API_KEY": f"{SECRET}-2"}
        async with house.browser("platform-admin") as browser:
            actor = _actor()
            await house.store.acting_as(actor).update(machine)
            await browser.submit(f"{MACHINE}/do/pause")
        async with house.browser(role) as browser:
            paths = [MACHINE, f"{MACHINE}/raw", f"{MACHINE}/edit", "/console/machines?wide=1"]
            pages = [(await browser.open(path)).text for path in paths]
            proof = await browser.proof()

        assert not [page for page in pages if SECRET in page]
        assert "•••" in pages[0]
        assert proof

    async def test_hostile(self, house: House) -> None:
        """Names, labels, messages and addresses that mean harm are words on every page."""
        await settle(house.store, [ALICE])
        account = await house.store.get(Account, ALICE.account)
        account.spec.first_name = HOSTILE
        account.spec.email = f"{HOSTILE}@example.com"
        account.metadata.labels = {HOSTILE: HOSTILE}
        account.metadata.annotations = {"note": f"</textarea>{HOSTILE}"}
        await house.store.acting_as(_actor(HOSTILE)).update(account)
        workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        workspace.status.url = f"javascript:{HOSTILE}"
        workspace.status.phase = HOSTILE
        await house.store.update_status(workspace)
        await warn(house.store, ALICE, HOSTILE, HOSTILE)
        paths = [
            "/console", "/console/workspaces?wide=1", "/console/accounts?wide=1", WORKSPACES,
            MACHINE, ACCOUNT, f"{ACCOUNT}/edit", f"{ACCOUNT}/do/quarantine",
            f"/console/find?q={HOSTILE}",
            f"/console/workspaces?q={HOSTILE}&phase={HOSTILE}",
        ]  # fmt: skip
        async with house.browser("platform-admin") as browser:
            pages = [(await browser.open(path)).text for path in paths]

        for path, page in zip(paths, pages, strict=True):
            assert "<script>alert" not in page, path
            assert "</textarea><script" not in page, path
            assert 'href="javascript' not in page, path
            assert page.count("<textarea") == page.count("</textarea>"), path

    @pytest.mark.parametrize(
        "path",
        [
            "workspaces/nobody/main",
            "workspaces/-/main",
            "accounts/-/%00",
            "nothings/-/x",
            f"accounts/{ALICE.account}/{ALICE.account}",
            f"{'x' * 300}/-/{'y' * 3000}",
        ],
    )
    async def test_missing(self, house: House, path: str) -> None:
        """What is not there is a clear page, not an error."""
        async with house.browser("support") as browser:
            answer = await browser.open(f"/console/{path}")

        assert (404, True) == (answer.status_code, "There is nothing here" in answer.text)

    async def test_broken_row(self, house: House) -> None:
        """A row broken by plain SQL is shown as it is, and can be deleted."""
        await settle(house.store, [ALICE])
        await house.store.database.execute(
            'UPDATE objects SET spec = \'{"power": [1], "size": "x"}\', status = '
            "'{\"conditions\": 7, \"retry\": []}' WHERE kind IN ('Workspace', 'Machine')"
        )
        async with house.browser("platform-admin") as browser:
            paths = ("/console", "/console/workspaces", WORKSPACES, MACHINE, f"{WORKSPACES}/edit")
            answers = [(await browser.open(path)).status_code for path in paths]
            refused = await browser.submit(f"{WORKSPACES}/do/pause")
            deleted = await browser.submit(f"{WORKSPACES}/do/delete", confirm=WORKSPACE)

        row = (await house.store.rows(Workspace))[0]
        assert [200] * 5 == answers
        assert (422, 303) == (refused.status_code, deleted.status_code)
        assert row["deletion_timestamp"] is not None


class TestActions:
    @pytest.fixture(autouse=True)
    async def town(self, house: House) -> None:
        """One citizen."""
        await settle(house.store, [ALICE])

    async def do(self, browser: Browser, path: str, **fields: str) -> httpx.Response:
        """Confirm an action."""
        answer = await browser.submit(path, **fields)
        assert answer.status_code == 303, text_of(answer)
        return answer

    async def test_restart_and_wake(self, house: House) -> None:
        """Support asks for a restart and a waking; who, from where and what stand in the audit."""
        async with house.browser("support") as browser:
            answer = await self.do(browser, f"{WORKSPACES}/do/restart")
            await self.do(browser, f"{WORKSPACES}/do/wake")
            page = await browser.open(answer.headers["location"])

        workspace = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        audited = (await house.store.audit.list(uid=workspace.uid))[0]
        assert workspace.spec.restart_at is not None
        assert workspace.spec.wake_at is not None
        assert ("support", "console", "update") == (audited.role, audited.via, audited.verb)
        assert audited.subject.startswith("token:")
        assert audited.subject.endswith(":support laptop")
        assert audited.request
        assert "A restart was asked for." in page.text
        assert "spec.restartAt" in text_of(page, "audit")

    async def test_stop_and_start(self, house: House) -> None:
        """It stops and starts again."""
        powers = []
        async with house.browser("platform-admin") as browser:
            for action in ("stop", "start"):
                await self.do(browser, f"{WORKSPACES}/do/{action}")
                found = await house.store.get(Workspace, WORKSPACE, ALICE.account)
                powers.append(found.spec.power)

        assert ["Stopped", "Running"] == powers

    async def test_pause_and_resume(self, house: House) -> None:
        """An object is taken out of the loop's hands, and given back."""
        seen = []
        async with house.browser("platform-admin") as browser:
            for action in ("pause", "resume"):
                await self.do(browser, f"{MACHINE}/do/{action}")
                found = await house.store.get(Machine, WORKSPACE, ALICE.account)
                seen.append(found.metadata.annotations.get("invoker.dev/paused"))

        assert ["true", None] == seen

    async def test_states(self, house: House) -> None:
        """An account is suspended, quarantined with its tokens revoked, and activated again."""
        seen: list[tuple[str, bool]] = []
        async with house.browser("platform-admin") as browser:
            for action in ("suspend", "quarantine", "activate"):
                await self.do(browser, f"{ACCOUNT}/do/{action}", confirm=ALICE.email)
                spec = (await house.store.get(Account, ALICE.account)).spec
                seen.append((spec.state, spec.tokens_valid_after is not None))

        assert [("Suspended", False), ("Quarantined", True), ("Active", True)] == seen

    async def test_incident(self, house: House) -> None:
        """The incident page is raised with a message and taken down again."""
        seen = []
        async with house.browser("platform-admin") as browser:
            for action, said in (("incident-on", "We are on it."), ("incident-off", "")):
                await self.do(browser, f"{PLATFORM_PAGE}/do/{action}", said=said)
                incident = (await house.store.get(Platform, PLATFORM)).spec.incident
                seen.append((incident.active, incident.message))

        assert [(True, "We are on it."), (False, "We are on it.")] == seen

    @pytest.mark.parametrize("typed", ["", "main", "ALICE", "alice "])
    async def test_typed(self, house: House, typed: str) -> None:
        """What cannot be undone wants the name that the page shows; else nothing is done."""
        async with house.browser("platform-admin") as browser:
            answer = await browser.submit(f"{WORKSPACES}/do/delete", confirm=typed)

        found = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        right = typed.strip() == "alice"
        assert (303 if right else 422, right) == (answer.status_code, found.deleting)

    async def test_force(self, house: House) -> None:
        """Of what is being deleted the row can be let go by force, with a reason."""
        async with house.browser("platform-admin") as browser:
            await self.do(browser, f"{WORKSPACES}/do/delete", confirm="alice")
            bare = await browser.submit(f"{WORKSPACES}/do/force-delete", confirm="alice")
            await self.do(
                browser, f"{WORKSPACES}/do/force-delete", confirm="alice", said="host lost"
            )

        found = await house.store.get(Workspace, WORKSPACE, ALICE.account)
        assert 422 == bare.status_code
        assert "host lost" == found.metadata.annotations["invoker.dev/force-delete"]

    async def test_gone_at_once(self, house: House) -> None:
        """What nobody holds is gone at once, and the table says so."""
        route: Resource = (await house.store.list(Workspace)).items[0]
        route.metadata.finalizers = []
        await house.store.update(route)
        async with house.browser("platform-admin") as browser:
            answer = await self.do(browser, f"{WORKSPACES}/do/delete", confirm="alice")
            page = await browser.open(answer.headers["location"])

        assert "/console/workspaces?done=delete" == answer.headers["location"]
        assert "Its deletion was asked for." in page.text

    async def test_another(self, house: House) -> None:
        """A form about an object that was replaced by one of its name does nothing."""
        async with house.browser("platform-admin") as browser:
            answer = await browser.submit(
                f"{WORKSPACES}/do/stop", uid="00000000-0000-0000-0000-000000000000"
            )

        assert (409, True) == (answer.status_code, "another object" in answer.text)

    async def test_controllers_write(self, house: House) -> None:
        """A status that a controller writes meanwhile does not stop an action."""
        async with house.browser("platform-admin") as browser:
            form = await browser.open(f"{WORKSPACES}/do/stop")
            await phase(house.store, ALICE, "Crashed")
            answer = await self.do(browser, f"{WORKSPACES}/do/stop")

        assert (200, 303) == (form.status_code, answer.status_code)
