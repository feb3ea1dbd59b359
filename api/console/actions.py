"""What operators do to objects: one table, from which pages, confirmations and refusals come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.access import Attributes, Identity, allows, may_change
from api.console.objects import Found
from crds.annotations import FORCE_DELETE, PAUSED
from crds.errors import Cause, InvalidError
from crds.platform import Platform

Json = dict[str, Any]
MAX_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Ask:
    """What a confirmation page asks for, beside yes.

    Attributes:
        field: The form's field.
        label: What it says to people.
        needed: Whether it may be left empty.
    """

    field: str
    label: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do to an object.

    Attributes:
        name: Its part of the address.
        label: On the button.
        means: What it brings about, in a sentence or two.
        applies: Whether it makes sense for an object as it is.
        change: Makes the wished JSON of the stored one, given the moment and what was asked for;
            None for a deletion.
        done: What the page says afterwards.
        destructive: Whether the object's name has to be typed.
        ask: What has to be said beside yes.
    """

    name: str
    label: str
    means: str
    applies: Callable[[Found], bool]
    change: Callable[[Json, datetime, str], None] | None
    done: str
    destructive: bool = False
    ask: Ask | None = None

    @property
    def verb(self) -> str:
        """The verb of Kubernetes that it amounts to."""
        return "delete" if self.change is None else "update"

    def wished(self, found: Found, now: datetime, said: str) -> Json:
        """The object's JSON as it shall be.

        Raises:
            InvalidError: What has to be said was not, or is too long.
        """
        if self.ask is not None and self.ask.needed and not said:
            raise InvalidError([Cause(self.ask.field, "must be given")])
        if len(said) > MAX_REASON:
            raise InvalidError([Cause("reason", f"must have at most {MAX_REASON} characters")])
        wished = deepcopy(found.stored)
        if self.change is not None:
            self.change(wished, now, said)
        return wished

    def allowed(self, identity: Identity, found: Found, now: datetime) -> bool:
        """Whether somebody may do it."""
        asked = Attributes(self.verb, found.kind.PLURAL, "", found.namespace, found.name)
        if not allows(identity, asked):
            return False
        wished = deepcopy(found.stored)
        if self.change is not None:
            self.change(wished, now, "reason")
        return not may_change(identity, found.kind, found.stored, wished)


def _spec(**fields: Any) -> Callable[[Json, datetime, str], None]:
    def change(wished: Json, _: datetime, __: str) -> None:
        wished["spec"] = {**wished["spec"], **fields}

    return change


def _now(*fields: str, **others: Any) -> Callable[[Json, datetime, str], None]:
    def change(wished: Json, now: datetime, _: str) -> None:
        wished["spec"] = {**wished["spec"], **dict.fromkeys(fields, now.isoformat()), **others}

    return change


def _annotate(name: str, value: str | None) -> Callable[[Json, datetime, str], None]:
    """Set an annotation to a value, or to what was said; remove it for an empty value."""

    def change(wished: Json, _: datetime, said: str) -> None:
        kept = {n: v for n, v in wished["metadata"]["annotations"].items() if n != name}
        now = said if value is None else value
        wished["metadata"]["annotations"] = kept | ({name: now} if now else {})

    return change


def _incident(*, active: bool) -> Callable[[Json, datetime, str], None]:
    def change(wished: Json, _: datetime, said: str) -> None:
        message = {"message": said} if active and said else {}
        incident = {**wished["spec"].get("incident", {}), "active": active, **message}
        wished["spec"] = {**wished["spec"], "incident": incident}

    return change


def _owners(field: str) -> Callable[[Found], bool]:
    """Whether a field of the spec is there for people to set."""
    return lambda found: field in found.kind.OWNER_FIELDS and not found.deleting


def _power(power: str, *, sleeps: bool) -> Callable[[Found], bool]:
    """Whether this is wished for, of what sleeps when nobody uses it, or of what does not."""
    present = _owners("power")
    return lambda found: (
        present(found)
        and found.row["spec"].get("power") == power
        and ("wakeAt" in found.kind.OWNER_FIELDS) is sleeps
    )


def _state(state: str, *, is_: bool) -> Callable[[Found], bool]:
    return lambda found: (
        found.kind.KIND == "Account"
        and not found.deleting
        and (found.row["spec"].get("state", "Active") == state) is is_
    )


def _paused(found: Found) -> bool:
    return found.annotations.get(PAUSED) == "true"


def _is_incident(found: Found) -> bool:
    incident = found.row["spec"].get("incident")
    return isinstance(incident, Mapping) and incident.get("active") is True


REASON: Final = Ask("said", "Reason, for those who come after you")

