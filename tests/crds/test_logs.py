"""The log: one line an event, and never a secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from crds.logs import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the log's configuration as it was found."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    logging.disable(logging.NOTSET)
    yield
    root.handlers[:], root.level = handlers, level
    logging.disable(disabled)
    structlog.reset_defaults()


def fail_with(secret: str) -> None:
    """Fail while a variable holds a secret."""
    header = f"Bearer {secret}"
    raise ValueError(len(header))


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_tells_no_values(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What variables held when something failed stays out of the log."""
    configure(form)
    try:
        # The source line is in the traceback, so the secret must not be in the source.
        fail_with("2retnuh"[::-1])
    except ValueError:
        structlog.get_logger("t").exception("failed")

    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "hunter2" not in told


def test_json_is_one_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own events and the libraries' come in the same form; secrets are masked by their key."""
    configure("json")
    structlog.get_logger("ours").info("hello", token="hunter2")
    logging.getLogger("theirs").warning("there")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert ["hello", "there"] == [line["event"] for line in lines]
    assert lines[0]["token"] == "***"
