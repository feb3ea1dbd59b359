"""Reads a service's variables: all that is wrong is said at once, and no value is repeated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_MAX_PORT: Final = 65535
_TRUE: Final = frozenset({"1", "true", "t", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "f", "no", "off"})


class SettingsError(ValueError):
    """The environment is not usable; the message lists everything that is wrong with it."""


class Variables:
    """The environment of one service; a variable that is empty counts as unset.

    Every reader returns something of its type even when the variable is wrong;
    `check` then says what was.

    Args:
        environ: The environment.
        service: What the message calls the reader.
    """

    def __init__(self, environ: Mapping[str, str], service: str) -> None:
        self._environ = {key: value for key, value in environ.items() if value}
        self._service = service
        self._problems: list[str] = []

    def check(self) -> None:
        """Say what was wrong with what has been read.

        Raises:
            SettingsError: Something was missing or wrong.
        """
        if self._problems:
            lines = (f"  {problem}" for problem in self._problems)
            raise SettingsError("\n".join([f"{self._service} cannot start:", *lines]))

    def text(self, *names: str, default: str | None = None, minimum: int = 1) -> str:
        """The first of these that is set, or the default; without one it has to be there.

        Args:
            names: The variable's names, the preferred one first.
            default: What it is when it is not set.
            minimum: How many characters it must have.
        """
        for name in names:
            if name in self._environ:
                if len(self._environ[name]) < minimum:
                    self.refuse(name, f"must have at least {minimum} characters")
                return self._environ[name]
        if default is None:
            self.refuse(" or ".join(names), "is required")
            return ""
        return default

    def number(self, name: str, default: int, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
        """A whole number between the two, both included."""
        text = self._environ.get(name)
        if text is None:
            return default
        if text.isascii() and text.isdecimal() and minimum <= int(text) <= maximum:
            return int(text)
        self.refuse(name, f"must be a whole number from {minimum} to {maximum}")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        text = self._environ.get(name, "").lower()
        if text and text not in _TRUE | _FALSE:
            self.refuse(name, "must be true or false")
        return text in _TRUE if text else default

    def port(self) -> int:
        """Where to listen: `PORT`."""
        if "PORT" not in self._environ:
            self.refuse("PORT", "is required")
        return self.number("PORT", 0, 1, _MAX_PORT)

    def optional_directory(self, name: str) -> Path | None:
        """An absolute path, or None when the variable is not set."""
        text = self._environ.get(name)
        if text is None:
            return None
        if not Path(text).is_absolute():
            self.refuse(name, "must be an absolute path")
        return Path(text)

    def directory(self, name: str) -> Path:
        """An absolute path that has to be told."""
        self.text(name)
        return self.optional_directory(name) or Path("/")

    def volume(self) -> Path:
        """The volume: `INVOKER_DATA_DIR`."""
        return self.directory("INVOKER_DATA_DIR")

    def url(self, *names: str, schemes: tuple[str, ...]) -> str:
        """An address with one of these schemes and a host."""
        text = self.text(*names)
        try:
            parts = urlsplit(text)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if text and not usable:
            self.refuse(" or ".join(names), f"must be a URL of {' or '.join(schemes)} with a host")
        return text

    def database(self, *names: str) -> str:
        """The address of a PostgreSQL database."""
        return self.url(*names, schemes=("postgres", "postgresql"))

    def refuse(self, name: str, rule: str) -> None:
        """Note that a variable breaks a rule."""
        self._problems.append(f"{name}: {rule}")
