"""Server-side apply: merging, sharing, removing and conflicts, by example."""

import pytest

from crds.errors import InvalidError
from crds.managed_fields import ApplyConflictError, Conflict, Json
from tests.support.owned_kind import LATER, LATER_TEXT, START_TEXT, Kept, thing


class TestApply:
    def test_creates(self) -> None:
        """An apply to nothing makes the object, and its manager owns what was said, no more."""
        kept = Kept()
        config = thing({"power": "Running", "quota": {"workspaces": 2}}, labels={"team": "a"})

        made = kept.apply("alice", config)

        assert config == made
        assert [
            {
                "manager": "alice",
                "operation": "Apply",
                "apiVersion": "invoker.dev/v1",
                "time": START_TEXT,
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:team": {}}},
                    "f:spec": {"f:power": {}, "f:quota": {"f:workspaces": {}}},
                },
            }
        ] == kept.entries

    def test_leaves_the_rest(self) -> None:
        """Fields that a configuration does not name stay as they are, and whose they are."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}))

        kept.apply("bob", thing({"region": "iad"}))

        assert {"power": "Running", "region": "iad"} == kept.spec()
        assert {"f:spec": {"f:power": {}}} == kept.owned("alice")
        assert {"f:spec": {"f:region": {}}} == kept.owned("bob")

    def test_conflicts(self) -> None:
        """Another value for somebody else's field is refused, and the error names both."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running", "quota": {"workspaces": 2}}))
        kept.update("bob", thing({"power": "Running", "quota": {"workspaces": 2}, "region": "iad"}))
        before = (kept.live, kept.entries)

        conflicts = kept.refused(
            "carol", thing({"power": "Stopped", "region": "fra", "quota": {"workspaces": 3}})
        )

        assert [
            Conflict("alice", "Apply", ".spec.power"),
            Conflict("alice", "Apply", ".spec.quota.workspaces"),
            Conflict("bob", "Update", ".spec.region", "invoker.dev/v1"),
        ] == conflicts
        assert before == (kept.live, kept.entries)

    def test_text_of_one_conflict(self) -> None:
        """One conflict is told in the line that kubectl's users know."""
        error = ApplyConflictError([Conflict("bob", "Update", ".spec.region", "invoker.dev/v1")])

        assert (
            "Apply failed with 1 conflict: "
            'conflict with "bob" using invoker.dev/v1: .spec.region' == str(error)
        )

    def test_text_of_conflicts(self) -> None:
        """Several conflicts are told by owner."""
        error = ApplyConflictError(
            [
                Conflict("zoe", "Apply", ".status.phase", subresource="status"),
                Conflict("alice", "Apply", ".spec.region"),
                Conflict("alice", "Apply", ".spec.power"),
            ]
        )

        assert (
            'Apply failed with 3 conflicts: conflicts with "alice":\n- .spec.power\n'
            '- .spec.region\nconflicts with "zoe" with subresource "status":\n- .status.phase'
            == str(error)
        )

    def test_force(self) -> None:
        """Who insists gets the field, and the former owner loses it."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running", "region": "iad"}))

        kept.apply("bob", thing({"power": "Stopped"}), force=True, now=LATER)

        assert {"power": "Stopped", "region": "iad"} == kept.spec()
        assert {"f:spec": {"f:power": {}}} == kept.owned("bob")
        assert {"f:spec": {"f:region": {}}} == kept.owned("alice")
        assert [START_TEXT, LATER_TEXT] == [entry["time"] for entry in kept.entries]

    def test_shares(self) -> None:
        """Who agrees on a value shares the field; it stays until the last of them lets go."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running", "replicas": 3}))
        kept.apply("bob", thing({"replicas": 3}))

        kept.apply("alice", thing({"power": "Running"}))
        shared = kept.spec()
        kept.apply("bob", thing())

        assert {"power": "Running", "replicas": 3} == shared
        assert {"power": "Running"} == kept.spec()
        assert kept.entry("bob") is None

    def test_shared_field_conflicts_for_its_owners(self) -> None:
        """No owner of a shared field changes it alone."""
        kept = Kept()
        kept.apply("alice", thing({"replicas": 3}))
        kept.apply("bob", thing({"replicas": 3}))

        assert [Conflict("bob", "Apply", ".spec.replicas")] == kept.refused(
            "alice", thing({"replicas": 4})
        )

    def test_removes(self) -> None:
        """What its only owner leaves out goes, with the structure around it and its defaults."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running", "quota": {"workspaces": 2}}))
        assert kept.live is not None
        kept.live["spec"]["quota"]["machines"] = 5  # a default that nobody set

        kept.apply("alice", thing({"power": "Running"}))

        assert {"power": "Running"} == kept.spec()

    def test_keeps_what_an_update_owns(self) -> None:
        """A field that an update set stays when an applier lets go of it."""
        kept = Kept()
        kept.update("bob", thing({"power": "Running", "quota": {"workspaces": 2}}))
        kept.apply("alice", thing({"quota": {"workspaces": 2}}))

        kept.apply("alice", thing())

        assert {"power": "Running", "quota": {"workspaces": 2}} == kept.spec()

    def test_hands_a_field_to_a_controller(self) -> None:
        """The documented transfer: the controller applies the same value, the user lets go."""
        kept = Kept()
        kept.apply("user", thing({"power": "Running", "replicas": 1}))
        kept.apply("scaler", thing({"replicas": 1}))
        kept.apply("user", thing({"power": "Running"}))

        kept.apply("scaler", thing({"replicas": 7}))

        assert {"power": "Running", "replicas": 7} == kept.spec()

    def test_system_metadata(self) -> None:
        """What the server decides is neither owned nor changed by a configuration."""
        kept = Kept(thing({}, uid="u", resourceVersion="7", managedFields=[{}]))

        kept.apply("alice", thing({"power": "Running"}, resourceVersion="3", uid=None))

        assert thing({"power": "Running"}, uid="u", resourceVersion="7") == kept.live
        assert {"f:spec": {"f:power": {}}} == kept.owned("alice")

    def test_time(self) -> None:
        """An entry's time moves with its fields and their values, not with every apply."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}))

        kept.apply("alice", thing({"power": "Running"}), now=LATER)
        repeated = [entry["time"] for entry in kept.entries]
        kept.apply("alice", thing({"power": "Stopped"}), now=LATER)

        assert [START_TEXT] == repeated
        assert [LATER_TEXT] == [entry["time"] for entry in kept.entries]

    def test_null_is_no_opinion(self) -> None:
        """A null neither sets nor owns a field, and lets go of one that was applied before."""
        kept = Kept()
        kept.apply("alice", thing({"region": "iad"}))
        kept.apply("bob", thing({"region": None, "quota": None, "env": {"A": None}}))
        untouched = kept.spec()

        kept.apply("alice", thing({"region": None}))

        assert {"region": "iad", "env": {}} == untouched
        assert "region" not in kept.spec()

    def test_empty_map_is_owned(self) -> None:
        """Who applies an empty map owns it, but not what others put in."""
        kept = Kept()
        kept.apply("alice", thing({"env": {}}))

        kept.apply("bob", thing({"env": {"A": "1"}}))

        assert {"f:spec": {"f:env": {}}} == kept.owned("alice")
        assert {"f:spec": {"f:env": {"f:A": {}}}} == kept.owned("bob")


