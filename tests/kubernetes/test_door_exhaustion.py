"""What somebody sends or asks for costs everybody else little, whatever it is."""

import base64
import json
from typing import Any

import pytest

from api.kubernetes.bodies import MAX_BYTES, MAX_VALUES, decode
from api.kubernetes.errors import ApiError
from api.kubernetes.lists import Resume
from api.kubernetes.patches import PATCH, change_of
from api.kubernetes.rows import served_kind
from api.kubernetes.selectors import parse
from crds.workspace import Workspace
from tests.kubernetes.doors import WORKSPACES, Door, workspace

JSON = "application/json"
YAML = "application/apply-patch+yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
SERVED = served_kind(Workspace)

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = ALIASES.replace("[", "{<<: [").replace("]", "]}")


@pytest.mark.parametrize(
    ("data", "type_", "code"),
    [
        (b"[" + b"{}," * (MAX_BYTES // 3 - 2) + b"0]", JSON, 413),
        (b"[" * 1_000_000, JSON, 413),
        (b"[" * MAX_VALUES + b"]" * MAX_VALUES, JSON, 400),
        (b"9" * 5_000, JSON, 400),
        (b"9" * 30, JSON, 422),
        (ALIASES.encode(), YAML, 400),
        (MERGES.encode(), YAML, 400),
        (b"&a [*a]", YAML, 400),
        (b"[" * 1_000_000, YAML, 400),
        (b"- " * 1_000_000, YAML, 400),
        (b"- a\n" * MAX_VALUES, YAML, 413),
        (b"k8s\0" + b"\x50\x00" * (MAX_BYTES // 2 - 4), PROTOBUF, 413),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_what_would_take_long_to_read_is_refused(data: bytes, type_: str, code: int) -> None:
    """A body is measured before it is taken apart, and nothing in it grows."""
    with pytest.raises(ApiError) as refused:
        decode(data, type_)

    assert code == refused.value.code


def test_a_number_of_minutes_and_hours_is_text_when_it_is_long() -> None:
    """YAML's numbers of base sixty take quadratic time; what is longer than 64 bits is none."""
    digits = ":".join(["1"] * 500_000)
    decoded, _ = decode(f"[{digits}, 0x1f, 12]".encode(), YAML)

    assert [digits, 31, 12] == decoded


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        ("a," * 100_000, None),
        ("a in (" + "b," * 100_000, None),
        ("a" + " " * 100_000 + "b", None),
        ("a in (b)," * 1_000, None),
        (None, "metadata.name=a," * 1_000),
    ],
    ids=lambda value: value and value[:10],
)
def test_a_selector_is_bounded(labels: str | None, fields: str | None) -> None:
    """Selectors are read in linear time, and have few requirements for every object to meet."""
    with pytest.raises(ApiError) as refused:
        parse(SERVED, None, labels, fields)

    assert 400 == refused.value.code


def test_nothing_but_commas_selects_everything() -> None:
    """Looking for parentheses at every comma would take hours here."""
    assert () == parse(SERVED, None, "," * 100_000, None).labels


def test_commas_inside_of_parentheses_part_nothing() -> None:
    """The values of a set are one requirement."""
    selector = parse(SERVED, None, "a in (x, y),!b , c notin (z),d", None)
    matching = {"metadata": {"labels": {"a": "y", "c": "w", "d": ""}, "name": "n"}}
    other = {"metadata": {"labels": {"a": "y", "b": "", "d": ""}, "name": "n"}}

    assert 4 == len(selector.labels)
    assert (True, False) == (selector.matches(matching), selector.matches(other))


def test_a_json_patch_does_not_nest_what_it_makes() -> None:
    """A thousand shallow operations can make one deep object, which nothing could walk."""
    operations = [
        {"op": "add", "path": "/metadata" + "/a" * depth, "value": {}} for depth in range(1, 1000)
    ]
    change = change_of(PATCH, operations, strategic=False)
    with pytest.raises(ApiError) as refused:
        change({"metadata": {"name": "x"}})

    assert 400 == refused.value.code


@pytest.mark.parametrize("value", ["[" * 100_000, "[1, " * 200, json.dumps(["x" * 10_000, "", ""])])
def test_a_forged_continue_token_is_no_reason_to_fail(value: str) -> None:
    """It comes back from clients, so it is as hostile as any input."""
    with pytest.raises(ApiError) as refused:
        Resume.parse(base64.urlsafe_b64encode(value.encode()).decode())

    assert 400 == refused.value.code


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_query_is_bounded(door: Door, method: str) -> None:
    """Parameters without end are refused before anybody takes them apart."""
    body: Any = {}
    answer = await door.ask(method, f"{WORKSPACES.format('a')}/b?" + "a&" * 20_000, body)

    assert (414, "RequestURITooLong") == (answer.status_code, answer.json()["reason"])


@pytest.mark.anyio
async def test_an_object_stays_within_its_limits(door: Door) -> None:
    """Neither one write nor many small ones make an object that is slow for everybody."""
    await door.workspace("alice")
    main = f"{WORKSPACES.format('alice')}/main"
    many = {"metadata": {"labels": {f"a{number}": "" for number in range(2000)}}}
    large = {"status": {"phase": "x" * 2_000_000}}
    codes = [
        (await door.patch(main, many)).status_code,
        (await door.patch(f"{main}/status", large)).status_code,
    ]
    for number in range(3):
        config = workspace()
        config["metadata"]["annotations"] = {f"a{number}": "x" * 100_000}
        answer = await door.patch(f"{main}?fieldManager=m{number}", config, "apply-patch+yaml")
        codes.append(answer.status_code)

    assert [422, 413, 200, 200, 422] == codes


@pytest.mark.anyio
async def test_a_client_is_not_warned_without_end(door: Door) -> None:
    """Warnings are headers, and clients take so many bytes of them."""
    await door.workspace("alice")
    patch = {"spec": {f"unknown{number}": 0 for number in range(10_000)}}
    answer = await door.patch(f"{WORKSPACES.format('alice')}/main", patch)
    warnings = answer.headers.get_list("warning")

    assert (200, 21) == (answer.status_code, len(warnings))
    assert "9980 more" in warnings[-1]