ACTIONS: Final[Sequence[Action]] = (
    Action(
        "restart",
        "Restart",
        "What runs is restarted once. Whoever works in it is cut off; the disk stays.",
        _owners("restartAt"),
        _now("restartAt"),
        "A restart was asked for.",
    ),
    Action(
        "wake",
        "Wake",
        "It counts as used at this moment, so it is started if it sleeps.",
        _owners("wakeAt"),
        _now("wakeAt"),
        "It was asked to wake.",
    ),
    Action(
        "start",
        "Start",
        "It shall run, and is started.",
        _power("Stopped", sleeps=True),
        _now("wakeAt", power="Running"),
        "It shall run.",
    ),
    Action(
        "stop",
        "Stop",
        "It shall not run until somebody starts it. Whoever works in it is cut off; the disk "
        "stays.",
        _power("Running", sleeps=True),
        _spec(power="Stopped"),
        "It shall stop.",
    ),
    Action(
        "power-on",
        "Power on",
        "The droplet is switched on; its sessions come back when its gateway does.",
        _power("Stopped", sleeps=False),
        _spec(power="Running"),
        "It shall run.",
    ),
    Action(
        "power-off",
        "Power off",
        "The droplet is shut down, and switched off if it does not within a minute. Its programs "
        "end; the disk stays, and it costs the same.",
        _power("Running", sleeps=False),
        _spec(power="Stopped"),
        "It shall be off.",
    ),
    Action(
        "rotate-keys",
        "Rotate keys",
        "The database's passwords, the secret that signs tokens and both keys are replaced, and "
        "the services restart in order. Whoever is signed in is signed out, and whoever uses the "
        "old keys needs the new ones; the front end is built anew with them. The old ones do not "
        "come back.",
        _owners("rotateAt"),
        _now("rotateAt"),
        "New keys were asked for.",
        destructive=True,
    ),
    Action(
        "incident-on",
        "Raise the incident page",
        "Everybody's subdomain shows the incident page instead of what is broken.",
        lambda found: found.kind is Platform and not _is_incident(found),
        _incident(active=True),
        "The incident page was raised.",
        ask=Ask("said", "Message on the page (the present one if left empty)", needed=False),
    ),
    Action(
        "incident-off",
        "Take the incident page down",
        "Subdomains lead to their machines again.",
        lambda found: found.kind is Platform and _is_incident(found),
        _incident(active=False),
        "The incident page was taken down.",
    ),
    Action(
        "activate",
        "Activate",
        "The account may have machines that run again.",
        _state("Active", is_=False),
        _spec(state="Active"),
        "The account is active.",
    ),
    Action(
        "suspend",
        "Suspend",
        "The account's machines are stopped and its subdomains say so, until it is activated.",
        _state("Suspended", is_=False),
        _spec(state="Suspended"),
        "The account is suspended.",
    ),
    Action(
        "quarantine",
        "Quarantine",
        "The account's machines are stopped and kept stopped, its subdomains show the quarantine "
        "page, and every access token issued so far is refused.",
        _state("Quarantined", is_=False),
        _now("tokensValidAfter", state="Quarantined"),
        "The account is quarantined.",
        destructive=True,
    ),
    Action(
        "pause",
        "Pause",
        "The controllers leave it alone, whatever happens to it, until it is resumed.",
        lambda found: not _paused(found),
        _annotate(PAUSED, "true"),
        "The controllers leave it alone.",
    ),
    Action(
        "resume",
        "Resume",
        "The controllers take it up again.",
        _paused,
        _annotate(PAUSED, ""),
        "The controllers take it up again.",
    ),
    Action(
        "delete",
        "Delete",
        "Everything that it stands for outside is taken away, disks with what is on them "
        "included, and then the row. There is no way back.",
        lambda found: not found.deleting and found.kind is not Platform,
        None,
        "Its deletion was asked for.",
        destructive=True,
    ),
    Action(
        "force-delete",
        "Delete by force",
        "The row goes although what it stands for outside may still be there. The collector goes "
        "on looking for what is left, by the object's uid.",
        lambda found: found.deleting and FORCE_DELETE not in found.annotations,
        _annotate(FORCE_DELETE, None),
        "It will be let go.",
        destructive=True,
        ask=REASON,
    ),
)
BY_NAME: Final[Mapping[str, Action]] = {action.name: action for action in ACTIONS}


def offered(identity: Identity, found: Found, now: datetime) -> list[Action]:
    """What somebody can do to an object as it is."""
    return [
        action
        for action in ACTIONS
        if action.applies(found) and action.allowed(identity, found, now)
    ]
