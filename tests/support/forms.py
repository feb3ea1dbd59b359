"""Forms as a browser fills them in."""

from __future__ import annotations

from html.parser import HTMLParser


class Form(HTMLParser):
    """The fields of a page's form, and where it goes.

    Args:
        page: The page's HTML.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.action = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field, or the form's address."""
        told = dict(attrs)
        if tag == "input":
            self.fields[told["name"] or ""] = told.get("value") or ""
        if tag == "form":
            self.action = told["action"] or ""
