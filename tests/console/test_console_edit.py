"""The editor: judged by field, conflicts shown in three versions, and no typed word lost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml

from crds.machine import Machine
from crds.workspace import WORKSPACE, Workspace
from tests.console.house import Browser, House, form_of
from tests.console.seeds import SECRET, Citizen, phase, settle

pytestmark = pytest.mark.anyio

ALICE = Citizen("alice")
OBJECT = f"{ALICE.account}/{WORKSPACE}"
EDIT = f"/console/workspaces/{OBJECT}/edit"
MACHINE = f"/console/machines/{OBJECT}/edit"


@pytest.fixture(autouse=True)
async def town(house: House) -> None:
    """One citizen, whose rows are edited."""
    await settle(house.store, [ALICE])


async def begin(browser: Browser, path: str = EDIT) -> dict[str, str]:
    """Open the editor."""
    return form_of(await browser.open(path), path)


async def save(
    browser: Browser, form: dict[str, str], *, step: str = "save", path: str = EDIT, **spec: Any
) -> httpx.Response:
    """Change fields of the spec and send the form."""
    manifest = yaml.safe_load(form["yaml"])
    manifest["spec"] |= spec
    text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
    return await browser.send(path, {**form, "yaml": text, "step": step})


async def workspace(house: House) -> Workspace:
    """The edited object."""
    return await house.store.get(Workspace, WORKSPACE, ALICE.account)


async def test_saved(house: House) -> None:
    """What is typed is saved, in the visitor's name."""
    async with house.browser("platform-admin") as browser:
        answer = await save(browser, await begin(browser), power="Stopped", volumeGb=5)

    found = await workspace(house)
    audited = (await house.store.audit.list(uid=found.uid))[0]
    assert (303, f"{EDIT.removesuffix('/edit')}?done=edit") == (
        answer.status_code,
        answer.headers["location"],
    )
    assert ("Stopped", 5) == (found.spec.power, found.spec.volume_gb)
    assert ("console", "update") == (audited.via, audited.verb)


async def test_metadata(house: House) -> None:
    """Labels and annotations are edited, and removed when they are taken out."""
    async with house.browser("platform-admin") as browser:
        form = await begin(browser)
        manifest = yaml.safe_load(form["yaml"])
        manifest["metadata"] |= {"labels": {"team": "red"}}
        del manifest["metadata"]["annotations"]
        await browser.send(EDIT, {**form, "yaml": yaml.safe_dump(manifest), "step": "save"})

    metadata = (await workspace(house)).metadata
    assert ({"team": "red"}, ["invoker.dev/controller"]) == (metadata.labels, metadata.finalizers)
    assert {"invoker.dev/traceparent"} == set(metadata.annotations)


async def test_every_error(house: House) -> None:
    """Every broken rule is told at once, each with its field and line, and the text stays."""
    async with house.browser("platform-admin") as browser:
        form = await begin(browser)
        text = (
            form["yaml"]
            .replace("name: main", "name: other")
            .replace("subdomain: alice", "subdomain: API")
            .replace("power: Running", "power: Flying\n  colour: red")
        )
        answer = await browser.send(EDIT, {**form, "yaml": text, "step": "save"})

    lines = text.splitlines()
    assert 422 == answer.status_code
    for field, line in {
        "metadata.name": "  name: other",
        "spec.subdomain": "  subdomain: API",
        "spec.power": "  power: Flying",
        "spec.colour": "  colour: red",
    }.items():
        number = lines.index(line) + 1
        assert f'<span class="line">line {number}</span> <code>{field}</code>' in answer.text
    assert text == form_of(answer, EDIT)["yaml"]
    assert "Running" == (await workspace(house)).spec.power


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spec: [", "line 1"),
        ("x", "must be one object"),
        ("metadata: 1\nspec: {}", "metadata"),
        ("metadata: {}\nspec: 7", "spec"),
        ("apiVersion: invoker.dev/v1\nkind: Machine\nmetadata: {}\nspec: {}\nstatus: {}", "status"),
        ("metadata: {labels: [1], uid: x}\nspec: {}", "metadata.uid"),
        ("metadata: {ownerReferences: [{apiVersion: v9}]}\nspec: {}", "apiVersion"),
        ("", "must be one object"),
    ],
)
async def test_unreadable(house: House, text: str, words: str) -> None:
    """What is no object of this kind is refused in words, and the text stays."""
    async with house.browser("platform-admin") as browser:
        answer = await browser.send(EDIT, {**await begin(browser), "yaml": text, "step": "save"})

    assert (422, True) == (answer.status_code, words in answer.text)
    assert text == form_of(answer, EDIT)["yaml"]


