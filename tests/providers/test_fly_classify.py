import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.providers import errors
from controller.providers.errors import ProviderError
from controller.providers.exchange import Answer, Ask, Reason
from controller.providers.fly.classify import classify

TS = "2026-11-21T03:40:00Z"
TABLE: list[tuple[int, str, str | None, type[ProviderError], dict[str, Any]]] = [
    (
        409,
        (
            "already_exists: unique machine name violation, "
            'machine ID 3d8d9930b46189 already exists with name "lease held"'
        ),
        None,
        errors.AlreadyExists,
        {"existing_id": "3d8d9930b46189"},
    ),
    (
        412,
        "failed_precondition: unable to start machine from current state: 'created'",
        None,
        errors.NotReady,
        {},
    ),
    (
        412,
        "failed_precondition: machine still active, refusing to start",
        None,
        errors.NotReady,
        {},
    ),
    (
        412,
        "failed_precondition: machine getting replaced, refusing to start",
        None,
        errors.NotReady,
        {},
    ),
    (
        412,
        "failed_precondition: volume already claimed by machine 3d8d9930b46189",
        None,
        errors.VolumeClaimed,
        {"by": "3d8d9930b46189"},
    ),
    (
        412,
        "failed_precondition: volume already claimed by machine \x00\x00\x00\x00",
        None,
        errors.VolumeClaimed,
        {"by": None},
    ),
    (
        412,
        "failed_precondition: volume is currently bound to machine: 3d8d9930b46189",
        None,
        errors.VolumeBound,
        {"by": "3d8d9930b46189"},
    ),
    (
        412,
        f"failed_precondition: snapshot is already scheduled at {TS}",
        None,
        errors.NotReady,
        {},
    ),
    (
        409,
        f"machine ID 3d8d9930b46189 lease currently held by ops@example.com, expires at {TS}",
        None,
        errors.LeaseHeld,
        {"owner": "ops@example.com", "expires_at": datetime(2026, 11, 21, 3, 40, tzinfo=UTC)},
    ),
    (
        409,
        (
            "aborted: could not reserve resource for machine: "
            "insufficient memory available to fulfill request on the current host"
        ),
        None,
        errors.InsufficientCapacity,
        {},
    ),
    (
        422,
        "insufficient resources to create new machine with existing volume",
        "insufficient_capacity",
        errors.InsufficientCapacity,
        {},
    ),
    (412, "no host fits", "volume_placement_capacity", errors.InsufficientCapacity, {}),
    (422, "Name has already been taken", "name_taken", errors.NameTaken, {}),
    (422, "Validation failed: Name has already been taken", None, errors.NameTaken, {}),
    (409, "unable to destroy machine, not currently stopped", None, errors.NotStopped, {}),
    (401, "Authenticate: token validation error", None, errors.Unauthorized, {}),
    (403, "unauthorized", None, errors.Unauthorized, {}),
    (
        422,
        "Your organization has reached its machine limit. Please contact billing@fly.io",
        None,
        errors.QuotaReached,
        {},
    ),
    (429, "rate limit exceeded", None, errors.RateLimited, {"retry_after": None}),
    (408, "deadline_exceeded", None, errors.WaitTimeout, {}),
    (404, "machine not found", None, errors.NotFound, {}),
    (409, "current_version does not match", None, errors.VersionConflict, {}),
    (409, "aborted: machine version mismatch", None, errors.VersionConflict, {}),
    (409, "something nobody has seen", None, errors.UnclassifiedConflict, {}),
    (412, "failed_precondition: something new", None, errors.NotReady, {}),
    (400, "invalid config.guest.memory_mb", None, errors.InvalidRequest, {}),
    (422, "region yul not found", None, errors.InvalidRequest, {}),
    (500, "boom", None, errors.Unavailable, {"outcome_unknown": True}),
    (503, "unavailable", "unknown", errors.Unavailable, {"outcome_unknown": True}),
]
SPEC = next(
    (
        path
        for folder in Path(__file__).resolve().parents
        for path in (
            folder / "specs/fly/behaviour.json",
            folder / "shared/specs/fly/behaviour.json",
        )
        if path.exists()
    ),
    None,
)


def judge(
    status: int, text: str, code: str | None = None, operation: str = "machines.start"
) -> ProviderError:
    """Return what an answer of these words is taken for."""
    ask = Ask(operation, "POST", "/", "m")
    body = {"error": text} if code is None else {"error": text, "status": code}
    answer = Answer(status, {}, json.dumps(body).encode(), "01ID-fra")
    error = classify(Reason("fly", operation, "", status, "01ID-fra"), ask, answer, "sekret")
    assert error is not None
    return error


@pytest.mark.parametrize(("status", "text", "code", "kind", "details"), TABLE)
def test_known_words(
    status: int,
    text: str,
    code: str | None,
    kind: type[ProviderError],
    details: dict[str, Any],
) -> None:
    """Every error that was ever recorded leads to the one decision that fits it."""
    error = judge(status, text, code)

    assert kind is type(error)
    assert details == {name: getattr(error, name) for name in details}
    assert (status, "01ID-fra") == (error.status, error.request_id)


@pytest.mark.spec
@pytest.mark.skipif(SPEC is None, reason="the providers' specifications are not here")
def test_table_covers_the_recorded_texts() -> None:
    """No recorded text falls through to what an unknown one of its status means."""
    assert SPEC is not None
    recorded = json.loads(SPEC.read_text())["errors_observed"]
    classes = {
        item["error"]: type(judge(item["status"], item["error"], item.get("status_code")))
        for item in recorded
    }

    unknown = {errors.UnclassifiedConflict, errors.InvalidRequest, errors.Unavailable}
    assert {} == {text: kind for text, kind in classes.items() if kind in unknown}


def test_foreign_app_is_forbidden() -> None:
    """403 on a name that was looked up says: somebody else has it."""
    assert errors.Forbidden is type(judge(403, "", operation="apps.get"))


def test_success_is_no_error() -> None:
    """Every 2xx is a success, whichever the specification names."""
    ask = Ask("apps.delete", "DELETE", "/", "a")

    assert classify(Reason("fly", "apps.delete", ""), ask, Answer(202, {}, b"")) is None


def test_words_are_clean() -> None:
    """What is kept has no NUL, no token and an end: it goes into a row."""
    error = judge(400, "bad \x00 sekret " + "x" * 9000)

    assert error.message.startswith("bad … xxx")
    assert len(error.message) <= 500


def test_answers_that_are_not_json() -> None:
    """A proxy's HTML page is an answer too."""
    ask = Ask("machines.get", "GET", "/", "m")
    error = classify(Reason("fly", "machines.get", "", 502), ask, Answer(502, {}, b"<html>bad"))

    assert isinstance(error, errors.Unavailable)
    assert ("<html>bad", False) == (error.message, error.outcome_unknown)
