"""`python -m tests.kubectl`: the script as a readable report, command by command."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kubectl.binaries import VERSIONS, AbsentError, kubectl
from tests.kubectl.door import Door
from tests.kubectl.runner import Report, Runner
from tests.kubectl.script import SCRIPT
from tests.kubectl.steps import Topic
from tests.support.postgres import Databases, serving


def main(arguments: Sequence[str]) -> int:
    """Run the script and print what came of it.

    Args:
        arguments: The command line.

    Returns:
        The exit code: 1 when a command did not do what it guarantees, 2 without a kubectl.
    """
    options = _parser().parse_args(arguments)
    topics = [
        topic for topic in SCRIPT if options.topics in ([], None) or topic.name in options.topics
    ]
    try:
        programs = {version: kubectl(version) for version in options.kubectl or VERSIONS}
    except AbsentError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with _kubeconfig(options.kubeconfig) as kubeconfig:
        has_controller = options.kubeconfig is not None
        reports = [
            report
            for version, program in programs.items()
            for topic in topics
            if not (topic.alone if has_controller else topic.converges)
            for report in _run(program, version, kubeconfig, topic)
        ]
    failed = [report for report in reports if report.problems]
    for report in failed:
        sys.stdout.write(f"\n{report}\n")
    sys.stdout.write(f"\n{len(reports) - len(failed)} of {len(reports)} commands are ok\n")
    return 1 if failed else 0


def _run(program: Path, version: str, kubeconfig: Path, topic: Topic) -> list[Report]:
    sys.stdout.write(f"\nkubectl {version}: {topic.name}\n")
    with tempfile.TemporaryDirectory() as home:
        reports = asyncio.run(Runner(program, version, kubeconfig, Path(home)).run(topic))
    for report in reports:
        mark = "FAILED" if report.problems else "ok"
        sys.stdout.write(f"  {mark:6}  kubectl {_short(report.command)}\n")
        sys.stdout.write(f"          {report.step.guarantee}\n")
    sys.stdout.flush()
    return reports


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 110 else f"{line[:109]}…"


@contextmanager
def _kubeconfig(given: Path | None) -> Iterator[Path]:
    """The caller's, or that of an API of our own that is gone afterwards."""
    if given is not None:
        yield given
        return
    with (
        serving() as server,
        Databases(server).fresh() as url,
        tempfile.TemporaryDirectory(prefix="invoker-door-") as folder,
        Door(url, Path(folder)) as door,
    ):
        yield door.kubeconfig


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kubectl", description=__doc__)
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        help="an installation with a controller at work, such as .invoker/kubeconfig of make run; "
        "an API alone is started without it",
    )
    parser.add_argument("--kubectl", action="append", choices=VERSIONS, help="only this version")
    parser.add_argument("topics", nargs="*", help="only these topics")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