async def test_check(house: House) -> None:
    """A check shows what would change and changes nothing."""
    async with house.browser("platform-admin") as browser:
        answer = await save(browser, await begin(browser), step="check", power="Stopped")

    assert (200, "Running") == (answer.status_code, (await workspace(house)).spec.power)
    assert "<code>spec.power</code>" in answer.text
    assert "<ins>Stopped</ins>" in answer.text


async def test_status_is_no_conflict(house: House) -> None:
    """What controllers write of the status meanwhile is nobody's conflict."""
    async with house.browser("platform-admin") as browser:
        form = await begin(browser)
        await phase(house.store, ALICE, "Crashed")
        answer = await save(browser, form, power="Stopped")

    assert (303, "Stopped") == (answer.status_code, (await workspace(house)).spec.power)


class TestConflict:
    async def contested(self, house: House, browser: Browser) -> httpx.Response:
        """Save while somebody else has changed the region and the power."""
        form = await begin(browser)
        found = await workspace(house)
        found.spec.region, found.spec.power = "ams", "Stopped"
        await house.store.update(found)
        answer = await save(browser, form, volumeGb=7, power="Running", image="mine")
        assert answer.status_code == 409
        return answer

    async def test_three_versions(self, house: House) -> None:
        """Both sides' changes are shown beside the beginning, and the text stays."""
        async with house.browser("platform-admin") as browser:
            answer = await self.contested(house, browser)

        form = form_of(answer, EDIT)
        assert 7 == yaml.safe_load(form["yaml"])["spec"]["volumeGb"]
        for field in ("spec.region", "spec.volumeGb", "spec.power"):
            assert f"<code>{field}</code>" in answer.text
        assert (await workspace(house)).spec.volume_gb is None

    async def test_over(self, house: House) -> None:
        """Who has seen the others' version may save over it."""
        async with house.browser("platform-admin") as browser:
            form = form_of(await self.contested(house, browser), EDIT)
            answer = await browser.send(EDIT, {**form, "step": "save"})

        spec = (await workspace(house)).spec
        assert (303, None, 7, "Running") == (
            answer.status_code,
            spec.region,
            spec.volume_gb,
            spec.power,
        )

    async def test_merged(self, house: House) -> None:
        """Merged, their changes are kept wherever nothing was changed here."""
        async with house.browser("platform-admin") as browser:
            form = form_of(await self.contested(house, browser), EDIT)
            answer = await browser.send(EDIT, {**form, "step": "merge"})

        spec = (await workspace(house)).spec
        assert (303, "ams", 7, "Stopped") == (
            answer.status_code,
            spec.region,
            spec.volume_gb,
            spec.power,
        )

    async def test_again(self, house: House) -> None:
        """Another change after the three versions were shown is shown again, not overwritten."""
        async with house.browser("platform-admin") as browser:
            form = form_of(await self.contested(house, browser), EDIT)
            found = await workspace(house)
            found.spec.region = "fra"
            await house.store.update(found)
            answers = [
                await browser.send(EDIT, {**form, "step": step}) for step in ("save", "merge")
            ]

        assert [409, 409] == [answer.status_code for answer in answers]
        assert "fra" == (await workspace(house)).spec.region


