"""The pages that change something: a confirmation before every action, and the editor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.responses import Response

from api.console import editing
from api.console.actions import BY_NAME, Action
from api.console.addresses import PATH, local
from api.console.differences import Change, Dispute, changes, disputes, merged
from api.console.editing import Problem, YamlError
from api.console.objects import Found, named, write
from api.console.rendering import as_yaml
from api.console.visitors import THEME, set_cookie
from api.console.web import THEMES, Refusal, Visit, forbidden, gone_by, missing
from api.rows import ATTEMPTS
from crds.errors import ConflictError, InvalidError

THEME_LIFETIME: Final = timedelta(days=365)


class Draft(NamedTuple):
    """What an editor holds, each a text.

    Attributes:
        text: What was typed.
        base: What it began with.
        seen: The newest version of others that was shown beside it.
    """

    text: str
    base: str
    seen: str


async def theme(visit: Visit) -> Response:
    """Choose how the pages look."""
    response = gone_by(local(visit.form.get("next", PATH)))
    chosen = visit.form.get("theme", "")
    value = chosen if chosen in THEMES else THEMES[0]
    set_cookie(visit.request, response, THEME, value, THEME_LIFETIME)
    return response


async def confirm(visit: Visit) -> Response:
    """Ask whether it is meant."""
    action, found = await _asked(visit)
    return _confirmation(visit, action, found)


async def act(visit: Visit) -> Response:
    """Do it.

    Raises:
        Refusal: The visitor may not, or the object is no longer what the page showed.
    """
    action, found = await _asked(visit)
    if str(found.uid) != visit.form.get("uid"):
        raise Refusal(409, "This is another object of the same name", "Nothing was done.")
    if action.destructive and visit.form.get("confirm", "").strip() != found.title:
        problem = f"Type {found.title} to show that you mean it."
        return _confirmation(visit, action, found, problem)
    try:
        left = await _do(visit, action, found)
    except InvalidError as error:
        problem = "; ".join(f"{each.field}: {each.message}" for each in error.causes)
        return _confirmation(visit, action, found, problem)
    path = found.path() if left else f"{PATH}/{found.kind.PLURAL}"
    return gone_by(f"{path}?done={action.name}")


async def _asked(visit: Visit) -> tuple[Action, Found]:
    """The action and the object that the address names.

    Raises:
        Refusal: There is none, it makes no sense at present, or the visitor may not.
    """
    action = BY_NAME.get(visit.request.path_params["action"])
    if action is None:
        raise missing()
    found = await named(visit)
    if not action.allowed(visit.visitor.identity, found, visit.desk.store.clock.now()):
        raise forbidden(f"{action.label.lower()} on {found.kind.PLURAL}")
    if not action.applies(found):
        text = "It may have been done already, or the object has changed."
        raise Refusal(409, f"There is nothing to {action.label.lower()}", text)
    return action, found


async def _do(visit: Visit, action: Action, found: Found) -> bool:
    """Write the wish whatever the controllers write meanwhile; returns whether the row is left."""
    store, said = visit.desk.store, visit.form.get("said", "").strip()
    if action.change is None:
        row = await store.acting_as(visit.actor).delete(
            found.kind, found.name, found.namespace, uid=found.uid
        )
        return row is not None
    for _ in range(ATTEMPTS):
        try:
            await write(visit, found, action.wished(found, store.clock.now(), said))
        except ConflictError:
            _, found = await _asked(visit)
        else:
            return True
    raise ConflictError(found.name)


def _confirmation(visit: Visit, action: Action, found: Found, problem: str = "") -> Response:
    return visit.page(
        "confirm.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        action=action,
        found=found,
        problem=problem,
        said=visit.form.get("said", ""),
    )


async def edit(visit: Visit) -> Response:
    """The editor with the object as it is."""
    found = await _edited(visit)
    text = as_yaml(editing.editable(found))
    return _editor(visit, found, Draft(text, text, text))


async def save(visit: Visit) -> Response:
    """Check or save what was typed.

    Raises:
        Refusal: The visitor may not, or the object is gone; the page keeps what was typed.
    """
    found = await _edited(visit)
    draft = Draft(*(visit.form.get(name, "") for name in ("yaml", "base", "seen")))
    if str(found.uid) != visit.form.get("uid"):
        raise Refusal(409, "This is another object of the same name", "Nothing was saved.")
    try:
        return await _judged(visit, found, draft)
    except YamlError as error:
        return _editor(visit, found, draft, problems=[Problem("", str(error), 0)])
    except InvalidError as error:
        return _editor(visit, found, draft, problems=editing.located(draft.text, error.causes))


async def _judged(visit: Visit, found: Found, draft: Draft) -> Response:
    """What becomes of a text: shown beside the others' version, checked, or saved.

    Raises:
        YamlError: It is no YAML.
        InvalidError: It breaks rules.
    """
    mine, step = editing.parse(draft.text), visit.form.get("step", "")
    for _ in range(ATTEMPTS):
        theirs = editing.editable(found)
        if theirs != _json(draft.seen, theirs):
            return _contested(visit, found, draft, mine)
        if step == "merge":
            mine = merged(_json(draft.base, theirs), mine, theirs)
        wished = editing.wished(found, mine)
        if step == "check":
            return _editor(visit, found, draft, diff=changes(theirs, mine))
        try:
            await write(visit, found, wished)
        except ConflictError:
            # Mostly it is a controller's status, of which nothing is edited here.
            found = await _edited(visit)
        else:
            return gone_by(f"{found.path()}?done=edit")
    raise ConflictError(found.name)


def _contested(visit: Visit, found: Found, draft: Draft, mine: dict[str, Any]) -> Response:
    """The three versions; who has been shown the others' may save over it."""
    theirs = editing.editable(found)
    contested = disputes(_json(draft.base, theirs), mine, theirs)
    return _editor(visit, found, draft._replace(seen=as_yaml(theirs)), contested=contested)


def _json(text: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    """A version that the form brought along."""
    try:
        return editing.parse(text)
    except YamlError:
        return otherwise


async def _edited(visit: Visit) -> Found:
    found = await named(visit, "update")
    if visit.visitor.identity.role != "platform-admin":
        raise forbidden("edit an object's YAML")
    return found


def _editor(
    visit: Visit,
    found: Found,
    draft: Draft,
    *,
    problems: Sequence[Problem] = (),
    contested: Sequence[Dispute] = (),
    diff: Sequence[Change] | None = None,
) -> Response:
    status = HTTPStatus.CONFLICT if contested else HTTPStatus.OK
    return visit.page(
        "edit.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if problems else status,
        found=found,
        draft=draft,
        problems=problems,
        contested=contested,
        diff=diff,
    )
