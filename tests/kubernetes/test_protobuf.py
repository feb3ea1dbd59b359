"""Protobuf bodies: what kubectl sends is understood, and nothing else does harm."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kubernetes.errors import ApiError
from api.kubernetes.protobuf import decode

Json = dict[str, Any]

# Bodies that kubectl 1.37 and 1.32 sent, byte by byte the same.
ACCESS_OF_RESOURCE = bytes.fromhex(
    "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363"
    "657373526576696577124f0a100a0012001a0022002a0032003800420012310a2f0a016112066372656174651a0b69"
    "6e766f6b65722e64657622002a0a776f726b73706163657332003a057363616c651a08080012001a0020001a002200"
)
ACCESS_OF_PATH = bytes.fromhex(
    "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363"
    "657373526576696577122f0a100a0012001a0022002a003200380042001211120f0a082f6865616c74687a12036765"
    "741a08080012001a0020001a002200"
)
RULES = bytes.fromhex(
    "6b3873000a310a17617574686f72697a6174696f6e2e6b38732e696f2f7631121653656c665375626a65637452756c"
    "6573526576696577121d0a100a0012001a0022002a0032003800420012030a01611a04180022001a002200"
)
WHOAMI = bytes.fromhex(
    "6b3873000a2d0a1861757468656e7469636174696f6e2e6b38732e696f2f7631121153656c665375626a6563745265"
    "76696577121a0a100a0012001a0022002a0032003800420012060a040a0012001a002200"
)
NAMESPACE = bytes.fromhex(
    "6b3873000a0f0a02763112094e616d65737061636512190a110a017812001a0022002a003200380042001200"
    "1a020a001a002200"
)
AUTHORIZATION = "authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            ACCESS_OF_RESOURCE,
            {
                "apiVersion": AUTHORIZATION,
                "kind": "SelfSubjectAccessReview",
                "metadata": {},
                "spec": {
                    "resourceAttributes": {
                        "namespace": "a",
                        "verb": "create",
                        "group": "invoker.dev",
                        "resource": "workspaces",
                        "name": "scale",
                    }
                },
            },
        ),
        (
            ACCESS_OF_PATH,
            {
                "apiVersion": AUTHORIZATION,
                "kind": "SelfSubjectAccessReview",
                "metadata": {},
                "spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
            },
        ),
        (
            RULES,
            {
                "apiVersion": AUTHORIZATION,
                "kind": "SelfSubjectRulesReview",
                "metadata": {},
                "spec": {"namespace": "a"},
            },
        ),
        (
            WHOAMI,
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "SelfSubjectReview",
                "metadata": {},
            },
        ),
        (
            NAMESPACE,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": "x"},
                "spec": {},
                "status": {},
            },
        ),
    ],
)
def test_what_kubectl_sends_is_understood(body: bytes, expected: Json) -> None:
    """The real bytes come out as the JSON that they stand for, without what is empty."""
    assert expected == decode(body)


def varint(number: int) -> bytes:
    """A number in the wire's form."""
    number &= 2**64 - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field in the wire's form."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def enveloped(version: str, kind: str, raw: bytes) -> bytes:
    """A body of some kind."""
    type_ = field(1, version) + field(2, kind)
    return b"k8s\x00" + field(1, type_) + field(2, raw) + field(3, "") + field(4, "")


def entry(key: str, value: str | bytes) -> bytes:
    """An entry of a map."""
    return field(1, key) + field(2, value)


def test_an_event_keeps_all_its_parts() -> None:
    """What a recorder posts is there: times, counts, the object, the source, labels."""
    metadata = field(1, "main.1") + field(3, "a") + field(11, entry("tier", "one"))
    metadata += field(8, b"") + field(14, "x/y") + field(14, "z")
    metadata += field(13, field(1, "Machine") + field(6, 1))
    metadata += field(17, field(1, "me") + field(7, field(1, '{"f:spec":{}}')))
    about = field(1, "Workspace") + field(2, "a") + field(3, "main") + field(4, "u")
    event = field(1, metadata) + field(2, about) + field(3, "Made") + field(4, "It was made.")
    event += field(5, field(1, "tests")) + field(6, field(1, 1) + field(2, 500_000_000))
    event += field(7, field(1, -62135596800)) + field(8, 3) + field(9, "Normal")
    event += field(14, "tests") + field(99, "unknown")
    event += varint(100 << 3 | 1) + bytes(8) + varint(100 << 3 | 5) + bytes(4)

    assert {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": "main.1",
            "namespace": "a",
            "labels": {"tier": "one"},
            "finalizers": ["x/y", "z"],
            "ownerReferences": [{"kind": "Machine", "controller": True}],
            "managedFields": [{"manager": "me", "fieldsV1": {"f:spec": {}}}],
        },
        "involvedObject": {"kind": "Workspace", "namespace": "a", "name": "main", "uid": "u"},
        "reason": "Made",
        "message": "It was made.",
        "source": {"component": "tests"},
        "firstTimestamp": "1970-01-01T00:00:01.500000Z",
        "lastTimestamp": "0001-01-01T00:00:00Z",
        "count": 3,
        "type": "Normal",
        "reportingComponent": "tests",
    } == decode(enveloped("v1", "Event", event))


