"""Where the protocol's paths are on this machine."""

import stat
from pathlib import Path
from typing import Final

from deploy.gateway.problems import RefusedError

_MOST_LINKS: Final = 40  # as the kernel's own


class Paths:
    """Leads absolute paths of the protocol to files.

    With a root no path leaves it: `..` stops there, and links are followed as if it were `/`.

    Args:
        root: The folder that stands for `/`; None: `/` itself.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = Path("/") if root is None else root.resolve()

    def find(self, path: str, *, follow: bool = True) -> Path:
        """Return where a path leads; what is not there is where it would be.

        Args:
            path: An absolute path.
            follow: Whether the last part is followed when it is a link.

        Raises:
            RefusedError: There are too many links on the way, or the name is none.
        """
        todo = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        found: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del found[-1:]
                continue
            here = self._root.joinpath(*found, part)
            if not (todo or follow) or not _is_link(here):
                found.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise RefusedError("bad-path", "The path has too many links.")
            target = str(here.readlink())
            if target.startswith("/"):
                found = []
            todo += [each for each in reversed(target.split("/")) if each not in {"", "."}]
        return self._root.joinpath(*found)


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:
        return False
    except ValueError:
        raise RefusedError("bad-path", "The path is none.") from None
