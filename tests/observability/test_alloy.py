"""Alloy's configuration: whole, connected, and without a secret in it.

The program itself is not to be had from a package registry, so what is checked here is the grammar,
as far as the file uses it, and the references between components; not their own arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.observability.tools import HERE, PROMETHEUS, loaded

TEXT: Final = (HERE / "alloy" / "config.alloy").read_text(encoding="utf-8")
TOKEN: Final = re.compile(
    r'(?P<skip>[ \t]+|//[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)'
    r"|(?P<sign>[{}\[\](),=\n])"
)
# What each component exports and others refer to.
EXPORTS: Final = {
    "prometheus.relabel": "receiver",
    "prometheus.remote_write": "receiver",
    "local.file_match": "targets",
    "loki.process": "receiver",
    "loki.write": "receiver",
    "otelcol.processor.batch": "input",
    "otelcol.exporter.otlphttp": "input",
    "otelcol.auth.basic": "handler",
}
SECRET: Final = re.compile(r"password|credentials|token")


@dataclass
class Block:
    """A block: its name, its label, what it sets, and what is in it."""

    name: str
    label: str = ""
    settings: dict[str, list[str]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def all(self) -> Iterator[Block]:
        """This and everything in it."""
        yield self
        for block in self.blocks:
            yield from block.all()


def tokens(text: str) -> list[str]:
    """The text's tokens.

    Raises:
        AssertionError: A part of it is none.
    """
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        assert match, f"not understood: {text[at : at + 30]!r}"
        at = match.end()
        if match["skip"] is None:
            found.append(match.group())
    return found


def parsed(words: list[str], block: Block) -> Block:
    """Read a block's body up to its closing brace, or to the end."""
    while words:
        word = words.pop(0)
        if word == "\n":
            continue
        if word == "}":
            return block
        if words[0] == "=":
            words.pop(0)
            block.settings[word] = value(words)
            continue
        label = words.pop(0).strip('"') if words[0].startswith('"') else ""
        assert words.pop(0) == "{", f"{word} is neither a setting nor a block"
        block.blocks.append(parsed(words, Block(word, label)))
    assert block.name == "file", f"{block.name} is not closed"
    return block


def value(words: list[str]) -> list[str]:
    """Read a value up to the end of its line, brackets and all."""
    taken: list[str] = []
    closing: list[str] = []
    pairs = {"{": "}", "[": "]", "(": ")"}
    while closing or words[0] != "\n":
        word = words.pop(0)
        if word in pairs:
            closing.append(pairs[word])
        elif word in pairs.values():
            assert closing.pop() == word
        taken.append(word)
    return taken


FILE: Final = parsed(tokens(TEXT), Block("file"))


def test_components_are_connected() -> None:
    """Every reference is to what a component of the file exports, and every export is used."""
    exported = {
        f"{block.name}.{block.label}.{EXPORTS[block.name]}"
        for block in FILE.blocks
        if block.name in EXPORTS
    }
    referred = {
        word
        for block in FILE.all()
        for words in block.settings.values()
        for word in words
        if "." in word and not word.startswith(('"', "sys."))
    }

    assert referred == exported


def test_what_it_needs_is_told() -> None:
    """The variables that it reads are the ones that its head lists."""
    head = TEXT.partition("\nlogging")[0]
    listed = set(re.findall(r"\b(?:GRAFANA_CLOUD|INVOKER)_[A-Z_]+\b", head))
    read = set(re.findall(r'sys\.env\("([A-Z_]+)"\)', TEXT))

    assert read == listed


def test_no_secret_is_in_it() -> None:
    """Passwords and tokens come from the environment."""
    given = {
        name: words[:2]
        for block in FILE.all()
        for name, words in block.settings.items()
        if SECRET.search(name)
    }

    assert {"password", "credentials"} == given.keys()
    assert all(words == ["sys.env", "("] for words in given.values())


def test_it_scrapes_what_prometheus_would() -> None:
    """The jobs have the same names, so that rules and dashboards work on both."""
    jobs = {job["job_name"] for job in loaded(PROMETHEUS / "prometheus.yaml")["scrape_configs"]}
    scraped = {
        words[at + 2].strip('"')
        for block in FILE.blocks
        if block.name == "prometheus.scrape"
        for words in [block.settings["targets"]]
        for at, word in enumerate(words)
        if word == '"job"'
    }

    assert scraped == jobs


@pytest.mark.parametrize("broken", ['a "b" {', "a = [", "a = $", "a { b = ( ] }\n"])
def test_what_is_broken_is_noticed(broken: str) -> None:
    """The check is one: a file that is cut off or garbled does not pass."""
    with pytest.raises((AssertionError, IndexError)):
        parsed(tokens(broken), Block("file"))
