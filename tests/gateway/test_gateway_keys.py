"""SSH keys: in authorized_keys as long as they may be, and nothing else is touched."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.gateway.keys import BEGIN, END, MOST, Keys, replaced
from deploy.gateway.paths import Paths
from deploy.gateway.problems import RefusedError
from deploy.gateway.state import KeyRecord, Store
from tests.gateway.gateway_hub import public_key
from tests.support import virtual_time

NOW = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def _keys(root: Path, now: float = NOW) -> Keys:
    return Keys(Store(root / "state.json"), Paths(root), "/root", lambda: now)


def _file(root: Path) -> Path:
    return root / "root" / ".ssh" / "authorized_keys"


def test_a_key_is_let_in_and_no_longer(root: Path) -> None:
    """A new folder and file are the owner's only; without keys there is no block."""
    keys = _keys(root)
    line, fingerprint = public_key("one")
    keys.authorize(fingerprint, line, "laptop\nroot", None)
    let_in = _file(root).read_text()
    modes = [path.stat().st_mode & 0o777 for path in (_file(root), _file(root).parent)]
    known = keys.known()
    keys.revoke(fingerprint)

    assert f"{BEGIN}\n{line}\n{END}\n" == let_in
    assert [0o600, 0o700] == modes
    assert [{"fingerprint": fingerprint, "label": "laptop\nroot", "expires_at": None}] == known
    assert "" == _file(root).read_text()


def test_only_our_block_is_touched(root: Path) -> None:
    """Others' lines stay byte by byte, with the file's permissions, and a key is there once."""
    _file(root).parent.mkdir(parents=True)
    theirs = b"# mine \xff\r\nssh-rsa AAAA me"
    _file(root).write_bytes(theirs)
    _file(root).chmod(0o640)
    keys = _keys(root)
    line, fingerprint = public_key("one")
    keys.authorize(fingerprint, line, "a", None)
    keys.authorize(fingerprint, line, "b", None)
    written = _file(root).read_bytes()
    keys.revoke(fingerprint)

    assert theirs + f"\n{BEGIN}\n{line}\n{END}\n".encode() == written
    assert theirs + b"\n" == _file(root).read_bytes()
    assert 0o640 == _file(root).stat().st_mode & 0o777
    assert [_file(root)] == list(_file(root).parent.iterdir())


def test_a_key_ends_by_itself(root: Path) -> None:
    """At its time, with nobody there to say so; and sshd knows the end too."""
    store = Store(root / "state.json")
    line, fingerprint = public_key("one")
    seen = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        keys = Keys(store, Paths(root), "/root", lambda: NOW + loop.time() - begin)
        task = asyncio.create_task(keys.run())
        await asyncio.sleep(1)
        keys.authorize(fingerprint, line, "support", "2030-01-01T01:00:00.500Z")
        for seconds in (3598.9, 1.0):
            await asyncio.sleep(seconds)
            seen.append((_file(root).read_text(), len(keys.known())))
        keys.authorize(fingerprint, line, "short", "2030-01-01T01:00:05Z")
        await asyncio.sleep(10)
        seen.append((_file(root).read_text(), len(keys.known())))
        task.cancel()

    virtual_time.run(run, limit_seconds=7200)
    local = datetime.fromtimestamp(NOW + 3600).astimezone().strftime("%Y%m%d%H%M%S")

    assert f'{BEGIN}\nexpiry-time="{local}" {line}\n{END}\n' == seen[0][0]
    assert [1, 0, 0] == [count for _, count in seen]
    assert ["", ""] == [text for text, _ in seen[1:]]


@pytest.mark.parametrize(
    ("public_key_", "fingerprint", "code"),
    [
        ("ssh-ed25519 !!!", "SHA256:" + "A" * 43, "bad-key"),
        ("ssh-ed25519 AAAA", "SHA256:" + "A" * 43, "bad-key"),
        (
            public_key("one")[0].replace("ssh-ed25519", "ssh-rsa", 1),
            public_key("one")[1],
            "bad-key",
        ),
        (public_key("one")[0], public_key("two")[1], "wrong-fingerprint"),
    ],
)
def test_what_is_no_such_key_is_refused(
    root: Path, public_key_: str, fingerprint: str, code: str
) -> None:
    """Nothing gets into the file that sshd would not read, or that is another key."""
    with pytest.raises(RefusedError) as refused:
        _keys(root).authorize(fingerprint, public_key_, "x", None)

    assert code == refused.value.code
    assert not _file(root).exists()


def test_a_key_whose_time_is_over_is_not_let_in(root: Path) -> None:
    """A known one is taken out."""
    keys = _keys(root)
    line, fingerprint = public_key("one")
    keys.authorize(fingerprint, line, "x", None)
    with pytest.raises(RefusedError) as refused:
        keys.authorize(fingerprint, line, "x", "2029-12-31T23:59:59Z")

    assert "expired" == refused.value.code
    assert "" == _file(root).read_text()


def test_there_are_no_more_than_can_be_told_of(root: Path) -> None:
    """A known one may still change."""
    store = Store(root / "state.json")
    made = [public_key(str(number)) for number in range(MOST + 1)]
    store.state.keys = {fingerprint: KeyRecord(line, "x") for line, fingerprint in made[:MOST]}
    keys = Keys(store, Paths(root), "/root", lambda: NOW)
    keys.authorize(made[0][1], made[0][0], "new", None)
    with pytest.raises(RefusedError) as refused:
        keys.authorize(made[MOST][1], made[MOST][0], "x", None)

    assert "too-many-keys" == refused.value.code
    assert "new" == keys.known()[0]["label"]


def test_a_file_that_cannot_be_written_changes_nothing(root: Path) -> None:
    """The key counts as not let in, and the answer says why."""
    (root / "root").mkdir()
    (root / "root" / ".ssh").write_text("no folder")
    keys = _keys(root)
    line, fingerprint = public_key("one")
    with pytest.raises(RefusedError):
        keys.authorize(fingerprint, line, "x", None)

    assert [] == keys.known()


def test_keys_outlive_the_program(root: Path) -> None:
    """The next one knows them."""
    line, fingerprint = public_key("one")
    _keys(root).authorize(fingerprint, line, "x", None)
    os.sync()
    known = _keys(root).known()

    assert [fingerprint] == [each["fingerprint"] for each in known]


others = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85"))
).map(lambda lines: "".join(f"{line}\n" for line in lines if line not in {BEGIN, END}))


@given(others, others, st.lists(st.just("ssh-x AAAA"), max_size=3))
def test_a_block_is_replaced_and_everything_else_stays(
    before: str, after: str, lines: list[str]
) -> None:
    """Wherever it is; taking it out restores the file."""
    text = f"{before}{BEGIN}\nold\n{END}\n{after}"
    found = replaced(text, lines)

    assert before + after == replaced(found, [])
    assert found == replaced(found, lines)
    assert len(lines) == found.count("ssh-x AAAA\n") - (before + after).count("ssh-x AAAA\n")
