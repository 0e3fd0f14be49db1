"""Copies of objects: one per version, never removed while somebody reads, and no more than fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msflow_stream.files import Retention
from msflow_stream.types import UserError
from pipelines.storage import copies
from pipelines.storage.copies import Copies, local_copy
from pipelines.storage.objects import Objects
from pipelines.storage.sources import expanded, scenes_from
from pipelines.storage.urls import is_url, located

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def stored() -> Iterator[Any]:
    """Storage in memory, empty."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def test_an_object_is_copied_once_per_version(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.pipe("/b/today.mp4", b"first")
    kept, loaded, get = Copies(tmp_path), list[str](), Objects.get
    monkeypatch.setattr(Objects, "get", lambda self, *args: (loaded.append(self.url), get(self, *args)))
    for _ in range(2):
        with kept.copy("memory://b/today.mp4") as path:
            assert (path.name, path.read_bytes()) == ("today.mp4", b"first")
    assert len(loaded) == 1
    stored.pipe("/b/today.mp4", b"other")
    with kept.copy("memory://b/today.mp4") as path:
        assert path.read_bytes() == b"other"


def test_a_folder_is_copied_whole(stored: Any, tmp_path: Path) -> None:
    for name in ("a.mp4", "sub/b.mp4"):
        stored.pipe(f"/b/clips/{name}", name.encode())
    with Copies(tmp_path).copy("memory://b/clips") as path:
        assert path.name == "clips"
        assert (path / "sub" / "b.mp4").read_bytes() == b"sub/b.mp4"


def test_copies_that_nobody_reads_make_room_the_oldest_first(stored: Any, tmp_path: Path) -> None:
    for name in "abc":
        stored.pipe(f"/b/{name}", 10 * name.encode())
    kept = Copies(tmp_path, Retention(keep_bytes=20))
    with kept.copy("memory://b/a") as read:
        for name in "bc":
            with kept.copy(f"memory://b/{name}") as path:
                assert path.exists()
        assert read.read_bytes() == b"a" * 10
    assert sorted(path.name for path in tmp_path.glob("*/whole/*")) == ["a", "c"]


def test_a_copy_that_was_cut_short_is_made_again(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.pipe("/b/clip.mp4", b"whole")
    get, kept = Objects.get, Copies(tmp_path)

    def dies(self: Objects, names: list[str], path: Path) -> None:
        path.write_bytes(b"who")
        raise KeyboardInterrupt

    monkeypatch.setattr(Objects, "get", dies)
    with pytest.raises(KeyboardInterrupt), kept.copy("memory://b/clip.mp4"):
        pass
    monkeypatch.setattr(Objects, "get", get)
    with kept.copy("memory://b/clip.mp4") as path:
        assert path.read_bytes() == b"whole"


def test_a_name_that_leaves_its_folder_is_refused(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"/b/clips/../../evil": {"size": 1}}
    monkeypatch.setattr(type(stored), "find", lambda *args, **kwargs: found)
    with pytest.raises(UserError, match="leaves the folder"), Copies(tmp_path).copy("memory://b/clips"):
        pass


def test_what_is_no_url_of_storage_is_as_it_was(tmp_path: Path) -> None:
    assert located("clips/today.mp4") == Path("clips/today.mp4")
    assert located("file:///data/today.mp4") == Path("/data/today.mp4")
    assert not is_url("rtsp://camera/stream")
    with local_copy(tmp_path) as path:
        assert path == tmp_path


def test_credentials_in_a_url_are_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="do not belong in a URL") as error:
        located("s3://key:hush@bucket/clips")
    assert "hush" not in str(error.value)


def test_without_fsspec_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError, match="pip install 'msflow-stream"):
        Objects("s3://bucket/clips")


def test_urls_are_expanded_as_folders_are(stored: Any) -> None:
    for name in ("clips/b10.mp4", "clips/b2.mp4", "clips/notes.txt", "still/1.png", "still/2.png"):
        stored.pipe(f"/b/{name}", b"")
    clips = ["memory://b/clips/b2.mp4", "memory://b/clips/b10.mp4"]
    assert expanded(["memory://b/clips"]) == clips
    assert expanded(["memory://b/clips/*.mp4", clips[0]]) == clips
    assert expanded(["memory://b/still"]) == ["memory://b/still"]
    with pytest.raises(UserError, match="nothing is there"):
        expanded(["memory://b/none"])


def test_scenes_are_found_at_a_url_as_in_a_folder(stored: Any) -> None:
    for name in ("01_001.avi", "01_002.avi", "gate/monday.mp4"):
        stored.pipe(f"/b/normal/{name}", b"")
    assert scenes_from("memory://b/normal") == {
        "01": ["memory://b/normal/01_001.avi", "memory://b/normal/01_002.avi"],
        "gate": ["memory://b/normal/gate"],
    }


def test_copies_are_bounded() -> None:
    assert copies.BOUNDS.keep_bytes
    assert copies.BOUNDS.min_free_bytes
