"""Entries that clients edited, that others wrote, that client-side apply left."""

import json
from typing import Any, Final

import pytest

from crds.managed_fields import Conflict, Json, accept_entries, apply, record_update
from crds.managed_fields.fields import display
from tests.support.owned_kind import LATER, SCHEMA, START, START_TEXT, Kept, thing

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ENTRY: Final[Json] = {
    "manager": "alice",
    "operation": "Apply",
    "apiVersion": "invoker.dev/v1",
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:power": {}}},
}


class TestClientSideApply:
    """kubectl takes its own objects over from client-side apply."""

    @staticmethod
    def client_applied(spec: Json) -> Kept:
        """An object as `kubectl apply` without server-side apply leaves it."""
        last = json.dumps(thing(spec)) + "\n"
        kept = Kept()
        kept.update("kubectl-client-side-apply", thing(spec, annotations={LAST_APPLIED: last}))
        return kept

    def test_takes_over(self) -> None:
        """The server-side apply of kubectl does not conflict with what it set client-side."""
        kept = self.client_applied({"power": "Running", "replicas": 1})

        kept.apply("kubectl", thing({"power": "Stopped", "replicas": 1}))

        assert {"power": "Stopped", "replicas": 1} == kept.spec()
        assert {"f:spec": {"f:power": {}, "f:replicas": {}}} == kept.owned("kubectl")
        assert {".": {}, "f:replicas": {}} == kept.owned("kubectl-client-side-apply")["f:spec"]

    def test_annotation_stays_true(self) -> None:
        """The annotation says what was applied last, so that one can go back."""
        kept = self.client_applied({"power": "Running"})
        config = thing({"power": "Stopped"}, annotations={"a": "b", LAST_APPLIED: "old"})

        made = kept.apply("kubectl", config, force=True)

        assert thing({"power": "Stopped"}, annotations={"a": "b"}) == json.loads(
            made["metadata"]["annotations"][LAST_APPLIED]
        )

    def test_annotation_is_kubectls(self) -> None:
        """What others apply is not what kubectl last applied."""
        kept = self.client_applied({"power": "Running"})

        made = kept.apply("gitops", thing({"region": "iad"}))

        assert thing({"power": "Running"}) == json.loads(
            made["metadata"]["annotations"][LAST_APPLIED]
        )

    def test_not_what_others_changed_since(self) -> None:
        """What somebody else has changed since is a conflict as ever."""
        kept = self.client_applied({"power": "Running", "replicas": 1})
        assert kept.live is not None
        kept.update("scaler", {**kept.live, "spec": {"power": "Running", "replicas": 5}})

        assert [Conflict("scaler", "Update", ".spec.replicas", "invoker.dev/v1")] == kept.refused(
            "kubectl", thing({"power": "Stopped", "replicas": 1})
        )

    @pytest.mark.parametrize("manager", ["gitops", "kubectl-edit"])
    def test_other_managers_conflict(self, manager: str) -> None:
        """Only the manager `kubectl` takes over."""
        kept = self.client_applied({"power": "Running"})

        assert [
            Conflict("kubectl-client-side-apply", "Update", ".spec.power", "invoker.dev/v1")
        ] == kept.refused(manager, thing({"power": "Stopped"}))

    @pytest.mark.parametrize(
        "annotation",
        [
            "",
            "{",
            "[]",
            "null",
            json.dumps({**thing({"power": "Running"}), "apiVersion": "other/v1"}),
        ],
    )
    def test_unreadable_annotation(self, annotation: str) -> None:
        """An annotation that says nothing of this object excuses no conflict."""
        kept = Kept()
        kept.update("old", thing({"power": "Running"}, annotations={LAST_APPLIED: annotation}))

        assert 1 == len(kept.refused("kubectl", thing({"power": "Stopped"})))

    def test_annotation_that_would_be_too_long_goes(self) -> None:
        """The annotation is dropped before it would make the object too large."""
        kept = self.client_applied({"power": "Running"})

        made = kept.apply("kubectl", thing({"power": "Running", "env": {"A": "x" * 300_000}}))

        assert {} == made["metadata"]["annotations"]

    def test_migration(self) -> None:
        """Once kubectl has renamed its old entry, leaving a field out removes it."""
        kept = self.client_applied({"power": "Running", "replicas": 1})
        renamed = {**kept.entries[0], "manager": "kubectl", "operation": "Apply"}
        kept.entries = accept_entries([renamed], kept.entries)
        assert kept.live is not None
        kept.update("kubectl", kept.live)

        kept.apply("kubectl", thing({"power": "Running"}))

        assert {"power": "Running"} == kept.spec()
        assert ["kubectl"] == [entry["manager"] for entry in kept.entries]


