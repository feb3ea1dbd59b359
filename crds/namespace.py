"""Namespace: a place for objects that is no account's, made by an operator.

It is a kind of Kubernetes' own core group, so it is not among ours (`crds.registry.KINDS`):
no reconciler knows it, and it is served as core Kubernetes' namespaces, together with those of the
accounts (`api.kubernetes.namespaces`).
"""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from crds.meta import Model, Resource, Scope, Status

# Holds a namespace whose deletion was asked for until nothing is left in it.
CONTENTS: Final = "invoker.dev/contents"


class NamespaceSpec(Model):
    """Nothing can be wished of a namespace but that it is there."""


class Namespace(Resource):
    """A namespace that is no account's."""

    KIND: ClassVar[str] = "Namespace"
    PLURAL: ClassVar[str] = "namespaces"
    SCOPE: ClassVar[Scope] = "Cluster"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ns",)

    spec: NamespaceSpec = Field(default_factory=NamespaceSpec)
    status: Status = Field(default_factory=Status)
