"""Another version of this program in its place."""

import asyncio
import hashlib
import http.client
import logging
import os
import shutil
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deploy.gateway import atomic
from deploy.gateway.problems import RefusedError, refusal
from deploy.gateway.state import Store

MOST_BYTES: Final = 64 * 1024 * 1024
DOWNLOAD_SECONDS: Final = 120.0
"""How long a download may take; whoever commands it can ask again with the same id."""

_READ_SECONDS: Final = 15.0
_TRY_SECONDS: Final = 20.0
_CHUNK: Final = 256 * 1024
_EXECUTABLE: Final = 0o755

log = logging.getLogger(__name__)


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError("a redirect away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, context: ssl.SSLContext | None = None) -> bytes:
    """Return what is at an https address; blocks.

    Raises:
        RefusedError: It cannot be had, or is too large.
    """
    handlers = [urllib.request.HTTPSHandler(context=context), _OnlyHttps()]
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=_READ_SECONDS) as answer:
            content = bytearray()
            while chunk := answer.read(_CHUNK):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise RefusedError("too-large", "The program is too large.")
            return bytes(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.warning("download failed: %s", type(error).__name__)
        raise RefusedError("not-downloaded", "The program cannot be downloaded.") from None


class Updates:
    """Replaces the program and asks for a restart.

    Args:
        store: Where the version before is remembered.
        program: The file that runs; None: it is not a released one.
        version: The version that runs.
        restart: Asks for the restart.
        fetch: Returns what is at an address; blocks, and raises RefusedError.
    """

    def __init__(
        self,
        store: Store,
        program: Path | None,
        version: str,
        restart: Callable[[], None],
        fetch: Callable[[str], bytes] = download,
    ) -> None:
        self._store = store
        self._program = program
        self._version = version
        self._restart = restart
        self._fetch = fetch
        self._turn = asyncio.Lock()

    async def update(self, version: str, url: str, sha256: str) -> None:
        """Put another version in this one's place and ask for a restart.

        What is there already is left as it is.

        Raises:
            RefusedError: Nothing was changed.
        """
        async with self._turn:
            if version == self._version:
                return
            if self._program is None:
                raise RefusedError("not-a-release", "The gateway does not run from a release.")
            try:
                async with asyncio.timeout(DOWNLOAD_SECONDS):
                    content = await asyncio.to_thread(self._fetch, url)
            except TimeoutError:
                raise RefusedError("timeout", "The download took too long.") from None
            if hashlib.sha256(content).hexdigest() != sha256:
                raise RefusedError("wrong-sha256", "What was downloaded has another SHA-256.")
            try:
                await self._replace(self._program, content, version)
            except OSError as error:
                raise refusal(error) from error
            self._restart()

    async def _replace(self, program: Path, content: bytes, version: str) -> None:
        new = program.with_name(f".{program.name}.new")
        await asyncio.to_thread(atomic.write, new, content, mode=_EXECUTABLE)
        try:
            await _try(new, version)
            # What to go back to by hand.
            await asyncio.to_thread(shutil.copy2, program, program.with_name(f"{program.name}.old"))
            self._store.state.updated_from = self._version
            self._store.save()
            new.replace(program)
            atomic.sync(program.parent)
        finally:
            new.unlink(missing_ok=True)


async def _try(program: Path, version: str) -> None:
    """See that a program starts here, and is the version that it should be.

    Raises:
        RefusedError: It does not, or is not.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(program), "--version"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.defpath},
    )
    try:
        async with asyncio.timeout(_TRY_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RefusedError("does-not-start", "The new program does not start.") from None
    if process.returncode != 0:
        raise RefusedError("does-not-start", "The new program does not start.")
    if out.decode(errors="replace").strip() != version:
        raise RefusedError("wrong-version", "The new program is another version.")
