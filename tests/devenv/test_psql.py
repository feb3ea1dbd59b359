"""Tests of psql inside a machine."""

import pytest

from controller.engine import RetryLater
from tests.devenv.guests import Guest

pytestmark = pytest.mark.anyio


async def test_rows_come_back_as_they_are(shared_guest: Guest) -> None:
    """Commas, quotes, line ends, other alphabets, NULL and empty strings survive the way."""
    rows = await shared_guest.psql.query(
        """select E'a,"b"\\nc', 'ñ—日本', null, ''; select null; select 1"""
    )

    assert [['a,"b"\nc', "ñ—日本", "", ""], [""], ["1"]] == rows


async def test_a_refusal_says_why_in_one_line(shared_guest: Guest) -> None:
    """What PostgreSQL says goes into the status, without where in which file; notices do not."""
    with pytest.raises(RetryLater) as raised:
        await shared_guest.psql.query(
            "do $$ begin raise notice 'ERRONEOUS'; end $$; select * from no.table_x"
        )

    assert ("DatabaseRefused", 5.0) == (raised.value.reason, raised.value.after)
    assert 'ERROR:  relation "no.table_x" does not exist' == raised.value.message


async def test_nothing_secret_is_repeated(shared_guest: Guest) -> None:
    """Neither a literal of the SQL nor a line that a script reads comes back in an error."""
    with pytest.raises(RetryLater) as in_sql:
        await shared_guest.psql.query("select 'pass''word-of-somebody'::int")
    with pytest.raises(RetryLater) as in_shell:
        await shared_guest.psql.shell(
            'read -r word; echo "I know $word" >&2; exit 3', stdin="password-of-somebody\n"
        )

    assert 'ERROR:  invalid input syntax for type integer: "…"' == in_sql.value.message
    assert "I know …" == in_shell.value.message


async def test_what_failed_silently_is_told_by_its_code(shared_guest: Guest) -> None:
    """A script that says nothing is not taken for one that went well."""
    with pytest.raises(RetryLater) as raised:
        await shared_guest.psql.shell("exit 7")

    assert "exit code 7" == raised.value.message


async def test_a_database_that_is_down_is_asked_again(shared_guest: Guest) -> None:
    """Being unreachable is a reason to come again, not a bug."""
    with pytest.raises(RetryLater) as raised:
        await shared_guest.psql.query("select 1", database="nothing")

    assert 'FATAL:  database "nothing" does not exist' in raised.value.message


async def test_statements_stop_at_the_first_error(shared_guest: Guest) -> None:
    """Nothing behind a refused statement is done."""
    with pytest.raises(RetryLater):
        await shared_guest.psql.query("select 1/0; create table public.never (x int)")

    assert [(None,)] == shared_guest.sql("select to_regclass('public.never')")


async def test_commands_hold_no_sql(shared_guest: Guest) -> None:
    """Fly may log a command: what is run goes by its standard input."""
    await shared_guest.psql.query("select 'something-secret'")

    assert "something-secret" not in " ".join(shared_guest.commands[-1])


async def test_an_error_keeps_the_words_that_say_what_is_wrong(shared_guest: Guest) -> None:
    """A name that stands in the SQL as a literal is no secret."""
    with pytest.raises(RetryLater) as raised:
        await shared_guest.psql.query("select 'nobody_knows'::regrole")

    assert 'ERROR:  role "nobody_knows" does not exist' == raised.value.message
