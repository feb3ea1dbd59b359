from collections.abc import Mapping

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import SecretList
from controller.providers.fly.noun import Noun, part


class AppSecrets(Noun):
    """An app's secrets: variables that its machines see from their next boot and nobody reads."""

    async def set_secrets(self, app: str, values: Mapping[str, str | None], *, call: Call) -> None:
        """Set secrets; None removes one, and those that are not named stay.

        Safe to repeat: the same values are the same secrets.
        """
        ask = Ask(
            "secrets.update",
            "POST",
            f"/v1/apps/{part(app)}/secrets",
            app,
            app,
            json={"values": dict(values)},
            secrets=[value for value in values.values() if value],
        )
        await self.ask(ask, call)

    async def list_secrets(self, app: str, *, call: Call) -> list[str]:
        """Return the names of the app's secrets."""
        ask = Ask("secrets.list", "GET", f"/v1/apps/{part(app)}/secrets", app, app)
        return [secret.name for secret in (await self.fetch(SecretList, ask, call)).secrets]