class TestMaps:
    def test_granular(self) -> None:
        """The keys of a map are owned one by one."""
        kept = Kept()
        kept.apply("alice", thing({"env": {"A": "1"}}, annotations={"x/a": "1"}))
        kept.apply("bob", thing({"env": {"B": "2"}}, annotations={"x/b": "2"}))

        kept.apply("alice", thing({"env": {"C": "3"}}))

        assert {"env": {"B": "2", "C": "3"}} == kept.spec()
        assert {
            "f:metadata": {"f:annotations": {"f:x/b": {}}},
            "f:spec": {"f:env": {"f:B": {}}},
        } == kept.owned("bob")

    def test_atomic(self) -> None:
        """An atomic map has one owner and is replaced as a whole."""
        kept = Kept()
        kept.apply("alice", thing({"limits": {"cpu": 1, "memory": 2}}))
        conflicts = kept.refused("bob", thing({"limits": {"cpu": 1}}))

        kept.apply("bob", thing({"limits": {"cpu": 1}}), force=True)

        assert [Conflict("alice", "Apply", ".spec.limits")] == conflicts
        assert {"limits": {"cpu": 1}} == kept.spec()
        assert {"f:spec": {"f:limits": {}}} == kept.owned("bob")

    def test_unknown_to_the_schema(self) -> None:
        """What the schema does not describe is merged by key, its lists as wholes."""
        kept = Kept()
        kept.apply("alice", thing({"more": {"a": [1], "b": {"c": True}}}))

        kept.apply("bob", thing({"more": {"b": {"d": 1}}}))

        assert {"more": {"a": [1], "b": {"c": True, "d": 1}}} == kept.spec()
        assert [Conflict("alice", "Apply", ".spec.more.b.c")] == kept.refused(
            "bob", thing({"more": {"b": {"c": 1}}})
        )


