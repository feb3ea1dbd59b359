"""Tokens of our own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from crds.access import AGENTS, ROLES, AccessTokens, Role
from crds.clock import Clock
from crds.errors import InvalidError, NotFoundError
from crds.store import Store

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Calendar(Clock):
    """A clock that is moved by hand."""

    moved = timedelta(0)

    def now(self) -> datetime:
        """The start, moved."""
        return START + Calendar.moved


@pytest.fixture
async def tokens(database_url: str) -> AsyncIterator[AccessTokens]:
    """Tokens in a fresh database on the first of January."""
    Calendar.moved = timedelta(0)
    async with Store.opened(database_url, clock=Calendar(START, 0.0)) as store:
        yield AccessTokens(store)


async def test_a_token_opens_until_it_expires(tokens: AccessTokens) -> None:
    """A token is what it was issued as, and after its lifetime it is nothing."""
    token, kept = await tokens.issue("ci", "support", lifetime=DAY, created_by="root")
    verified = await tokens.verify(token)
    Calendar.moved = DAY

    assert verified is not None
    assert (kept.id, "support", "") == (verified.id, verified.role, verified.account)
    assert await tokens.verify(token) is None


async def test_a_revoked_token_is_refused_with_its_sessions(tokens: AccessTokens) -> None:
    """Revoking a token ends what was opened with it, and says when there is none."""
    token, kept = await tokens.issue("ci", "platform-admin", lifetime=DAY, created_by="root")
    session, opened = await tokens.issue(
        "browser", "platform-admin", lifetime=DAY, created_by="ci", parent=kept.id
    )
    before = await tokens.verify(session)
    await tokens.revoke(kept.id)

    assert before is not None
    assert [None, None] == [await tokens.verify(token), await tokens.verify(session)]
    assert not await tokens.still_valid(opened.id)
    with pytest.raises(NotFoundError):
        await tokens.revoke("nobody")


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda t: t[:-1], lambda t: t.replace("inv_", "env_"), lambda _: "inv__"]
)
async def test_what_is_not_a_token_opens_nothing(tokens: AccessTokens, spoil) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a str method
    """Only the very token opens."""
    token, _ = await tokens.issue("ci", "metrics", lifetime=DAY, created_by="root")

    assert await tokens.verify(spoil(token)) is None


async def test_the_secret_part_is_nowhere_in_the_database(tokens: AccessTokens) -> None:
    """Who reads the database cannot come in with what is there."""
    token, _ = await tokens.issue("ci", "metrics", lifetime=DAY, created_by="root")
    secret = token.split("_", 2)[2]
    rows = await tokens._database.fetch("SELECT t::text AS text FROM access_tokens t")

    assert all(secret not in row["text"] for row in rows)


async def test_bad_wishes_are_told_all_at_once(tokens: AccessTokens) -> None:
    """Every broken rule is named with its field."""
    with pytest.raises(InvalidError) as refused:
        await tokens.issue("", "support", account="a", lifetime=366 * DAY, created_by="root")

    assert ["name", "account", "lifetime"] == [cause.field for cause in refused.value.causes]


async def test_old_tokens_are_forgotten_and_sessions_not_listed(tokens: AccessTokens) -> None:
    """The list shows what people made; what ended long ago goes."""
    _, kept = await tokens.issue("ci", "support", lifetime=DAY, created_by="root")
    await tokens.issue("tab", "support", lifetime=DAY, created_by="ci", parent=kept.id)
    listed = await tokens.list()
    Calendar.moved = 40 * DAY

    assert [kept.id] == [each.id for each in listed]
    assert await tokens.forget(30 * DAY) == 2
    assert await tokens.list() == []


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_is_of_an_account_or_of_the_installation(
    tokens: AccessTokens, role: Role
) -> None:
    """The owner's and the agents' roles are bound to one account, all others to none."""
    bound = role in AGENTS or role == "account-owner"
    made, _ = await tokens.issue(
        "x", role, lifetime=DAY, account="acme" if bound else "", created_by="root"
    )
    verified = await tokens.verify(made)
    with pytest.raises(InvalidError) as error:
        await tokens.issue(
            "x", role, lifetime=DAY, account="" if bound else "acme", created_by="root"
        )

    assert verified is not None
    assert (role, "acme" if bound else "") == (verified.role, verified.account)
    assert ["account"] == [cause.field for cause in error.value.causes]
