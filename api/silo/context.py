"""What connects to a dev environment: given to whom it concerns, and noted before it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from api.access import Identity
from api.problems import Problem, unavailable
from api.silo.access import MASKED, MATRIX, MAY, Field, connection_of, not_allowed, readers, told
from api.silo.finding import check_active, get
from api.silo.models import AppContext, NamedSilo
from api.silo.views import overall_status, reasons
from crds.connection import ConnectionInfo, read_connection
from crds.devenv import Connection, DevEnv
from crds.errors import StoreError
from crds.meta import Key
from crds.secrets import Cipher, SecretError, Secrets
from crds.store import Actor, Store

UNAVAILABLE: Final = "connection-unavailable"
# Starting takes 30 to 60 seconds.
WAY_UP_SECONDS: Final = 30
ON_THE_WAY: Final = frozenset({"pending", "provisioning", "starting", "moving", "updating"})


@dataclass(slots=True)
class _Asked:
    """What is known of a request by the time it is answered or refused.

    Attributes:
        key: What was asked for.
        uid: Its uid, when there is one.
        given: The names of what is given.
    """

    key: Key
    uid: UUID | None = None
    given: tuple[Field, ...] = field(default=())


async def read(
    store: Store, cipher: Cipher, actor: Actor, identity: Identity, of: NamedSilo
) -> AppContext:
    """What connects to a dev environment, as far as it is the asker's to know.

    Whatever comes of it is in the audit first; if it cannot be noted, nothing is given.

    Raises:
        Problem: It is not the asker's to know, or there is nothing to know at present.
        InvalidError: An edit by plain SQL left the environment's spec broken.
    """
    asked = _Asked(Key(DevEnv.KIND, of.account or identity.account, of.silo_id))
    try:
        context = await _read(store, cipher, identity, of, asked)
    except (Problem, StoreError) as refusal:
        why = refusal.code if isinstance(refusal, Problem) else "broken-row"
        await store.audit.note_read(actor, asked.key, asked.uid, given=(), refused=why)
        raise
    await store.audit.note_read(actor, asked.key, asked.uid, given=asked.given)
    return context


async def _read(
    store: Store, cipher: Cipher, identity: Identity, of: NamedSilo, asked: _Asked
) -> AppContext:
    devenv = await _find(store, identity, of, asked)
    await check_active(store, devenv)
    connection = connection_of(devenv)
    if connection == "None" or connection not in MATRIX[identity.role or "metrics"]:
        raise _unavailable(identity, devenv, connection)
    values = told(identity.role, connection, await _info(store, cipher, devenv))
    asked.given = tuple(values)
    return AppContext(
        silo_id=devenv.silo_id,
        status=overall_status(devenv),
        connection=connection,
        started_at=devenv.status.last_started_at if connection != "Partial" else None,
        unsafe=connection == "Unsafe",
        reasons=[] if connection == "Full" else reasons(devenv),
        **{"db_connection_string" if n == MASKED else n: value for n, value in values.items()},
    )


async def _info(store: Store, cipher: Cipher, devenv: DevEnv) -> ConnectionInfo:
    """The record as it is at this moment.

    Raises:
        Problem: It was withdrawn since the row was read, or cannot be decrypted.
    """
    secrets = Secrets(store, cipher)
    try:
        info = await read_connection(secrets, devenv.metadata.namespace, devenv.metadata.name)
    except SecretError:
        detail = "What connects to it cannot be decrypted: the API needs the key it is under."
        raise unavailable("connection-unreadable", detail) from None
    if info is None:
        detail = "What connects to the silo was withdrawn at this moment: see GET /silo-status."
        raise Problem(409, UNAVAILABLE, detail, overall_status=overall_status(devenv))
    return info


async def _find(store: Store, identity: Identity, of: NamedSilo, asked: _Asked) -> DevEnv:
    """The environment; who is told nothing ever learns of none.

    Raises:
        Problem: It is not there, or the role is told nothing.
    """
    never = identity.role not in readers()
    try:
        devenv = await get(store, identity, of.silo_id, of.account)
    except Problem:
        if never:
            raise not_allowed(identity, readers()) from None
        raise
    asked.key, asked.uid = devenv.key, devenv.uid
    if never:
        raise not_allowed(identity, readers())
    return devenv


def _unavailable(identity: Identity, devenv: DevEnv, connection: Connection) -> Problem:
    """409: nothing for this role at present, and what to do."""
    status = overall_status(devenv)
    if connection == "Unsafe":
        do = "Some service does not answer, and only devops and security-auditor are told; wait."
    elif connection == "Partial" or status in ON_THE_WAY:
        do = "It is on its way: ask again when GET /silo-status says active."
    elif identity.role in MAY["start"]:
        do = "Start it with POST /start-silo, and ask again when GET /silo-status says active."
    else:
        do = "Have devops start it."
    return Problem(
        409,
        UNAVAILABLE,
        f"The silo is {status}: it gives {identity.role} nothing to connect to. {do}",
        overall_status=status,
        retry_after=None if connection == "None" else WAY_UP_SECONDS,
    )
