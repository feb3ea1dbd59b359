"""What the parts of the DigitalOcean client share."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import AliasPath, Field, TypeAdapter

from controller.providers.call import Call
from controller.providers.digitalocean.connection import Connection, token_of
from controller.providers.digitalocean.models import Model
from controller.providers.errors import Unavailable
from controller.providers.exchange import Answer, Ask, Reason, clean
from controller.providers.http import ProviderClient

PAGE = 200
"""Entries; DigitalOcean gives no more at once (PROVIDERS.md, limits)."""

M = TypeVar("M", bound=Model)
_BODY = TypeAdapter(dict[str, Any])


class _Page(Model, Generic[M]):
    items: list[M]
    following: str | None = Field(None, validation_alias=AliasPath("links", "pages", "next"))
    total: int | None = Field(None, validation_alias=AliasPath("meta", "total"))


class Noun(ProviderClient):
    """A group of methods over one kind of thing."""

    def reason(
        self,
        ask: Ask,
        message: str,
        answer: Answer | None = None,
        *,
        sent: bool | None = True,
    ) -> Reason:
        """Describe a failure of this request, with its connection's token out of the words."""
        return super().reason(ask, clean(message, token_of(ask.headers)), answer, sent=sent)

    def _ask(
        self,
        of: Connection,
        operation: str,
        method: str,
        path: str,
        subject: object = "",
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> Ask:
        """Return a request with the connection's token.

        The connection's name is what the budget counts under, and the subject where there is
        no object yet.
        """
        return Ask(
            operation,
            method,
            f"/v2{path}",
            str(subject) or of.name,
            of.name,
            params=params,
            json=json,
            headers=of.headers(),
        )

    async def _one(self, model: type[M], key: str, ask: Ask, call: Call) -> M:
        """Send a request whose answer holds one thing under a key."""
        answer = await self.ask(ask, call)
        return self.decode(
            ask,
            answer,
            lambda: model.model_validate(_BODY.validate_json(answer.content).get(key)),
        )

    async def _all(self, model: type[M], key: str, ask: Ask, call: Call) -> list[M]:
        """Return a list's entries from its first page to its last.

        Raises:
            Unavailable: The list changed its length while it was read. Pages are counted, so
                that an entry may have slipped to a page that was already read: what is not
                in such a list is not proven to be absent.
        """
        asked = dict(ask.params or {})
        found: list[M] = []
        total: int | None = None
        number = 1
        while True:
            ask.params = asked | {"page": str(number), "per_page": str(PAGE)}
            page = await self._page(model, key, ask, call)
            found += page.items
            if number > 1 and page.total != total:
                reason = self.reason(ask, "the list changed while it was read")
                raise Unavailable(**reason.fields())
            if not page.following or not page.items:
                return found
            total, number = page.total, number + 1

    async def _page(self, model: type[M], key: str, ask: Ask, call: Call) -> _Page[M]:
        answer = await self.ask(ask, call)

        def parse() -> _Page[M]:
            body = _BODY.validate_json(answer.content)
            return _Page[model].model_validate(body | {"items": body.get(key)})  # type: ignore[valid-type]  # the parameter is a value here

        return self.decode(ask, answer, parse)