class TestLists:
    def test_atomic(self) -> None:
        """A list without a type is owned and replaced as a whole."""
        kept = Kept()
        kept.apply("alice", thing({"command": ["run", "it"]}))
        conflicts = kept.refused("bob", thing({"command": ["run"]}))

        kept.apply("alice", thing({"command": ["run"]}))

        assert [Conflict("alice", "Apply", ".spec.command")] == conflicts
        assert {"command": ["run"]} == kept.spec()
        assert {"f:spec": {"f:command": {}}} == kept.owned("alice")

    def test_set(self) -> None:
        """The items of a set are owned one by one, finalizers among them."""
        kept = Kept()
        kept.apply("alice", thing({"tags": ["a", "b"]}, finalizers=["x/alice"]))
        kept.apply("bob", thing({"tags": ["b", "c"]}, finalizers=["x/bob"]))

        kept.apply("alice", thing({"tags": []}))

        assert kept.live is not None
        assert {"tags": ["b", "c"]} == kept.spec()
        assert ["x/bob"] == kept.live["metadata"]["finalizers"]
        assert {
            "f:metadata": {"f:finalizers": {'v:"x/bob"': {}}},
            "f:spec": {"f:tags": {'v:"b"': {}, 'v:"c"': {}}},
        } == kept.owned("bob")

    def test_map(self) -> None:
        """The items of a map list are known by their keys, defaults included."""
        kept = Kept()
        kept.apply("alice", thing({"ports": [{"port": 80, "name": "web"}]}))

        kept.apply("bob", thing({"ports": [{"port": 80, "protocol": "TCP", "public": True}]}))
        conflicts = kept.refused("bob", thing({"ports": [{"port": 80, "name": "api"}]}))

        assert [{"port": 80, "protocol": "TCP", "name": "web", "public": True}] == kept.spec()[
            "ports"
        ]
        assert {
            "f:spec": {
                "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}}
            }
        } == kept.owned("alice")
        assert [Conflict("alice", "Apply", '.spec.ports[port=80,protocol="TCP"].name')] == conflicts

    def test_map_item_goes_as_a_whole(self) -> None:
        """An item that its only applier leaves out goes, with what nobody set in it."""
        kept = Kept()
        kept.apply("alice", thing({"ports": [{"port": 80}, {"port": 81}]}))
        assert kept.live is not None
        kept.live["spec"]["ports"][0]["public"] = False

        kept.apply("alice", thing({"ports": [{"port": 81}]}))

        assert {"ports": [{"port": 81}]} == kept.spec()

    def test_order(self) -> None:
        """Applied items come in the applier's order, others keep their place among them."""
        kept = Kept()
        kept.apply("alice", thing({"tags": ["a", "b", "c", "d"]}))

        kept.apply("bob", thing({"tags": ["d", "x", "b", "y"]}))

        assert ["a", "d", "c", "x", "b", "y"] == kept.spec()["tags"]

    def test_owner_references(self) -> None:
        """Owner references are known by uid and owned as wholes."""
        kept = Kept()
        kept.apply("alice", thing(ownerReferences=[{"uid": "u", "name": "n"}]))

        assert {"f:metadata": {"f:ownerReferences": {'k:{"uid":"u"}': {}}}} == kept.owned("alice")

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"ports": [{"name": "web"}, {}]}, 'spec.ports[protocol="TCP"]'),
            ({"ports": [3]}, "spec.ports"),
            ({"tags": [None]}, "spec.tags"),
            ({"tags": ["a", "a"]}, 'spec.tags[="a"]'),
        ],
    )
    def test_unkeyed_items(self, spec: Json, field: str) -> None:
        """Items that cannot be told apart are refused by the name of their list."""
        with pytest.raises(InvalidError) as caught:
            Kept().apply("alice", thing(spec))

        assert [field] == [cause.field for cause in caught.value.causes]
