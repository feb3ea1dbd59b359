"""A line of the script: a kubectl command, what it has to print, and what that guarantees."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from textwrap import dedent


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command and what has to come of it.

    Every text may hold `$name`: a variable of the run, above all `$ns`, the topic's own namespace.

    Attributes:
        command: The words after `kubectl`, quoted as in a shell.
        guarantee: What an operator may rely on if this holds.
        stdin: What is piped into it; common indentation is removed.
        environment: Variables beside the usual ones, such as an editor.
        code: What it must exit with; not looked at when it had to be stopped.
        exactly: All that it must print; None when `prints` says enough.
        prints: Regular expressions that its output must have, lines being lines.
        says: The same for its standard error.
        hides: Expressions that neither of the two may have.
        begins: An expression that has to appear in either before `meanwhile` is run;
            its named groups become variables.
        meanwhile: Commands that are run, and must succeed, while this one goes on.
        until: Expressions that have to appear; with the last of them the command is interrupted.
        only: The one kubectl version that this holds for; all when empty.
    """

    command: str
    guarantee: str
    stdin: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    exactly: str | None = None
    prints: Sequence[str] = ()
    says: Sequence[str] = ()
    hides: Sequence[str] = ()
    begins: str = ""
    meanwhile: Sequence[str] = ()
    until: Sequence[str] = ()
    only: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Steps that build on each other, in a namespace of their own.

    Attributes:
        name: One word for it.
        steps: The steps, in order.
        given: Manifests that are there before.
        files: Files of the folder that the commands run in.
        alone: Whether it writes what the controller would write, so that none may be at work.
        converges: Whether it needs a controller at work.
    """

    name: str
    steps: Sequence[Step]
    given: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    converges: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command; `code` is None when it had to be interrupted."""

    code: int | None
    stdout: str
    stderr: str


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with its variables put in."""
    return Template(text).safe_substitute(variables)


def problems(step: Step, outcome: Outcome, variables: Mapping[str, str]) -> list[str]:
    """Say everything in which an outcome is not what a step expects."""
    both = outcome.stdout + outcome.stderr
    found = []
    if outcome.code not in {None, step.code}:
        found.append(f"exit code {outcome.code}, not {step.code}")
    if step.exactly is not None:
        wanted = dedent(filled(step.exactly, variables)).strip()
        if wanted != outcome.stdout.strip():
            found.append(f"does not print exactly {wanted!r}")
    found += [
        f"does not {verb} /{expression}/"
        for verb, expressions, text in (
            ("print", step.prints, outcome.stdout),
            ("say", step.says, outcome.stderr),
            ("come to", step.until, both),
        )
        for expression in _filled_expressions(expressions, variables)
        if not has(expression, text)
    ]
    found += [
        f"must not print or say /{expression}/"
        for expression in _filled_expressions(step.hides, variables)
        if has(expression, both)
    ]
    return found


def has(expression: str, text: str) -> bool:
    """Whether a text has a match; `^` and `$` are those of lines."""
    return re.search(expression, text, re.MULTILINE) is not None


def _filled_expressions(expressions: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    return [filled(expression, variables) for expression in expressions]
