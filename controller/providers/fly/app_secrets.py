from collections.abc import Mapping

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.noun import Noun, part


class AppSecrets(Noun):
    """An app's secrets: variables that its machines see from their next boot and nobody reads."""

    async def set_secrets(self, app: str, values: Mapping[str, str | None], *, call: Call) -> None:
        """Set secrets; None removes one, and those that are not named stay.

        Safe to repeat: the same values are the same secrets.
        """
        path = f"/v1/apps/{part(app)}/secrets"
        ask = Ask("secrets.update", "POST", path, app, app, json={"values": dict(values)})
        await self.ask(ask, call)
