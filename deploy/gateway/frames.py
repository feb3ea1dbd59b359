"""Terminal output as it travels: version (1 byte), session (16), sequence (8), output."""

import struct
from typing import Final
from uuid import UUID

VERSION: Final = 1
MOST_OUTPUT: Final = 65_536
"""Bytes of output in one frame."""

_HEADER: Final = struct.Struct(">B16sQ")


def frame(session: UUID, sequence: int, output: bytes) -> bytes:
    """Return a frame.

    Args:
        session: Whose output it is.
        sequence: The session's output before this frame, in bytes.
        output: 1 to `MOST_OUTPUT` bytes.
    """
    return _HEADER.pack(VERSION, session.bytes, sequence) + output