class TestEntries:
    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (None, [ENTRY]),
            ([], []),
            ([{}], []),
            ([{**ENTRY, "manager": "bob"}], [{**ENTRY, "manager": "bob"}]),
            ([{**ENTRY, "time": None}], [{**ENTRY, "time": None}]),
            ([{**ENTRY, "operation": "Steal"}], [ENTRY]),
            ([{**ENTRY, "fieldsType": "FieldsV2"}], [ENTRY]),
            ([{**ENTRY, "fieldsV1": []}], [ENTRY]),
            ([{**ENTRY, "manager": 3}], [ENTRY]),
            (["x"], [ENTRY]),
            ("x", [ENTRY]),
        ],
    )
    def test_accept(self, sent: Any, expected: list[Json]) -> None:
        """Clients may edit or reset the entries; none or broken ones leave the live ones."""
        assert expected == accept_entries(sent, [ENTRY])

    def test_unknown_fields(self) -> None:
        """An entry about fields that are gone from the schema and the object costs nothing."""
        fields: Json = {
            "f:spec": {
                "f:gone": {"f:deeper": {}},
                "f:power": {"f:was": {"f:a": {}}},
                'k:{"x":1}': {},
                "k:[1]": {},
                "k:{": {},
                "z:what": {},
                "i:0": {},
                "nothing": 3,
                "f:region": {},
            }
        }
        kept = Kept(thing({"power": "Running", "region": "iad"}), [{**ENTRY, "fieldsV1": fields}])

        kept.update("bob", thing({"power": "Running", "region": "iad", "replicas": 1}))

        assert {"f:spec": {"f:power": {}, "f:region": {}}} == kept.owned("alice")

    def test_fields_that_became_atomic(self) -> None:
        """Who owned parts of what is now a whole owns the whole."""
        fields: Json = {"f:spec": {"f:limits": {"f:cpu": {}}}}
        kept = Kept(thing({"limits": {"cpu": 1}}), [{**ENTRY, "fieldsV1": fields}])

        assert [Conflict("alice", "Apply", ".spec.limits")] == kept.refused(
            "bob", thing({"limits": {"cpu": 2}})
        )

    def test_keys_have_one_spelling(self) -> None:
        """Another writer's spaces and order in a key make no other item."""
        fields: Json = {"f:spec": {"f:ports": {'k:{"protocol": "TCP", "port": 80}': {}}}}
        kept = Kept(thing({"ports": [{"port": 80}]}), [{**ENTRY, "fieldsV1": fields}])

        kept.apply("alice", thing({}))

        assert {} == kept.spec()

    def test_escapes(self) -> None:
        """Values in paths are escaped as Kubernetes' encoder does, and shown to people plain."""
        kept = Kept()
        config = thing({"tags": ["<é&>"], "ports": [{"port": 80, "protocol": "<"}]})
        kept.apply("alice", config)
        kept.apply("alice", config, now=LATER)

        assert START_TEXT == kept.entries[0]["time"]
        assert {
            "f:tags": {'v:"\\u003cé\\u0026\\u003e"': {}},
            "f:ports": {
                'k:{"port":80,"protocol":"\\u003c"}': {".": {}, "f:port": {}, "f:protocol": {}}
            },
        } == kept.owned("alice")["f:spec"]
        assert '[="<é&>"]' == display(('v:"\\u003cé\\u0026\\u003e"',))

    def test_nameless_manager(self) -> None:
        """Who gives no name is unknown."""
        kept = Kept()
        kept.update("", thing({"power": "Running"}))

        assert ["unknown"] == [entry["manager"] for entry in kept.entries]

    def test_inputs_stay(self) -> None:
        """What is passed in is never changed, and the result shares nothing with it."""
        live = thing({"command": ["run"]}, {"phase": "Ready"}, managedFields=[ENTRY])
        config = thing({"limits": {"cpu": 1}}, {"phase": "Pending"}, labels={"a": "b"})
        given = json.dumps([live, config])

        for subresource in ("", "status"):
            merged, entries = apply(
                live,
                config,
                [ENTRY],
                manager="a",
                force=False,
                now=START,
                schema=SCHEMA,
                subresource=subresource,
            )
            merged["spec"]["command"].append("changed")
            record_update(live, config, entries, manager="a", now=START, schema=SCHEMA)

        merged["metadata"]["labels"] = {}
        assert given == json.dumps([live, config])

    def test_bad_shapes_are_left_to_validation(self) -> None:
        """A configuration of the wrong shape is merged as it is: validation will name it."""
        config = {"metadata": {"labels": "x", "annotations": [1]}, "spec": [1], "status": 3}

        merged, _ = apply(
            thing({"power": "Running"}),
            config,
            [],
            manager="kubectl",
            force=False,
            now=START,
            schema=SCHEMA,
        )

        assert [1] == merged["spec"]
