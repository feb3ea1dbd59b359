"""Exit codes of programs in tmux, told by a shell that stays."""

import asyncio
import os
from pathlib import Path

import pytest

from deploy.gateway.sessions.exits import ExitPipe, wrapped

pytestmark = pytest.mark.anyio


async def _heard(pipe: Path) -> int:
    told: asyncio.Future[int] = asyncio.Future()
    ExitPipe(pipe, told.set_result)
    async with asyncio.timeout(10):
        return await told


async def test_the_code_waits_for_whoever_asks(tmp_path: Path) -> None:
    """Each who asks is told, also after one who went without listening; then the shell ends."""
    pipe = tmp_path / "exit"
    os.mkfifo(pipe)
    process = await asyncio.create_subprocess_exec(*wrapped(["sh", "-c", "exit 7"], pipe))
    hasty = os.open(pipe, os.O_RDONLY)
    os.close(hasty)
    codes = [await _heard(pipe)]
    pipe.unlink()
    status = await process.wait()

    assert [7] == codes
    assert status is not None
    assert status >= 0


async def test_a_writer_without_a_word_says_nothing(tmp_path: Path) -> None:
    """It is no exit code; the next one is heard."""
    pipe = tmp_path / "exit"
    os.mkfifo(pipe)
    told: list[int] = []
    heard = asyncio.Event()

    def tell(code: int) -> None:
        told.append(code)
        heard.set()

    listening = ExitPipe(pipe, tell)
    for text in (b"", b"3\n"):
        writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, text)
        os.close(writer)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        await heard.wait()
    listening.close()

    assert [3] == told


async def test_the_program_does_not_know_of_tmux(tmp_path: Path) -> None:
    """So that it can run its own."""
    command = wrapped(["env"], tmp_path / "none")
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"TMUX": "x", "TMUX_PANE": "y", "PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()

    assert b"TMUX" not in out
