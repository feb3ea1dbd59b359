"""The front end: told the gateway's address and the public key, and built anew when they change.

A build bakes variables in, so a change comes to nothing without one (PROVIDERS.md).
Nothing here can stop a dev environment: what goes wrong is a condition and a later try.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from controller.devenv.tools import DevEnvScope, Tools, Wait
from controller.engine import Blocked, RetryLater
from controller.failures import RECHECK_SECONDS, meaning_of
from controller.providers import AlreadyExists, Call, NotFound, ProviderError, Unavailable
from controller.providers.exchange import clean
from controller.providers.netlify import Context, Netlify, NewValue, NewVariable, SiteRef
from crds.account import Account
from crds.connection import Keys
from crds.devenv import DevEnvSpec, NetlifySpec, NetlifyStatus

CURRENT: Final = "NetlifyCurrent"
URL: Final = "VITE_SUPABASE_URL"
ANON_KEY: Final = "VITE_SUPABASE_ANON_KEY"
# The contexts that the site's own build sees; values for others, as for previews, are their
# owner's.
CONTEXTS: Final[tuple[Context, ...]] = ("all", "production")
# Nothing is asked any more after these.
FINAL: Final = frozenset({"Deployed", "BuildFailed", "BuildGone"})

RETRY_SECONDS: Final = 30.0
WATCH_SECONDS: Final = 30.0
# A list may be behind what was done: for so long an absent build may still show.
LISTING_GRACE: Final = timedelta(seconds=60)
# A build that takes longer is said to, and looked at less often; Netlify's limit is 15 minutes.
SLOW_BUILD: Final = timedelta(minutes=30)
LATEST_DEPLOYS: Final = 50
FINGERPRINT_SHOWN: Final = 8


async def tell_front_end(scope: DevEnvScope, tools: Tools, keys: Keys) -> Wait | None:
    """Have the site know the address and the public key, by one build a change.

    Returns:
        What is waited for; None when the front end is as it should be, or cannot be.

    Raises:
        ConflictError: The row moved before a build was asked for.
    """
    wished, status = scope.object.spec.netlify, scope.object.status
    if wished is None:
        status.netlify = None
        status.drop_condition(CURRENT)
        return None
    if tools.netlify is None:
        _be(scope, "NoToken", "this installation has no token of a Netlify team")
        return None
    if not await _is_theirs(scope, wished.site):
        _be(scope, "SiteNotTheirs", f"{wished.site} is none of the account's spec.netlifySites")
        return None
    values = values_of(scope.object.spec, keys, tools.public_url)
    try:
        return await _tell(scope, tools, tools.netlify, wished, values)
    except ProviderError as error:
        return _refused(scope, error)


async def _is_theirs(scope: DevEnvScope, site: str) -> bool:
    """Whether a site is the account's: others' front ends are not to be led to its database."""
    account = await scope.store.find(Account, scope.namespace)
    return account is not None and site in account.spec.netlify_sites


def values_of(spec: DevEnvSpec, keys: Keys, public_url: Callable[[str], str]) -> Mapping[str, str]:
    """What the front end is to know, by variable."""
    return {URL: public_url(spec.app_of("kong")), ANON_KEY: keys.anon_key}


def said(wished: NetlifySpec, values: Mapping[str, str]) -> bytes:
    """What is told to whom, for its fingerprint."""
    return json.dumps([wished.team, wished.site, values], sort_keys=True).encode()


async def _tell(
    scope: DevEnvScope,
    tools: Tools,
    netlify: Netlify,
    wished: NetlifySpec,
    values: Mapping[str, str],
) -> Wait | None:
    """Write what is to be known, ask for the build, and see what becomes of it."""
    told = scope.object.status.netlify or NetlifyStatus()
    fingerprint = tools.fingerprint(said(wished, values))
    condition = scope.object.status.condition(CURRENT)
    if told.fingerprint != fingerprint:
        if condition is None or condition.reason in FINAL:
            _be(scope, "Telling")
        site = SiteRef(wished.team, wished.site)
        for key, value in values.items():
            await _write(netlify, site, key, value, scope.call)
        told = scope.object.status.netlify = NetlifyStatus(fingerprint=fingerprint)
    if not told.deploy:
        return await _ask(scope, netlify, wished.site, told)
    if condition is not None and condition.reason in FINAL:
        return None
    return await _follow(scope, netlify, told, values)


async def _write(netlify: Netlify, site: SiteRef, key: str, value: str, call: Call) -> None:
    """Have a variable of the site be as wished; what is so already is not written."""
    try:
        held = await netlify.get_variable(site, key, call=call)
    except NotFound:
        await _create(netlify, site, key, value, call)
        return
    if held.is_secret:
        # It ends up in public files, where Netlify looks for secrets; the mark cannot be taken off.
        await netlify.delete_variable(site, key, call=call)
        await _create(netlify, site, key, value, call)
        return
    for context in CONTEXTS:
        found = held.value(context)
        if (found is not None or context == "all") and (found is None or found.value != value):
            await netlify.set_value(site, key, NewValue(value, context), call=call)


async def _create(netlify: Netlify, site: SiteRef, key: str, value: str, call: Call) -> None:
    try:
        await netlify.create_variables(site, [NewVariable(key, (NewValue(value),))], call=call)
    except AlreadyExists:
        # Somebody was faster.
        await netlify.set_value(site, key, NewValue(value), call=call)


async def _ask(scope: DevEnvScope, netlify: Netlify, site: str, told: NetlifyStatus) -> Wait | None:
    """Ask for the build, unless it was asked for before and only the answer is missing."""
    if told.build:
        deploys = await netlify.list_deploys(site, most=LATEST_DEPLOYS, call=scope.call)
        told.deploy = next((d.id for d in deploys if d.title == told.build), "")
        if not told.deploy and (left := _grace_left(scope, told)) > 0:
            return Wait(left, f"the build {told.build!r} to show, if it was begun")
    if not told.deploy:
        told.deploy = await _trigger(scope, netlify, site, told)
    _be(scope, "BuildTriggered", told.build)
    return Wait(WATCH_SECONDS, f"the build {told.build!r}")


async def _trigger(scope: DevEnvScope, netlify: Netlify, site: str, told: NetlifyStatus) -> str:
    """Intent before effect: the build's title is on record before there can be a build."""
    shown = told.fingerprint[:FINGERPRINT_SHOWN]
    told.build = told.build or f"invoker {scope.name} keys {shown} {scope.now:%Y%m%dT%H%M%SZ}"
    told.asked_at = scope.now
    await scope.save_if_unmoved()
    try:
        build = await netlify.trigger_build(site, title=told.build, call=scope.call)
    except ProviderError as error:
        if not (isinstance(error, Unavailable) and error.outcome_unknown):
            told.build = ""
        raise
    scope.event("FrontEndTold", f"asked Netlify for the build {told.build!r}")
    return build.deploy_id