def test_delete_options_are_of_every_group() -> None:
    """Their group is that of whatever client sends them; a period of 0 is a wish, not nothing."""
    raw = field(1, 0) + field(2, field(1, "u") + field(2, "7")) + field(4, "Background")
    raw += field(3, 0) + field(5, "All")

    assert {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "orphanDependents": False,
        "propagationPolicy": "Background",
        "dryRun": ["All"],
    } == decode(enveloped("apps/v1", "DeleteOptions", raw))


def test_a_subject_is_read_with_its_groups() -> None:
    """An admin may ask about others: user, groups and what else is known of them."""
    extra = field(5, entry("scopes", field(1, "a") + field(1, "b")))
    spec = field(3, "user:x") + field(4, "invoker:support") + extra + field(6, "u")

    assert {
        "user": "user:x",
        "groups": ["invoker:support"],
        "extra": {"scopes": ["a", "b"]},
        "uid": "u",
    } == decode(enveloped(AUTHORIZATION, "SubjectAccessReview", field(2, spec)))["spec"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s",
        b"k8s\x00",
        enveloped("v1", "Pod", b""),
        enveloped("v1", "Secret", field(1, "x")),
        enveloped("v1", "Namespace", b"\xff"),
        enveloped("v1", "Namespace", field(1, 7)),
        enveloped("v1", "Namespace", field(1, field(1, b"\xff\xfe"))),
        enveloped("v1", "Namespace", field(1, field(8, field(1, 2**62)))),
        enveloped("v1", "Namespace", field(1, field(7, "text"))),
        enveloped("v1", "Namespace", field(1, field(17, field(7, field(1, "[" * 100_000))))),
        enveloped("v1", "Namespace", field(1, "x")[:-1]),
        enveloped("v1", "Namespace", b"\x0b"),
        enveloped("v1", "Namespace", b"\x80" * 20),
    ],
)
def test_what_is_no_message_is_a_bad_request(body: bytes) -> None:
    """Whatever is wrong with a body, the answer is 400 and none of its content."""
    with pytest.raises(ApiError) as caught:
        decode(body)

    assert 400 == caught.value.code


@given(st.binary(max_size=200))
def test_garbage_never_does_more_than_be_refused(garbage: bytes) -> None:
    """Any bytes are an object or a bad request."""
    kinds = ("Event", "Namespace", "DeleteOptions", "SubjectAccessReview")
    for body in (garbage, b"k8s\x00" + garbage, *(_of(kind, garbage) for kind in kinds)):
        try:
            found = decode(body)
        except ApiError as error:
            assert 400 == error.code  # noqa: PT017 - either outcome is right
        else:
            assert isinstance(found["kind"], str)


@given(st.data())
def test_a_damaged_body_never_does_more_than_be_refused(data: st.DataObject) -> None:
    """The real bytes with one byte changed or cut are an object or a bad request."""
    body = bytearray(data.draw(st.sampled_from([ACCESS_OF_RESOURCE, RULES, NAMESPACE])))
    body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(4, len(body)))
    try:
        found = decode(bytes(body[:end]))
    except ApiError as error:
        assert 400 == error.code  # noqa: PT017 - the same
    else:
        assert isinstance(found["apiVersion"], str)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.dictionaries(NAMES, NAMES, min_size=1),
    st.lists(NAMES, min_size=1),
    st.integers(-(2**63), 2**63 - 1),
)
def test_values_come_through_as_they_are(
    labels: dict[str, str], finalizers: list[str], seconds: int
) -> None:
    """Texts of any script, maps, lists and signed numbers are what was sent."""
    metadata = b"".join(field(11, entry(*each)) for each in labels.items())
    metadata += b"".join(field(14, each) for each in finalizers) + field(10, seconds)

    assert {
        "labels": labels,
        "finalizers": finalizers,
        "deletionGracePeriodSeconds": seconds,
    } == decode(enveloped("v1", "Namespace", field(1, metadata)))["metadata"]


def _of(kind: str, raw: bytes) -> bytes:
    return enveloped(AUTHORIZATION if kind.endswith("Review") else "v1", kind, raw)
