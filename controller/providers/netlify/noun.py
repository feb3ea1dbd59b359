"""What the parts of the Netlify client share."""

from urllib.parse import quote

from controller.providers.http import ProviderClient


def part(text: str) -> str:
    """Return one segment of a path, encoded.

    Raises:
        ValueError: There is nothing in it: the path would name the things above.
    """
    if text.strip(".") == "":
        raise ValueError("an id: must not be empty")
    return quote(text, safe="")


class Noun(ProviderClient):
    """A group of methods over one kind of thing."""
