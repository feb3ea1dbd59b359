"""Every kind there is. A new kind is a module of its own and one line here."""

from __future__ import annotations

from crds.account import Account
from crds.authorized_key import AuthorizedKey
from crds.cloud_connection import CloudConnection
from crds.devenv import DevEnv
from crds.machine import Machine
from crds.meta import Resource
from crds.platform import Platform
from crds.route import Route
from crds.session import Session
from crds.vps import Vps
from crds.workspace import Workspace

KINDS: dict[str, type[Resource]] = {
    kind.KIND: kind
    for kind in (
        Platform,
        Account,
        Workspace,
        DevEnv,
        CloudConnection,
        Vps,
        Session,
        AuthorizedKey,
        Machine,
        Route,
    )
}