class TestSecrets:
    async def test_kept(self, house: House) -> None:
        """A masked value that is left alone is saved as it was."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser, MACHINE)
            answer = await save(browser, form, path=MACHINE, image="new")

        machine = await house.store.get(Machine, WORKSPACE, ALICE.account)
        assert (303, "new") == (answer.status_code, machine.spec.image)
        assert SECRET == machine.spec.env["STRIPE_API_KEY"]

    async def test_replaced(self, house: House) -> None:
        """A masked value can be replaced."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser, MACHINE)
            await save(browser, form, path=MACHINE, env={"STRIPE_API_KEY": "new"})

        machine = await house.store.get(Machine, WORKSPACE, ALICE.account)
        assert {"STRIPE_API_KEY": "new"} == machine.spec.env

    async def test_moved(self, house: House) -> None:
        """A mask under another name is refused instead of stored."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser, MACHINE)
            answer = await save(browser, form, path=MACHINE, env={"OTHER": "•••"})

        assert (422, True) == (answer.status_code, "<code>spec.env.OTHER</code>" in answer.text)


class TestNothingIsLost:
    async def test_session_ended(self, house: House) -> None:
        """What was typed when the session ended comes back after signing in, and can be saved."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser)
            typed = form["yaml"].replace("power: Running", "power: Stopped  # keep <this> & that")
            browser.client.cookies.clear()
            ended = await browser.send(EDIT, {**form, "yaml": typed, "step": "save"})
            sign_in = {**form_of(ended, "/console/sign-in"), "token": await house.token()}
            resumed = await browser.send("/console/sign-in", sign_in)
            kept = form_of(resumed, EDIT)
            checked = await browser.send(EDIT, {**kept, "step": "check"})
            answer = await browser.send(EDIT, {**form_of(checked, EDIT), "step": "save"})

        assert (401, 200, 200, 303) == (
            ended.status_code,
            resumed.status_code,
            checked.status_code,
            answer.status_code,
        )
        assert typed == kept["yaml"]
        assert "Stopped" == (await workspace(house)).spec.power

    async def test_wrong_token_first(self, house: House) -> None:
        """A wrong token in between loses nothing either."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser)
            browser.client.cookies.clear()
            ended = await browser.send(EDIT, {**form, "yaml": "typed", "step": "save"})
            wrong = {**form_of(ended, "/console/sign-in"), "token": "wrong"}
            again = await browser.send("/console/sign-in", wrong)

        assert (401, "typed") == (again.status_code, form_of(again, "/console/sign-in")["yaml"])

    async def test_deleted(self, house: House) -> None:
        """What was typed about an object that is gone meanwhile is shown to be kept."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser)
            await house.store.database.execute(
                "UPDATE objects SET finalizers = '{}' WHERE kind = 'Workspace'"
            )
            await house.store.delete(Workspace, WORKSPACE, ALICE.account)
            answer = await browser.send(EDIT, {**form, "yaml": "my words", "step": "save"})

        assert (404, True) == (answer.status_code, "my words" in answer.text)

    async def test_proof(self, house: House) -> None:
        """A form whose proof is another session's shows what was typed."""
        async with house.browser("platform-admin") as browser:
            form = await begin(browser)
            answer = await browser.send(EDIT, {**form, "proof": "", "yaml": "my words"})

        assert (403, True) == (answer.status_code, "my words" in answer.text)


async def test_finalizer_of_the_dying(house: House) -> None:
    """A rule that only the database knows is told as any other."""
    async with house.browser("platform-admin") as browser:
        await house.store.delete(Workspace, WORKSPACE, ALICE.account)
        form = await begin(browser)
        text = form["yaml"].replace("finalizers:\n", "finalizers:\n    - example.com/late\n")
        answer = await browser.send(EDIT, {**form, "yaml": text, "step": "save"})

    assert (422, True) == (answer.status_code, "no finalizer may be added" in answer.text)
