"""What the parts of the Fly client share."""

from urllib.parse import quote

from controller.providers.errors import Unavailable
from controller.providers.exchange import Ask
from controller.providers.http import ProviderClient

NONCE = "fly-machine-lease-nonce"


def part(text: str) -> str:
    """Return one segment of a path, encoded."""
    return quote(text, safe="")


class Noun(ProviderClient):
    """A group of methods over one kind of thing."""

    org: str

    def advance(self, ask: Ask, cursor: str, following: str) -> str:
        """Return the next cursor.

        Raises:
            Unavailable: The cursor stands still: the list would never end, and ending it here
                would make what was not listed look absent.
        """
        if cursor == following:
            raise Unavailable(**self.reason(ask, "the cursor of the list stands still").fields())
        return following
