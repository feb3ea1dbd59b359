"""Runs the script's steps with one kubectl against one API."""

import asyncio
import os
import re
import shlex
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Final, Self

from tests.kubectl.steps import Outcome, Step, Topic, filled, has, problems

PATIENCE_SECONDS: Final = 30.0
_PIPE: Final = asyncio.subprocess.PIPE


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one step.

    Attributes:
        topic: The topic's name.
        step: The step.
        command: Its command as it was run.
        outcome: What came of it.
        problems: In what it is not as expected; none when all is well.
    """

    topic: str
    step: Step
    command: str
    outcome: Outcome
    problems: list[str]

    def __str__(self) -> str:
        """The whole story of a step that failed."""
        lines = [
            f"[{self.topic}] kubectl {self.command}",
            f"  guarantees: {self.step.guarantee}",
            *(f"  {problem}" for problem in self.problems),
            "  stdout:",
            _indented(self.outcome.stdout),
            "  stderr:",
            _indented(self.outcome.stderr),
        ]
        return "\n".join(lines)


@dataclass(slots=True)
class Runner:
    """One kubectl, one API, one folder.

    Attributes:
        program: The kubectl.
        version: Its version as in `binaries.VERSIONS`.
        kubeconfig: Where the API is and who is asking.
        home: Its home directory, with its caches.
    """

    program: Path
    version: str
    kubeconfig: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    async def run(self, topic: Topic) -> list[Report]:
        """Run a topic in a namespace of its own; what it made is removed in the end."""
        folder = self.home / topic.name
        folder.mkdir(parents=True)
        mark = uuid.uuid4().hex[:6]
        namespace = f"kube-{topic.name}-{mark}"
        self.variables = {
            "ns": namespace,
            "sub": f"kube{mark}",
            "folder": str(folder),
            "version": self.version,
        }
        for name, text in topic.files.items():
            (folder / name).write_text(self._text(text))
        try:
            return [report async for report in self._reports(topic, folder)]
        finally:
            await self._clear(folder)

    async def _reports(self, topic: Topic, folder: Path) -> AsyncIterator[Report]:
        if topic.given:
            words = "(what this topic begins with)"
            given = Step(command="create -f -", stdin=topic.given, guarantee=words)
            yield (report := await self._step(topic, given, folder))
            if report.problems:
                return
        for step in topic.steps:
            if step.only in {"", self.version}:
                yield await self._step(topic, step, folder)

    async def _step(self, topic: Topic, step: Step, folder: Path) -> Report:
        outcome = await self._outcome(step, folder)
        found = problems(step, outcome, self.variables)
        return Report(topic.name, step, filled(step.command, self.variables), outcome, found)

    async def _outcome(self, step: Step, folder: Path) -> Outcome:
        async with _Running(await self._start(step, folder)) as running:
            await running.feed(self._text(step.stdin))
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    if step.begins:
                        found = await running.appears(filled(step.begins, self.variables))
                        self.variables |= found
                    for command in step.meanwhile:
                        await self._must(command, folder)
                    for expression in step.until:
                        await running.appears(filled(expression, self.variables))
                    return await (running.interrupted() if step.until else running.ended())
            except TimeoutError:
                late = await running.interrupted()
                return Outcome(-1, late.stdout, f"{late.stderr}\n(not over in time)")

    async def _must(self, command: str, folder: Path) -> None:
        outcome = await self._outcome(Step(command=command, guarantee=""), folder)
        assert outcome.code == 0, f"kubectl {command}: {outcome.stderr}"

    async def _clear(self, folder: Path) -> None:
        for command in (
            "delete ws,devenvs,machines,vpses,sess,ak --all -n $ns --wait=false",
            "delete account $ns --ignore-not-found --wait=false",
        ):
            await self._outcome(Step(command=command, guarantee=""), folder)

    async def _start(self, step: Step, folder: Path) -> asyncio.subprocess.Process:
        words = [filled(word, self.variables) for word in shlex.split(step.command)]
        return await asyncio.create_subprocess_exec(
            self.program,
            *words,
            cwd=folder,
            env=self._environment(step.environment),
            stdin=_PIPE,
            stdout=_PIPE,
            stderr=_PIPE,
            limit=2**24,
        )

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Nothing of the caller's but where programs are: no proxies, no clusters of theirs."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            **{name: filled(value, self.variables) for name, value in extra.items()},
        }

    def _text(self, text: str) -> str:
        return filled(dedent(text), self.variables)


class _Running:
    """A process and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._grown = asyncio.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self._stdout)),
            asyncio.create_task(self._read(process.stderr, self._stderr)),
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._readers)

    async def feed(self, text: str) -> None:
        """Give it its whole input."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(text.encode())
            await self._process.stdin.drain()
        self._process.stdin.close()

    async def appears(self, expression: str) -> dict[str, str]:
        """Wait until it has written what matches, or has ended; returns the named groups."""
        pattern = re.compile(expression, re.MULTILINE)
        async with self._grown:
            await self._grown.wait_for(lambda: self._is_over() or has(expression, self._written()))
        match = pattern.search(self._written())
        return match.groupdict() if match else {}

    async def ended(self) -> Outcome:
        """Wait until it ends by itself."""
        code = await self._process.wait()
        await asyncio.gather(*self._readers)
        return Outcome(code, self._stdout.decode(), self._stderr.decode())

    async def interrupted(self) -> Outcome:
        """End it as Ctrl-C does; a code of its own means that it had ended already."""
        early = self._process.returncode
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        ended = await self.ended()
        return Outcome(early, ended.stdout, ended.stderr)

    async def _read(self, stream: asyncio.StreamReader, into: bytearray) -> None:
        while chunk := await stream.read(2**16):
            into += chunk
            await self._tell()
        await self._tell()

    async def _tell(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    def _is_over(self) -> bool:
        return all(
            stream is not None and stream.at_eof()
            for stream in (self._process.stdout, self._process.stderr)
        )

    def _written(self) -> str:
        return (self._stdout + self._stderr).decode(errors="replace")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
