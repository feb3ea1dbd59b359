from collections.abc import Sequence
from typing import Any

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.netlify.models import (
    NewValue,
    NewVariable,
    SiteRef,
    Variable,
    VariableList,
    checked_key,
)
from controller.providers.netlify.noun import Noun, part


class Variables(Noun):
    """A site's environment variables; those of its team are out of reach.

    A build sees what was written before it was triggered, and a finished one never changes:
    after a write comes `trigger_build`.
    """

    async def list_variables(self, site: SiteRef, *, call: Call) -> list[Variable]:
        """Return the variables set on the site itself, without those of its team."""
        ask = self._on(site, "variables.list", "GET")
        answer = await self.ask(ask, call)
        return self.decode(
            ask, answer, lambda: VariableList.model_validate_json(answer.content)
        ).root

    async def get_variable(self, site: SiteRef, key: str, *, call: Call) -> Variable:
        """Return a variable.

        Raises:
            NotFound: The site has none of this name.
        """
        return await self.fetch(Variable, self._one(site, "variables.get", "GET", key), call)

    async def create_variables(
        self, site: SiteRef, variables: Sequence[NewVariable], *, call: Call
    ) -> list[Variable]:
        """Create variables; there is no idempotency key.

        Raises:
            AlreadyExists: The site has one of them already: read, then `set_value`.
        """
        if not variables:
            return []
        body = [variable.body() for variable in variables]
        ask = self._on(site, "variables.create", "POST", json=body)
        answer = await self.ask(ask, call)
        return self.decode(
            ask, answer, lambda: VariableList.model_validate_json(answer.content)
        ).root

    async def set_value(self, site: SiteRef, key: str, value: NewValue, *, call: Call) -> Variable:
        """Write one value of an existing variable; its values of other contexts stay.

        Blanking is writing an empty value.

        Raises:
            NotFound: The site has no such variable: `create_variables`.
        """
        ask = self._one(site, "variables.set", "PATCH", key, json=value.body())
        return await self.fetch(Variable, ask, call)

    async def replace_variable(
        self, site: SiteRef, variable: NewVariable, *, call: Call
    ) -> Variable:
        """Write a variable whole: every value that is not given is gone, of whatever context.

        Raises:
            NotFound: The site has no such variable.
        """
        ask = self._one(site, "variables.replace", "PUT", variable.key, json=variable.body())
        return await self.fetch(Variable, ask, call)

    async def delete_variable(self, site: SiteRef, key: str, *, call: Call) -> None:
        """Delete a variable with all its values.

        Raises:
            NotFound: It is gone.
        """
        await self.ask(self._one(site, "variables.delete", "DELETE", key), call)

    async def delete_value(self, site: SiteRef, key: str, value: str, *, call: Call) -> None:
        """Delete one value of a variable by the value's id.

        Raises:
            NotFound: It is gone.
        """
        tail = f"/value/{part(value)}"
        await self.ask(self._one(site, "values.delete", "DELETE", key, tail), call)

    def _one(
        self,
        site: SiteRef,
        operation: str,
        method: str,
        key: str,
        tail: str = "",
        json: Any = None,
    ) -> Ask:
        return self._on(site, operation, method, f"/{part(checked_key(key))}{tail}", json)

    def _on(
        self, site: SiteRef, operation: str, method: str, tail: str = "", json: Any = None
    ) -> Ask:
        """The only way to the variables' addresses, and it always names the site."""
        path = f"/accounts/{part(site.account)}/env{tail}"
        params = {"site_id": site.site}
        return Ask(operation, method, path, site.site, site.site, params=params, json=json)
