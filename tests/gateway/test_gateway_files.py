"""Files over the protocol, and where paths lead."""

import base64
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.gateway.files import MOST_ENTRIES, Files
from deploy.gateway.paths import Paths
from deploy.gateway.problems import RefusedError
from tests.gateway.conftest import Run
from tests.gateway.gateway_hub import Hub


@pytest.fixture
def files(root: Path) -> Files:
    """The files below a root."""
    return Files(Paths(root))


def _piece(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.anyio
async def test_a_file_s_life(hub: Hub, run: Run, root: Path) -> None:
    """It is written by pieces, shows with the last one, is listed, read and removed."""
    await run()
    path = "/srv/new/a.bin"
    first = await hub.ask("file.write", path=path, offset=0, data=_piece(b"hello "), last=False)
    early = (root / "srv/new/a.bin").exists()
    last = await hub.ask("file.write", path=path, offset=6, data=_piece(b"world"), last=True)
    content = await hub.ask("file.read", path=path, offset=4, length=4)
    listed = await hub.ask("file.list", path="/srv/new")
    removed = [await hub.ask("file.remove", path=path) for _ in range(2)]
    missing = await hub.ask("file.read", path=path, offset=0, length=1)

    assert [True, False, True] == [first["ok"], early, last["ok"]]
    assert (11, _piece(b"o wo")) == (content["size_bytes"], content["data"])
    assert [("a.bin", "file", 11)] == [
        (each["name"], each["kind"], each["size_bytes"]) for each in listed["entries"]
    ]
    assert listed["complete"]
    assert [True, True] == [each["ok"] for each in removed]
    assert "not-found" == missing["error"]["code"]


def test_a_piece_can_come_again(files: Files, root: Path) -> None:
    """The file is what the pieces say, and keeps its permissions; nothing stays beside it."""
    (root / "f").write_text("old and longer than the new")
    (root / "f").chmod(0o751)
    for offset, text in ((0, b"ab"), (2, b"cd"), (2, b"cd")):
        files.write("/f", offset, _piece(text), last=False)
    files.write("/f", 4, _piece(b"e"), last=True)

    assert b"abcde" == (root / "f").read_bytes()
    assert 0o751 == (root / "f").stat().st_mode & 0o777
    assert [root / "f"] == list(root.iterdir())


def test_pieces_are_nobody_elses_to_read(files: Files, root: Path) -> None:
    """What they replace may be a secret; a file that is new is as files are."""
    files.write("/f", 0, _piece(b"a"), last=False)
    [piece] = root.iterdir()
    before = piece.stat().st_mode & 0o777
    files.write("/f", 1, _piece(b"b"), last=True)

    assert (0o600, 0o644) == (before, (root / "f").stat().st_mode & 0o777)


def test_a_piece_whose_predecessor_is_missing_is_refused(files: Files, root: Path) -> None:
    """Nothing with a hole in it comes about."""
    codes = []
    for begin in (None, b"ab"):
        if begin is not None:
            files.write("/f", 0, _piece(begin), last=False)
        with pytest.raises(RefusedError) as refused:
            files.write("/f", 3, _piece(b"d"), last=True)
        codes.append(refused.value.code)

    assert ["no-pieces", "no-pieces"] == codes
    assert not (root / "f").exists()


def test_what_is_no_file_is_refused(files: Files, root: Path) -> None:
    """Folders, and pipes that could keep us for ever."""
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    refusals: dict[str, list[Callable[[], object]]] = {
        "is-a-folder": [
            lambda: files.read("/folder", 0, 1),
            lambda: files.write("/folder", 0, "", last=True),
            lambda: files.write("/new/", 0, "", last=True),
            lambda: files.remove("/folder"),
        ],
        "not-a-file": [lambda: files.read("/pipe", 0, 1)],
        "not-a-folder": [
            lambda: files.list("/pipe"),
            lambda: files.write("/pipe/x", 0, "", last=True),
        ],
        "bad-data": [lambda: files.write("/f", 0, "a", last=True)],
    }
    for code, acts in refusals.items():
        for act in acts:
            with pytest.raises(RefusedError) as refused:
                act()

            assert code == refused.value.code


def test_a_folder_is_told_by_name_and_not_endlessly(files: Files, root: Path) -> None:
    """The first thousand names, each kind as what it is."""
    (root / "b").mkdir()
    (root / "a").symlink_to("nowhere")
    os.mkfifo(root / "c")
    few = files.list("/")
    for number in range(MOST_ENTRIES):
        (root / f"x{number:04}").touch()
    many, complete = files.list("/")

    assert ["link", "folder", "other"] == [each["kind"] for each in few[0]]
    assert few[1]
    assert (MOST_ENTRIES, "x0996", False) == (len(many), many[-1]["name"], complete)


def test_removing_a_link_leaves_what_it_leads_to(files: Files, root: Path) -> None:
    """As rm does."""
    (root / "target").touch()
    (root / "link").symlink_to("/target")
    files.remove("/link")

    assert [root / "target"] == list(root.iterdir())


parts = st.sampled_from(["..", ".", "", "a", "b", "up", "abs", "rel", "loop", "deep", "x"])


@given(st.lists(parts, max_size=8).map(lambda parts: "/" + "/".join(parts)), st.booleans())
def test_no_path_leaves_the_root(
    tmp_path_factory: pytest.TempPathFactory,
    path: str,
    follow: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever its links and dots are; where it leads there is no link left on the way."""
    root = tmp_path_factory.mktemp("machine").resolve()
    (root / "a" / "b").mkdir(parents=True)
    (root / "up").symlink_to("../../../..")
    (root / "abs").symlink_to("/a")
    (root / "a" / "rel").symlink_to("../../b/../up/abs/b")
    (root / "loop").symlink_to("loop")
    (root / "a" / "b" / "deep").symlink_to(str(root.parent))
    found = root
    with suppress(RefusedError):
        found = Paths(root).find(path, follow=follow)

    assert found == root or root in found.parents
    assert not any(each.is_symlink() for each in found.parents)
    assert not follow or not found.is_symlink()


def test_a_loop_of_links_leads_nowhere(root: Path) -> None:
    """And is told so."""
    (root / "loop").symlink_to("loop")
    with pytest.raises(RefusedError) as refused:
        Paths(root).find("/loop/x")

    assert "bad-path" == refused.value.code


def test_without_a_root_paths_are_what_they_say(tmp_path: Path) -> None:
    """Links included."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    found = Paths().find(f"{tmp_path}/x/../link")

    assert (tmp_path / "target").resolve() == found
