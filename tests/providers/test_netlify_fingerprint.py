"""What stands for a secret that cannot be read back."""

import pytest

from controller.providers.netlify import Fingerprints, NewValue, NewVariable, SiteRef, Variable

SITE = SiteRef("team", "s-1")


def test_fingerprints_tell_values_places_and_names_apart() -> None:
    """The same value elsewhere, or under another key, looks like another one."""
    prints, others = Fingerprints(b"k" * 32), Fingerprints(b"o" * 32)
    kept = prints.of(SITE, "K", "v")
    different = {
        prints.of(SITE, "K", "w"),
        prints.of(SITE, "L", "v"),
        prints.of(SiteRef("team", "s-2"), "K", "v"),
        prints.of(SiteRef("teams", "-1"), "K", "v"),
        others.of(SITE, "K", "v"),
        "",
    }

    assert prints.matches(kept, SITE, "K", "v")
    assert len(different) == 6
    assert [] == [one for one in different if prints.matches(one, SITE, "K", "v")]


def test_a_short_key_makes_no_fingerprints() -> None:
    """A key that could be guessed would let its reader try out values."""
    with pytest.raises(ValueError, match=r"^key: at least 32 bytes"):
        Fingerprints(b"short")


def test_no_repr_shows_a_value() -> None:
    """What lands in a log by accident holds no value and no key."""
    value = NewValue("eyJsecret", "production")
    read = Variable.model_validate({"key": "K", "values": [{"value": "eyJsecret"}]})
    written = NewVariable("K", (value,))

    assert "eyJsecret" not in f"{read!r} {written!r} {value!r}"
    assert "kkkk" not in repr(Fingerprints(b"k" * 32))
