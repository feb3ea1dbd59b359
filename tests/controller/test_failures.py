"""Every refusal of a provider means something."""

from __future__ import annotations

from typing import Any

import pytest

from controller import providers
from controller.engine import Blocked, RetryLater
from controller.failures import meaning_of
from controller.providers import ProviderError
from controller.providers.digitalocean import ActionFailed


def leaves(cls: type[ProviderError]) -> list[type[ProviderError]]:
    """The class and all below it."""
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in leaves(sub))]


@pytest.mark.parametrize("kind", leaves(ProviderError)[1:], ids=lambda kind: kind.__name__)
def test_every_refusal_has_a_meaning(kind: type[ProviderError]) -> None:
    """No refusal ends as a bug, and each keeps the provider's words and request id."""
    more: dict[str, Any] = {"action_id": 7} if kind is ActionFailed else {}
    error = meaning_of(
        kind(provider="fly", operation="machines.create", message="words", request_id="r1", **more)
    )

    assert isinstance(error, RetryLater | Blocked)
    assert (error.message, error.provider, error.request_id) == ("words", "fly", "r1")
    assert error.reason.isidentifier()


def test_a_rate_limit_is_waited_out() -> None:
    """The provider's own Retry-After decides."""
    error = meaning_of(
        providers.RateLimited(
            provider="fly", operation="x", message="rate limit exceeded", retry_after=7.0
        )
    )

    assert isinstance(error, RetryLater)
    assert error.after == 7.0


def test_a_bad_token_is_blocked() -> None:
    """Asking again with a token that was refused is no use."""
    error = meaning_of(providers.Unauthorized(provider="fly", operation="x", message="no"))

    assert isinstance(error, Blocked)
    assert error.reason == "ProviderRefusesToken"
