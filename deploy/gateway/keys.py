"""The SSH keys that are let in: a marked block in authorized_keys, and nothing outside of it."""

import asyncio
import base64
import binascii
import hashlib
import logging
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from deploy.gateway import atomic
from deploy.gateway.paths import Paths
from deploy.gateway.problems import RefusedError, refusal
from deploy.gateway.state import KeyRecord, Store

BEGIN: Final = "# BEGIN invoker: the lines up to END are replaced"
END: Final = "# END invoker"
MOST: Final = 256
"""Keys at once, the most that `ssh.keys` can tell of."""

_LOOK_SECONDS: Final = 60.0  # the wall's clock can be set while we sleep
_FILE_MODE: Final = 0o600
_FOLDER_MODE: Final = 0o700
_PERMISSIONS: Final = 0o777
_ENDED: Final = re.compile(r"[^\n]*\n|[^\n]+")  # str.splitlines knows other ends, sshd does not

log = logging.getLogger(__name__)


class Keys:
    """Lets keys in, and no longer.

    Args:
        store: Where they are remembered.
        paths: Where files are.
        home: Whose authorized_keys it is.
        now: The clock, unix seconds.
    """

    def __init__(self, store: Store, paths: Paths, home: str, now: Callable[[], float]) -> None:
        self._store = store
        self._paths = paths
        self._path = f"{home.rstrip('/')}/.ssh/authorized_keys"
        self._now = now
        self._changed = asyncio.Event()

    def authorize(
        self, fingerprint: str, public_key: str, label: str, expires_at: str | None
    ) -> None:
        """Let a key in; a known one gets the new label and end.

        Raises:
            RefusedError: It is not a key, not that key, over already, or one too many.
        """
        check(public_key, fingerprint)
        keys = self._store.state.keys
        record = KeyRecord(public_key, label, expires_at)
        if self._is_over(record):
            self.revoke(fingerprint)
            raise RefusedError("expired", "The key's time is over already.")
        if fingerprint not in keys and len(keys) >= MOST:
            raise RefusedError("too-many-keys", f"{MOST} keys are let in already.")
        before = dict(keys)
        keys[fingerprint] = record
        self._apply(before)

    def revoke(self, fingerprint: str) -> None:
        """Let a key in no longer.

        Raises:
            RefusedError: The file cannot be written; the key is still let in.
        """
        before = dict(self._store.state.keys)
        self._store.state.keys.pop(fingerprint, None)
        self._apply(before)

    def known(self) -> list[dict[str, Any]]:
        """Return the keys that are let in."""
        return [
            {"fingerprint": fingerprint, "label": record.label, "expires_at": record.expires_at}
            for fingerprint, record in self._store.state.keys.items()
            if not self._is_over(record)
        ]

    async def run(self) -> None:
        """Take keys out when their time is over, for ever."""
        while True:
            self._changed.clear()
            wait = self._expire()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _expire(self) -> float:
        """Take out what is over; return how long to wait then, in seconds."""
        keys = self._store.state.keys
        before = dict(keys)
        for fingerprint in [each for each, record in keys.items() if self._is_over(record)]:
            del keys[fingerprint]
        try:
            self._apply(before)
        except RefusedError as error:
            log.warning("keys that are over are still in the file: %s", error.code)
            return _LOOK_SECONDS
        ends = [_unix(record.expires_at) for record in keys.values() if record.expires_at]
        soonest = min(ends, default=self._now() + _LOOK_SECONDS) - self._now()
        return min(_LOOK_SECONDS, max(0.0, soonest))

    def _is_over(self, record: KeyRecord) -> bool:
        return record.expires_at is not None and _unix(record.expires_at) <= self._now()

    def _apply(self, before: dict[str, KeyRecord]) -> None:
        """Make the file say what the state does; a state whose file is not written is taken back.

        Raises:
            RefusedError: It cannot be written.
        """
        keys = self._store.state.keys
        try:
            self._write([_line(record) for record in keys.values()])
            if keys != before:
                self._store.save()
                self._changed.set()
        except OSError as error:
            self._store.state.keys = before
            raise refusal(error) from error

    def _write(self, lines: list[str]) -> None:
        path = self._paths.find(self._path)
        raw = path.read_bytes() if path.exists() else b""
        text = raw.decode(errors="surrogateescape")
        wanted = replaced(text, lines)
        if wanted == text:
            return
        self._make_folder(path.parent)
        mode = path.stat().st_mode & _PERMISSIONS if path.exists() else _FILE_MODE
        atomic.write(path, wanted.encode(errors="surrogateescape"), mode=mode)

    @staticmethod
    def _make_folder(folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def check(public_key: str, fingerprint: str) -> None:
    """Check that a line is a public key, and the one it is said to be.

    Raises:
        RefusedError: It is not.
    """
    kind, _, rest = public_key.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
        (size,) = struct.unpack_from(">I", blob)
    except (binascii.Error, struct.error):
        raise RefusedError("bad-key", "It is not a public key.") from None
    if blob[4 : 4 + size] != kind.encode() or len(blob) <= 4 + size:
        raise RefusedError("bad-key", "It is not a public key of the kind that it names.")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    if fingerprint != f"SHA256:{digest}":
        raise RefusedError("wrong-fingerprint", "The fingerprint is another key's.")


def replaced(text: str, lines: list[str]) -> str:
    """Return an authorized_keys with other lines in the block that is ours.

    Args:
        text: The file as it is; everything outside the block stays.
        lines: What the block shall hold; without any there is no block.
    """
    kept, ours = [], False
    for line in _ENDED.findall(text):
        if line.rstrip("\r\n") == BEGIN:
            ours = True
        if not ours:
            kept.append(line)
        if line.rstrip("\r\n") == END:
            ours = False
    if not lines:
        return "".join(kept)
    if kept and not kept[-1].endswith("\n"):
        kept.append("\n")
    return "".join([*kept, *(f"{line}\n" for line in (BEGIN, *lines, END))])


def _line(record: KeyRecord) -> str:
    if record.expires_at is None:
        return record.public_key
    # In the machine's time zone, which every sshd that knows the option understands (sshd(8)).
    # So the key ends even when this program does not run.
    end = datetime.fromtimestamp(_unix(record.expires_at)).astimezone()
    return f'expiry-time="{end:%Y%m%d%H%M%S}" {record.public_key}'


def _unix(moment: str) -> float:
    # Python 3.11 reads up to microseconds.
    whole, _, fraction = moment.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return at + (float(f"0.{fraction}") if fraction else 0.0)
