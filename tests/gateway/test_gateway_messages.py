"""Messages are read as their schemas say, exactly as jsonschema reads them."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.gateway.protocol import SOURCE, MisunderstoodError, encode, length, protocol
from deploy.gateway.schema import InvalidError, read
from tests.gateway.gateway_hub import VALIDATORS

FROM_HUB = sorted(protocol().schemas)
EXAMPLES = {
    name: json.loads((SOURCE / f"{name}.json").read_text())["examples"] for name in FROM_HUB
}
KEYWORDS = set(
    "$ref type const enum properties required items maxItems minLength maxLength pattern minimum "
    "maximum $schema $id $defs title description examples".split()
)

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2000),
    st.sampled_from([2**53, 1.5, 3.0, "", "x y", "/", "shell", "2030-01-01T00:00:00Z", "A" * 300]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["code", "message"]), st.text(max_size=3)),
)


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """An example of a message, with some of it replaced, added or left out."""
    message = copy.deepcopy(draw(st.sampled_from(EXAMPLES[draw(st.sampled_from(FROM_HUB))])))
    for name in draw(st.lists(st.sampled_from([*message, "extra"]), max_size=3)):
        if draw(st.booleans()):
            message[name] = draw(junk)
        elif name != "type":
            message.pop(name, None)
    return message


@given(changed())
def test_a_message_is_read_as_jsonschema_reads_it(message: dict[str, Any]) -> None:
    """The same are refused; what is taken keeps what the schema knows, and nothing else.

    They differ in one thing: where a text ends, for which there is a test of its own.
    """
    name = message["type"] if isinstance(message["type"], str) else ""
    valid = name in FROM_HUB and VALIDATORS[name].is_valid(message)
    try:
        found = protocol().parse(json.dumps(message))
    except MisunderstoodError:
        assert not valid
        return

    assert valid
    known = protocol().schemas[name]["properties"]
    assert {each: message[each] for each in known if each in message} == found


def test_no_schema_uses_a_keyword_that_is_not_read() -> None:
    """A new one would assert nothing."""

    def keywords(schema: Any) -> set[str]:
        if not isinstance(schema, dict):
            return set()
        inside = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
        return set(schema) | set().union(*map(keywords, [*inside, schema.get("items")]))

    schemas = [json.loads(file.read_text()) for file in SOURCE.glob("*.json")]

    assert set() == set().union(*(keywords(each) for each in schemas if "$id" in each)) - KEYWORDS


def test_the_end_of_a_text_is_its_end() -> None:
    """A pattern's $ does not let a newline through, as JavaScript's does not."""
    with pytest.raises(InvalidError) as invalid:
        read({"type": "string", "pattern": "^a$"}, "a\n", {}, "name")

    assert "name: does not match ^a$" == str(invalid.value)


def test_lengths_are_those_of_the_hub() -> None:
    """In UTF-16 units; text travels as it is, and not escaped."""
    assert 5 == length("aé😀b")
    assert '{"a":"é😀"}' == encode({"a": "é😀"})
