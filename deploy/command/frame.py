"""The frame around every command: one clear line for whatever goes wrong, and an exit code."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

import psycopg
import structlog
import typer
from psycopg import errors as pg
from psycopg_pool import PoolTimeout

from crds.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError, StoreError
from crds.secrets import SecretError
from crds.settings import SettingsError
from crds.store import MigrationError

T = TypeVar("T")


class Exit(IntEnum):
    """What the command ends with (docs/command.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PENDING = 3
    NOT_CONVERGED = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """The command cannot do it; the message is the one line that says why."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def usage(message: str) -> CommandError:
    """An error of whoever typed the command."""
    return CommandError(message, Exit.USAGE)


def note(text: str) -> None:
    """Say something that is not the answer: on stderr, so that stdout is the answer alone."""
    sys.stderr.write(f"{text}\n")


@contextmanager
def framed() -> Iterator[None]:
    """Turn whatever is expected to go wrong into one line on stderr and an exit code.

    Raises:
        typer.Exit: With the code.
    """
    before = structlog.get_config()
    # What the clients and reconcilers log is for those who run them, not for whoever asks.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    except KeyboardInterrupt:
        _leave("interrupted", Exit.INTERRUPTED)
    except CommandError as error:
        _leave(str(error), error.code)
    except (StoreError, MigrationError, SecretError) as error:
        _leave(in_words(error), Exit.FAILED)
    except SettingsError as error:
        _leave(str(error), Exit.USAGE)
    except (psycopg.Error, PoolTimeout) as error:
        _leave(database_words(error), Exit.FAILED)
    finally:
        structlog.configure(**before)


def run(body: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the asynchronous part of a command in its frame.

    Raises:
        typer.Exit: It did not do what it was asked for; why was said on stderr.
    """
    with framed():
        return asyncio.run(body())


def in_words(error: Exception) -> str:
    """What the store, the schema or the secrets refuse."""
    match error:
        case NotFoundError():
            return f"{error} does not exist"
        case AlreadyExistsError():
            return f"{error} exists already"
        case InvalidError():
            return f"it breaks its kind's rules: {error}"
        case ConflictError():
            return f"{error}; try again"
    return str(error)


def database_words(error: Exception) -> str:
    """What a database that does not do its part means for a person."""
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedFunction, pg.UndefinedColumn)):
        return "the database has not the schema of this version: run `invoker migrate`"
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, (psycopg.OperationalError, PoolTimeout)):
        return f"the database does not answer: {first}"
    return f"the database refuses: {first}"


def _leave(message: str, code: Exit) -> NoReturn:
    note(f"invoker: {message}")
    raise typer.Exit(code)