async def _follow(
    scope: DevEnvScope, netlify: Netlify, told: NetlifyStatus, values: Mapping[str, str]
) -> Wait | None:
    """See what becomes of the build."""
    try:
        deploy = await netlify.get_deploy(told.deploy, call=scope.call)
    except NotFound:
        _be(scope, "BuildGone", f"Netlify does not know the build {told.build!r} any more")
        return None
    if deploy.ready:
        scope.condition(CURRENT, status=True, reason="Deployed", message=told.build)
        return None
    if deploy.failed:
        words = clean(deploy.error_message or deploy.state, *values.values())
        if _be(scope, "BuildFailed", f"{told.build}: {words}"):
            scope.event("FrontEndFailed", f"{told.build}: {words}", warning=True)
        return None
    slow = told.asked_at is not None and scope.now >= told.asked_at + SLOW_BUILD
    _be(scope, "BuildSlow" if slow else "BuildTriggered", told.build)
    return Wait(RECHECK_SECONDS if slow else WATCH_SECONDS, f"the build {told.build!r}")


def _grace_left(scope: DevEnvScope, told: NetlifyStatus) -> float:
    """Seconds for which a build that does not show may still have been begun."""
    if told.asked_at is None:
        return 0
    return (told.asked_at + LISTING_GRACE - scope.now).total_seconds()


def _refused(scope: DevEnvScope, error: ProviderError) -> Wait:
    """Show what Netlify says, and when it is asked again."""
    meaning = meaning_of(error)
    reason = "SiteNotFound" if isinstance(error, NotFound) else meaning.reason
    after: float | None = None
    if isinstance(meaning, RetryLater):
        after = RECHECK_SECONDS if isinstance(error, NotFound) else meaning.after
    elif isinstance(meaning, Blocked):
        after = meaning.recheck_after
    if _be(scope, reason, error.message):
        scope.event(reason, f"Netlify: {error.message}", warning=True)
    return Wait(RETRY_SECONDS if after is None else after, f"Netlify: {reason}")


def _be(scope: DevEnvScope, reason: str, message: str = "") -> bool:
    """The front end is not current; returns whether the reason is news."""
    before = scope.object.status.condition(CURRENT)
    scope.condition(CURRENT, status=False, reason=reason, message=message)
    return before is None or before.reason != reason
