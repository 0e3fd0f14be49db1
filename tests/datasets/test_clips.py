"""Clips and scenes, and the folders that they are read from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.datasets.clips import (
    Clip,
    VideoScene,
    clip_sources,
    frame_files,
    need,
    select,
)
from msflow_stream.types import UserError
from msflow_stream.video.reading import image_folder as images

MIXED = ["1.jpg", "10.JPG", "a.png", ".hidden.jpg", "notes.txt", "b.tiff", "frame.jpg.part", "2.webp"]


def test_a_folder_has_the_frames_that_it_has_when_it_is_opened(tmp_path: Path) -> None:
    for name in MIXED:
        (tmp_path / name).touch()
    assert set(frame_files(tmp_path)) == set(images.image_files(tmp_path))
    assert len(frame_files(tmp_path)) == 5


@settings(max_examples=30, deadline=None)
@given(prefix=st.sampled_from(["", "frame", "a-"]), numbers=st.lists(st.text("0123456789", min_size=1, max_size=4)))
def test_numbered_frames_are_in_the_order_in_which_they_are_opened(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, numbers: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("frames")
    for number in numbers:
        (folder / f"{prefix}{number}.jpg").touch()
    assert frame_files(folder) == images.image_files(folder)


def test_a_clip_of_sampled_frames_knows_where_they_were() -> None:
    assert Clip("01_0001", Path("01_0001"), every=1, step=5).original_index(3) == 15
    assert Clip("01_0001", Path("01_0001"), every=5).original_index(15) == 15


def test_scenes_are_selected_in_the_order_of_the_data_set() -> None:
    scenes = [VideoScene(name, (), ()) for name in ("01", "02", "03")]
    assert [scene.name for scene in select(scenes, None)] == ["01", "02", "03"]
    assert [scene.name for scene in select(scenes, ["03", "01"])] == ["01", "03"]
    with pytest.raises(UserError, match="no scene 1: there are 01, 02, 03"):
        select(scenes, ["01", "1"])


def test_videos_and_folders_are_clips_and_other_files_are_not(tmp_path: Path) -> None:
    for name in ("01_002.avi", "readme.txt", ".hidden.avi"):
        (tmp_path / name).touch()
    (tmp_path / "01_001").mkdir()
    assert clip_sources(tmp_path) == {"01_001": tmp_path / "01_001", "01_002": tmp_path / "01_002.avi"}


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "01_001.avi").touch()
    (tmp_path / "01_001").mkdir()
    with pytest.raises(UserError, match=r"01_001 and 01_001.avi are clips of the same name"):
        clip_sources(tmp_path)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([], "but it is empty"),
        (["b", "a"], "but it holds a, b"),
        (["a", "b", "c", "d", "e", "f", "g"], "but it holds a, b, c, d, e, f, ..."),
    ],
)
def test_a_missing_folder_is_named_with_what_is_there_instead(tmp_path: Path, there: list[str], found: str) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError) as error:
        need(tmp_path, ["x", "y"], "Avenue")
    assert str(error.value) == f"{tmp_path} is no Avenue tree: it should hold the folder x or y, {found}"


def test_a_root_that_is_no_folder_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="but it is a file"):
        need(tmp_path / "file", ["x"], "Avenue")
    with pytest.raises(UserError, match="but there is no such folder"):
        need(tmp_path / "nowhere", ["x"], "Avenue")
