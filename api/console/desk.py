"""What the console works with, made once when the API starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpx
from pydantic import SecretStr

from api.access import Authenticator
from api.console.controllers import Controllers
from api.console.limits import Attempts, Streams
from api.console.rendering import Templates
from api.console.surveys import Surveys
from api.console.visitors import Sessions
from api.kubernetes.feed import Feed
from crds.meta import Key
from crds.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from api.kubernetes.served import Batch

Follow = Callable[[int], AsyncIterator[Collection[Key]]]
"""The keys of what changed after a version, for ever."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the console's pages share.

    Attributes:
        store: The rows.
        sessions: Who is signed in.
        follow: Tells which objects change.
        surveys: The fleet at a glance.
        templates: The pages' forms.
        attempts: Failed sign-ins.
        streams: Open streams.
    """

    store: Store
    sessions: Sessions
    follow: Follow
    surveys: Surveys
    templates: Templates
    attempts: Attempts
    streams: Streams

    @classmethod
    def of(
        cls,
        store: Store,
        authenticator: Authenticator,
        feed: Feed,
        *,
        metrics_urls: Sequence[str] = (),
        metrics_token: SecretStr | None = None,
        metrics: httpx.AsyncBaseTransport | None = None,
    ) -> Desk:
        """Lay it out.

        Args:
            store: The rows.
            authenticator: Knows who a token is.
            feed: The one reader of the log.
            metrics_urls: Where the controllers' metrics are.
            metrics_token: What has to be shown there.
            metrics: How they are reached; sockets when left out.
        """
        return cls(
            store,
            Sessions(store, authenticator),
            _following(feed),
            Surveys(store, Controllers(metrics_urls, metrics_token, metrics)),
            Templates(),
            Attempts(),
            Streams(),
        )


def _following(feed: Feed) -> Follow:
    async def follow(since: int) -> AsyncIterator[Collection[Key]]:
        batches = cast("AsyncGenerator[Batch, None]", feed.follow(None, since))
        async with aclosing(batches):
            async for batch in batches:
                if batch.changes:
                    yield [_key(change.object) for change in batch.changes]

    return follow


def _key(data: dict[str, object]) -> Key:
    metadata = cast("dict[str, str]", data["metadata"])
    return Key(str(data["kind"]), metadata.get("namespace", ""), metadata["name"])
