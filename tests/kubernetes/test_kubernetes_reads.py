"""Lists, pages, selectors and tables, as the Kubernetes API conventions have them."""

from datetime import UTC, datetime, timedelta

import pytest

from api.kubernetes.errors import ApiError
from api.kubernetes.jsonpath import look_up
from api.kubernetes.rows import served_kind
from api.kubernetes.selectors import parse
from api.kubernetes.tables import age
from crds.workspace import Workspace
from tests.kubernetes.doors import ACCOUNTS, TABLE, WORKSPACES, Door, account

pytestmark = pytest.mark.anyio

SERVED = served_kind(Workspace)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def test_pages_make_up_the_list_of_their_first_version(door: Door) -> None:
    """Chunks hold every object once, and each tells the version of the first."""
    for number in range(5):
        await door.ask("POST", ACCOUNTS, account(f"a{number}"))
    names, versions, resume = [], set(), ""
    while True:
        page = (await door.ask("GET", f"{ACCOUNTS}?limit=2&continue={resume}")).json()
        names += [item["metadata"]["name"] for item in page["items"]]
        versions.add(page["metadata"]["resourceVersion"])
        resume = page["metadata"].get("continue", "")
        if not resume:
            break
        await door.ask("POST", ACCOUNTS, account("z"))

    assert ["a0", "a1", "a2", "a3", "a4", "z"] == names
    assert len(versions) == 1


async def test_a_page_of_a_compacted_list_is_gone(door: Door) -> None:
    """A list that is too old to go on says 410, so that the client lists anew."""
    for number in range(3):
        await door.ask("POST", ACCOUNTS, account(f"a{number}"))
    first = (await door.ask("GET", f"{ACCOUNTS}?limit=1")).json()
    await door.ask("POST", ACCOUNTS, account("b"))
    await door.ask("POST", ACCOUNTS, account("c"))
    await door.store.compact(timedelta(seconds=-1))
    resume = first["metadata"]["continue"]
    second = await door.ask("GET", f"{ACCOUNTS}?limit=1&continue={resume}")

    assert (410, "Expired") == (second.status_code, second.json()["reason"])


async def test_a_selected_page_is_full_although_others_lie_between(door: Door) -> None:
    """A limit counts what matches, not what was looked at."""
    for number in range(6):
        plan = "Pro" if number % 2 else "Free"
        await door.ask("POST", ACCOUNTS, account(f"a{number}", plan=plan))
    answer = await door.ask("GET", f"{ACCOUNTS}?limit=2&fieldSelector=spec.plan=Pro")
    body = answer.json()

    assert ["a1", "a3"] == [item["metadata"]["name"] for item in body["items"]]
    assert "continue" in body["metadata"]


async def test_a_table_has_the_columns_of_the_kind(door: Door) -> None:
    """A table comes from the server, wide columns marked by their priority."""
    await door.workspace()
    answer = await door.ask("GET", WORKSPACES.format("alice"), headers={"Accept": TABLE})
    body = answer.json()
    headings = {each["name"]: each["priority"] for each in body["columnDefinitions"]}
    row = dict(zip(headings, body["rows"][0]["cells"], strict=True))

    assert ("Table", 0, 1) == (body["kind"], headings["Phase"], headings["Region"])
    assert ("main", "alice", "Pending") == (row["Name"], row["Subdomain"], row["Phase"])
    assert body["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_a_version_that_has_not_been_is_not_answered(door: Door) -> None:
    """A list newer than a version that is not there yet is refused, to be tried again."""
    await door.workspace()
    answer = await door.ask("GET", f"{WORKSPACES.format('alice')}?resourceVersion=99999")

    assert (504, 1) == (answer.status_code, answer.json()["details"]["retryAfterSeconds"])


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("a=1", True),
        ("a==1,b", True),
        ("a!=1", False),
        ("a in (1, 2)", True),
        ("a notin (1,2)", False),
        ("!c", True),
        ("!a", False),
        ("x.io/tier=gold", True),
        ("c notin (1)", True),
    ],
)
def test_label_selectors_select(selector: str, expected: bool) -> None:  # noqa: FBT001 - the expectation
    """Every form of a label requirement means what Kubernetes means by it."""
    labels = {"a": "1", "b": "", "x.io/tier": "gold"}
    chosen = parse(SERVED, None, selector, None)

    assert expected == chosen.matches({"metadata": {"name": "x", "labels": labels}})


@pytest.mark.parametrize(
    ("labels", "fields"),
    [("a in 1", None), ("=1", None), ("a=b=c", None), (None, "spec.image=x"), (None, "phase")],
)
def test_selectors_that_cannot_be_read_are_refused(labels: str | None, fields: str | None) -> None:
    """A selector that is broken, or of a field that is not selectable, is 400 and no list."""
    with pytest.raises(ApiError) as refused:
        parse(SERVED, None, labels, fields)

    assert refused.value.code == 400


def test_field_selectors_select() -> None:
    """Name and namespace narrow the read, other fields the result, equal or not."""
    chosen = parse(SERVED, "ns", None, "metadata.name=x,status.phase!=Ready,spec.power=Running")
    obj = {
        "metadata": {"name": "x", "namespace": "ns"},
        "spec": {"power": "Running"},
        "status": {"phase": "Pending"},
    }

    assert ("ns", "x") == (chosen.namespace, chosen.name)
    assert chosen.matches(obj)
    assert not chosen.matches({**obj, "status": {"phase": "Ready"}})


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (119, "119s"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (4 * 3600 + 60, "4h1m"),
        (86400, "24h"),
        (3 * 86400 + 7200, "3d2h"),
        (30 * 86400, "30d"),
        (800 * 86400, "2y70d"),
    ],
)
def test_ages_read_as_kubectl_words_them(seconds: int, expected: str) -> None:
    """Ages are short, and coarser the older something is."""
    assert expected == age((NOW - timedelta(seconds=seconds)).isoformat(), NOW)


def test_json_paths_go_through_fields_and_filters() -> None:
    """The subset of JSONPath that columns use finds what it names, or nothing."""
    data = {"conditions": [{"type": "A"}, {"type": "Ready", "status": "True"}]}

    assert look_up('.conditions[?(@.type=="Ready")].status', data) == "True"
    assert look_up('.conditions[?(@.type=="None")].status', data) is None
    assert look_up(".conditions.type", data) is None
    with pytest.raises(ValueError, match="not a path"):
        look_up("conditions[0]", data)
