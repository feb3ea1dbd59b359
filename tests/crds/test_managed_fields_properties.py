"""What holds of field ownership whatever the objects and the order of writes."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crds.managed_fields import Json
from crds.managed_fields.fields import decode, encode
from crds.managed_fields.structure import Field, applied, fields_of, rooted, with_implied
from tests.support.owned_kind import LATER, LATER_TEXT, SCHEMA, Kept, thing

ROOT = rooted(SCHEMA)
MANAGERS = ("alice", "bob", "carol", "kubectl")

small = st.integers(0, 2)
word = st.sampled_from(["a", "b", "c"])
loose = st.recursive(
    st.none() | st.booleans() | small | word,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(word, inner, max_size=2),
    max_leaves=4,
)
ports = st.lists(
    st.fixed_dictionaries(
        {"port": small}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": word}
    ),
    max_size=3,
    unique_by=lambda port: (port["port"], port.get("protocol", "TCP")),
)
# Fields by which two writers can differ without meeting: one part a field.
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "power": word,
    "region": st.none() | word,
    "replicas": small,
    "quota": st.fixed_dictionaries({}, optional={"workspaces": small, "machines": small}),
    "env": st.dictionaries(word, word, max_size=2),
    "limits": st.dictionaries(word, small, max_size=2),
    "command": st.lists(word, max_size=2),
    "tags": st.lists(word, max_size=3, unique=True),
    "ports": ports,
    "more": loose,
}
specs = st.fixed_dictionaries({}, optional=PARTS)
labels = st.dictionaries(word, word, max_size=2)
configs = st.builds(lambda spec, said: thing(spec, labels=said), specs, labels)
statuses = st.lists(word, max_size=3, unique=True).map(
    lambda types: thing(status={"conditions": [{"type": name, "status": "True"} for name in types]})
)
managers = st.sampled_from(MANAGERS)
steps = st.lists(
    st.tuples(st.sampled_from(["apply", "update"]), managers, configs | statuses), max_size=6
)


def played(history: list[tuple[str, str, Json]]) -> Kept:
    """An object after these writes; those that have a status go to it."""
    kept = Kept()
    for verb, manager, config in history:
        subresource = "status" if "status" in config else ""
        if verb == "apply":
            kept.apply(manager, config, force=True, subresource=subresource)
        elif subresource:
            kept.update(manager, {**(kept.live or thing()), **config}, subresource=subresource)
        else:
            status = {name: part for name, part in (kept.live or {}).items() if name == "status"}
            kept.update(manager, {**config, **status})
    return kept


def holds(config: Any, merged: Any, list_of: str = "") -> bool:
    """Whether an object says what a configuration does; an oracle that knows the test's kind."""
    if list_of == "limits":
        return bool(config == merged)
    if isinstance(config, dict):
        return isinstance(merged, dict) and all(
            name in merged and holds(part, merged[name], name)
            for name, part in config.items()
            if part is not None
        )
    if list_of == "tags":
        return set(config) <= set(merged)
    if list_of == "ports":
        have = {(port["port"], port.get("protocol", "TCP")): port for port in merged}
        return all(
            holds(port, have.get((port["port"], port.get("protocol", "TCP")))) for port in config
        )
    return bool(config == merged)


def said(field: Field | None) -> str:
    """What a field says by itself, so that two can be compared."""
    return "" if field is None else "branch" if field.branch else json.dumps(field.value)


def owned_by_others(kept: Kept, manager: str) -> frozenset[tuple[str, ...]]:
    """The fields that somebody else owns."""
    others = (entry for entry in kept.entries if entry["manager"] != manager)
    return frozenset(path for entry in others for path in decode(entry["fieldsV1"]))


def sorted_lists(live: Json | None) -> Json:
    """An object whose sets and map lists are sorted: their order is the writers' order."""
    made: Json = json.loads(json.dumps(live))
    for name in ("tags", "ports"):
        if name in made["spec"]:
            made["spec"][name].sort(key=json.dumps)
    return made


def is_fields_v1(tree: Any) -> bool:
    """Whether this is FieldsV1 in Kubernetes' spelling."""
    return isinstance(tree, dict) and all(
        (name == "." and below == {} and len(tree) > 1)
        or (re.fullmatch(r"f:.+|k:\{.+\}|v:.+", name) is not None and is_fields_v1(below))
        for name, below in tree.items()
    )


