from collections.abc import Sequence

from controller.providers.call import Call
from controller.providers.exchange import Ask
from controller.providers.fly.models import Ran
from controller.providers.fly.noun import Noun, part

RUN_SECONDS = 30
SLACK_SECONDS = 10.0


class Guests(Noun):
    """What runs inside machines."""

    async def run(
        self,
        app: str,
        machine: str,
        command: Sequence[str],
        *,
        stdin: str = "",
        timeout: int = RUN_SECONDS,  # noqa: ASYNC109 - the provider's, part of its API
        call: Call,
    ) -> Ran:
        """Run a command in a started machine; whoever repeats it must be able to.

        Args:
            app: The app.
            machine: The machine's id.
            command: The program and its arguments, which Fly may log: secrets go by `stdin`.
            stdin: What the command reads.
            timeout: Seconds that it may take.
            call: On whose behalf.

        Returns:
            Its exit code and output, whatever the code is.

        Raises:
            NotReady: The machine is not started.
        """
        ask = Ask(
            "machines.exec",
            "POST",
            f"/v1/apps/{part(app)}/machines/{part(machine)}/exec",
            machine,
            app,
            json={"command": list(command), "stdin": stdin, "timeout": timeout},
            deadline=timeout + SLACK_SECONDS,
        )
        return await self.fetch(Ran, ask, call)
