"""What creates, replaces and patches do to the ownership of fields, and status."""

from datetime import timedelta

from crds.managed_fields import Conflict, Json
from tests.support.owned_kind import LATER, LATER_TEXT, START, START_TEXT, Kept, thing

CONDITION = {"type": "Ready", "status": "True", "reason": "Ran"}


class TestUpdate:
    def test_create(self) -> None:
        """Who creates owns all that was set, and the structures around it."""
        kept = Kept()

        kept.update("bob", thing({"quota": {"workspaces": 1}}, labels={"a": "b"}, uid="u"))

        assert [
            {
                "manager": "bob",
                "operation": "Update",
                "apiVersion": "invoker.dev/v1",
                "time": START_TEXT,
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                    "f:spec": {".": {}, "f:quota": {".": {}, "f:workspaces": {}}},
                },
            }
        ] == kept.entries

    def test_takes_what_it_changes(self) -> None:
        """An update never conflicts: it takes what it changes, and removed fields are lost."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running", "region": "iad", "replicas": 1}))

        kept.update("bob", thing({"power": "Stopped", "replicas": 1}), now=LATER)

        assert {"f:spec": {"f:power": {}}} == kept.owned("bob")
        assert {"f:spec": {"f:replicas": {}}} == kept.owned("alice")
        assert [START_TEXT, LATER_TEXT] == [entry["time"] for entry in kept.entries]

    def test_no_change(self) -> None:
        """An update that changes no field changes no entry, not even one of a stranger's."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}))
        kept.entries.append({**kept.entries[0], "fieldsV1": {"f:spec": {"f:gone": {}}}})
        before = list(kept.entries)

        kept.update("bob", thing({"power": "Running", "region": None}, generation=9), now=LATER)

        assert before == kept.entries

    def test_own_fields(self) -> None:
        """An updater's entry gathers its changes; its time moves when it removes, too."""
        kept = Kept()
        kept.update("bob", thing({"power": "Running", "region": "iad"}))
        kept.update("bob", thing({"power": "Running"}), now=LATER)

        assert {"f:spec": {".": {}, "f:power": {}}} == kept.owned("bob")
        assert [LATER_TEXT] == [entry["time"] for entry in kept.entries]

    def test_entry_that_owns_nothing_goes(self) -> None:
        """A manager whose last field is taken has no entry."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}))

        kept.update("bob", thing({"power": "Stopped"}))

        assert ["bob"] == [entry["manager"] for entry in kept.entries]

    def test_value_becomes_structure(self) -> None:
        """A scalar that becomes a map is changed and its parts are new."""
        kept = Kept()
        kept.apply("alice", thing({"more": "x"}))

        kept.update("bob", thing({"more": {"a": 1}}))

        assert {"f:spec": {"f:more": {".": {}, "f:a": {}}}} == kept.owned("bob")
        assert kept.entry("alice") is None

    def test_true_is_not_one(self) -> None:
        """JSON's true and 1 are different values."""
        kept = Kept()
        kept.apply("alice", thing({"more": {"a": 1, "b": [1]}}))

        kept.update("bob", thing({"more": {"a": True, "b": [True]}}))

        assert {"f:spec": {"f:more": {"f:a": {}, "f:b": {}}}} == kept.owned("bob")

    def test_ancient_changes(self) -> None:
        """Ten updaters are told apart; the oldest of more are one."""
        kept = Kept()
        spec: Json = {}
        counts = []
        for number in range(13):
            spec = {**spec, f"more{number}": number}
            kept.update(f"m{number}", thing(spec), now=START + timedelta(minutes=number))
            counts.append(len(kept.entries))

        assert 10 == max(counts)
        assert ["ancient-changes", *(f"m{number}" for number in range(4, 13))] == [
            entry["manager"] for entry in kept.entries
        ]
        assert {
            "f:spec": {".": {}, **{f"f:more{number}": {} for number in range(4)}}
        } == kept.owned("ancient-changes")
        assert "2026-03-01T12:03:00Z" == kept.entries[0]["time"]

    def test_ancient_changes_gather(self) -> None:
        """Old updates join those that were merged before, wherever these stand in time."""
        names = ["m0", "m1", "ancient-changes", *(f"m{number}" for number in range(2, 11))]
        spec = {f"by-{name}": 1 for name in names}
        entries: list[Json] = [
            {
                "manager": name,
                "operation": "Update",
                "apiVersion": "invoker.dev/v1",
                "time": f"2026-03-01T12:{minute:02}:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {f"f:by-{name}": {}}},
            }
            for minute, name in enumerate(names)
        ]
        kept = Kept(thing(spec), entries)

        kept.update("m10", thing({**spec, "power": "Running"}), now=START + timedelta(hours=1))

        assert ["ancient-changes", *(f"m{number}" for number in range(2, 11))] == [
            entry["manager"] for entry in kept.entries
        ]
        assert {
            "f:spec": {f"f:by-{name}": {} for name in ("ancient-changes", "m0", "m1")}
        } == kept.owned("ancient-changes")
        assert "2026-03-01T12:02:00Z" == kept.entries[0]["time"]

    def test_appliers_are_not_capped(self) -> None:
        """Entries of appliers stay, however many: each is needed to take its fields back."""
        kept = Kept()
        for number in range(12):
            kept.apply(f"m{number}", thing({"env": {f"A{number}": "1"}}))

        kept.update("bob", thing({**kept.spec(), "power": "Running"}))

        assert 13 == len(kept.entries)


class TestStatus:
    def test_entries_are_separate(self) -> None:
        """A manager that writes object and status has an entry for each."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}))

        kept.apply("alice", thing(status={"phase": "Ready"}), subresource="status")

        assert {"f:spec": {"f:power": {}}} == kept.owned("alice")
        assert {"f:status": {"f:phase": {}}} == kept.owned("alice", "status")
        assert thing({"power": "Running"}, {"phase": "Ready"}) == kept.live

    def test_only_through_its_endpoint(self) -> None:
        """Neither does the object's endpoint set status, nor the status' anything else."""
        kept = Kept()
        kept.apply("alice", thing({"power": "Running"}, {"phase": "Forged"}))

        kept.apply("bob", thing({"power": "Stopped"}, {"phase": "Ready"}), subresource="status")

        assert thing({"power": "Running"}, {"phase": "Ready"}) == kept.live
        assert {"f:status": {"f:phase": {}}} == kept.owned("bob", "status")

    def test_created_status_is_nobodys(self) -> None:
        """The status that a new object begins with belongs to nobody, so anybody may apply it."""
        kept = Kept()
        kept.update("bob", thing({}, {"phase": "Pending"}))

        kept.apply("controller", thing(status={"phase": "Ready"}), subresource="status")

        assert {"f:spec": {}} == kept.owned("bob")
        assert {"f:status": {"f:phase": {}}} == kept.owned("controller", "status")

    def test_conditions(self) -> None:
        """Conditions of different writers stand beside each other; one's own cannot be taken."""
        kept = Kept(thing({}))
        kept.update("prober", thing({}, {"conditions": [CONDITION]}), subresource="status")
        other = {"type": "Routed", "status": "False"}
        kept.apply("router", thing(status={"conditions": [other]}), subresource="status")

        conflicts = kept.refused(
            "router",
            thing(status={"conditions": [{"type": "Ready", "status": "False"}]}),
            subresource="status",
        )

        assert kept.live is not None
        assert [CONDITION, other] == kept.live["status"]["conditions"]
        assert [
            Conflict(
                "prober",
                "Update",
                '.status.conditions[type="Ready"].status',
                "invoker.dev/v1",
                "status",
            )
        ] == conflicts