@given(steps, managers, configs)
def test_apply_twice_is_once(history: list[Any], manager: str, config: Json) -> None:
    """Applying again what was just applied changes neither the object nor any entry."""
    kept = played(history)
    kept.apply(manager, config, force=True)
    once = (kept.live, kept.entries)

    kept.apply(manager, config, now=LATER)

    assert once == (kept.live, kept.entries)


@given(steps, managers, configs)
def test_config_holds(history: list[Any], manager: str, config: Json) -> None:
    """After a forced apply the object says what was applied, and all of it is the manager's."""
    kept = played(history)

    kept.apply(manager, config, force=True)

    assert holds(config, kept.live)
    assert applied(fields_of(config, ROOT)) == decode(kept.owned(manager))


@given(steps, configs)
def test_agreeing_is_sharing(history: list[Any], config: Json) -> None:
    """An apply of what the object already says conflicts with nobody and changes no value."""
    kept = played([*history, ("apply", "dave", config)])
    before = fields_of(kept.live, ROOT)

    kept.apply("erin", config)

    assert before == fields_of(kept.live, ROOT)
    assert decode(kept.owned("dave")) == decode(kept.owned("erin"))


@given(specs, specs, st.sets(st.sampled_from(sorted(PARTS))))
def test_disjoint_managers_commute(left: Json, right: Json, lefts: set[str]) -> None:
    """Managers without a common field never conflict, and who comes first is the same."""
    first = thing({name: part for name, part in left.items() if name in lefts}, labels={"l": "1"})
    second = thing(
        {name: part for name, part in right.items() if name not in lefts}, labels={"r": "1"}
    )
    one, other = Kept(), Kept()

    one.apply("alice", first)
    one.apply("bob", second)
    other.apply("bob", second)
    other.apply("alice", first)

    assert sorted_lists(one.live) == sorted_lists(other.live)
    assert one.owned("alice") == other.owned("alice")
    assert one.owned("bob") == other.owned("bob")


@given(st.lists(word, unique=True), st.lists(word, unique=True))
def test_sets_keep_every_item(left: list[str], right: list[str]) -> None:
    """Two managers' items of a set stand beside each other, each once, in the second's order."""
    kept = Kept()
    kept.apply("alice", thing({"tags": left}))

    kept.apply("bob", thing({"tags": right}))

    tags = kept.spec()["tags"]
    assert sorted({*left, *right}) == sorted(tags)
    assert right == [tag for tag in tags if tag in right]


@given(steps, configs)
def test_let_go(history: list[Any], config: Json) -> None:
    """Who applies nothing any more owns nothing, and what only they had applied is gone."""
    kept = played(history)
    kept.apply("dave", config, force=True)
    theirs = owned_by_others(kept, "dave")
    only = applied(fields_of(config, ROOT)) - with_implied(theirs, fields_of(kept.live, ROOT))

    kept.apply("dave", thing())

    assert kept.entry("dave") is None
    assert not only & fields_of(kept.live, ROOT).keys()
    assert theirs == owned_by_others(kept, "dave")


@given(steps)
def test_entries_are_sound(history: list[Any]) -> None:
    """Whatever was written, entries are valid FieldsV1 and own only what there is."""
    kept = played(history)

    for entry in kept.entries:
        fields = decode(entry["fieldsV1"])
        assert fields
        assert fields <= fields_of(kept.live, ROOT).keys()
        assert is_fields_v1(entry["fieldsV1"])
        assert entry["fieldsV1"] == encode(fields)
        assert entry["fieldsV1"] == json.loads(json.dumps(entry["fieldsV1"]))


@given(steps, configs)
def test_update_owns_what_it_changed(history: list[Any], config: Json) -> None:
    """After an update its manager owns each changed field alone, and nobody else gains any."""
    kept = played(history)
    before = fields_of(kept.live, ROOT)
    status = {name: part for name, part in (kept.live or {}).items() if name == "status"}

    kept.update("dave", {**config, **status}, now=LATER)

    after = fields_of(kept.live, ROOT)
    changed = {path for path, field in after.items() if said(field) != said(before.get(path))}
    assert changed == decode(kept.owned("dave"))
    for entry in kept.entries:
        if entry["manager"] != "dave":
            assert not changed & decode(entry["fieldsV1"])
            assert entry["time"] != LATER_TEXT


@given(st.sets(st.lists(word.map("f:{}".format), min_size=1, max_size=3).map(tuple)))
def test_fields_v1_round_trip(fields: set[tuple[str, ...]]) -> None:
    """Any set of fields survives being written and read."""
    assert fields == decode(encode(fields))
