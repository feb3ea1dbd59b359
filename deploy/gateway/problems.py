"""What is told to the other side when something is not done."""

import errno
from typing import Any, Final

MOST_MESSAGE: Final = 1000
"""Characters of a problem's message, from worker/protocol/common.json."""

_CODES: Final = {
    errno.ENOENT: ("not-found", "There is no such file or folder."),
    errno.ENOTDIR: ("not-a-folder", "Something on the way is not a folder."),
    errno.EEXIST: ("not-a-folder", "Something on the way is not a folder."),
    errno.EISDIR: ("is-a-folder", "It is a folder."),
    errno.EACCES: ("denied", "The gateway may not do that."),
    errno.EPERM: ("denied", "The gateway may not do that."),
    errno.EROFS: ("read-only", "The file system is read-only."),
    errno.ENOSPC: ("no-space", "The disk is full."),
    errno.EDQUOT: ("no-space", "The disk's quota is used up."),
    errno.ENAMETOOLONG: ("bad-path", "The path is too long."),
    errno.ELOOP: ("bad-path", "The path has too many links."),
}


class RefusedError(Exception):
    """Something is not done, and the other side is told why.

    Attributes:
        code: For programs, lowercase words joined by hyphens.
        message: For people; holds no secret.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:MOST_MESSAGE]

    def problem(self) -> dict[str, Any]:
        """Return it as it travels."""
        return {"code": self.code, "message": self.message}


def refusal(error: OSError) -> RefusedError:
    """Return what is told of an error of the operating system; its own text names paths."""
    code, message = _CODES.get(error.errno or 0, ("failed", "The operating system refused."))
    return RefusedError(code, message)
