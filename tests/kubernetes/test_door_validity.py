"""Who was let in is not let stay for longer than they would be let in again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.access import UnauthenticatedError
from crds.account import Account
from tests.kubernetes.doors import ACCOUNTS, WORKSPACES, Door, account

pytestmark = pytest.mark.anyio


async def _revoke(door: Door, name: str) -> None:
    found = await door.store.get(Account, name)
    found.spec.tokens_valid_after = door.store.clock.now() + timedelta(seconds=2)
    await door.store.update(found)


async def test_a_users_own_token_ends_what_it_opened(door: Door) -> None:
    """A watch of a Supabase user ends with the token, as one of our own tokens does."""
    user = await door.service.user()
    authenticator = door.service.api.authenticator
    identity = await authenticator.identify(user.token)
    expired = replace(identity, expires_at=door.store.clock.now())
    before = await authenticator.still_valid(identity)

    assert (True, False) == (before, await authenticator.still_valid(expired))


async def test_an_account_revokes_what_was_issued_to_it(door: Door) -> None:
    """A quarantine ends a user's watches, and the tokens that operators made for the account."""
    user = await door.service.user()
    authenticator = door.service.api.authenticator
    ours = await door.token("account-owner", user.id)
    identities = [await authenticator.identify(each) for each in (user.token, ours)]
    await _revoke(door, user.id)
    refused = await door.ask("GET", WORKSPACES.format(user.id), token=ours)

    assert [False, False] == [await authenticator.still_valid(each) for each in identities]
    assert 401 == refused.status_code
    with pytest.raises(UnauthenticatedError):
        await authenticator.identify(user.token)


async def test_an_account_that_sql_broke_lets_nobody_in(door: Door) -> None:
    """What cannot be read cannot say which tokens hold."""
    await door.ask("POST", ACCOUNTS, account("alice"))
    token = await door.token("account-owner", "alice")
    await door.store.database.execute("""UPDATE accounts SET spec = spec || '{"plan": "Gold"}'""")
    answer = await door.ask("GET", WORKSPACES.format("alice"), token=token)

    assert (401, "Unauthorized") == (answer.status_code, answer.json()["reason"])


async def test_a_token_longer_than_any_is_not_read(door: Door) -> None:
    """What is too long is refused before it is taken apart."""
    answer = await door.ask("GET", ACCOUNTS, token="a." + "b" * 100_000)

    assert 401 == answer.status_code
    assert "too long" in answer.json()["message"]
