"""The attributes that text is drawn with (ECMA-48, 8.3.117)."""

from typing import Final

_EXTENDED: Final = {"38": "foreground", "48": "background", "58": "underline"}
_DEFAULTS: Final = {"39": "foreground", "49": "background", "59": "underline"}
_ARGUMENTS: Final = {"2": 4, "5": 2}  # of an extended colour: its kind, and red, green and blue


class Pen:
    """What a row of SGR sequences comes to, in the fewest parameters."""

    def __init__(self) -> None:
        self._set: dict[str, str] = {}

    def apply(self, parameters: str) -> None:
        """Take the parameters of one sequence."""
        left = parameters.split(";")
        while left:
            code = left.pop(0)
            kind = code.split(":")[0]
            if kind in {"", "0"}:
                self._set.clear()
            elif kind in _EXTENDED:
                if ":" not in code:
                    count = _ARGUMENTS.get(left[0] if left else "", 0)
                    code = ";".join([code, *left[:count]])
                    del left[:count]
                self._set[_EXTENDED[kind]] = code
            elif kind in _DEFAULTS:
                self._set.pop(_DEFAULTS[kind], None)
            else:
                self._set[_kind(kind)] = code

    def sequence(self) -> str:
        """Return one sequence that sets all of it on a pen that has nothing set."""
        return f"\x1b[{';'.join(self._set.values())}m" if self._set else ""


def _kind(code: str) -> str:
    if code.isdigit():
        number = int(code)
        if number in range(30, 38) or number in range(90, 98):
            return "foreground"
        if number in range(40, 48) or number in range(100, 108):
            return "background"
    return code
