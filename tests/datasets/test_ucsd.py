"""UCSD Pedestrian: walkways, clips and truth of a tree as it is published."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msflow_stream.datasets.clips import Clip
from msflow_stream.datasets.ucsd import ucsd
from msflow_stream.types import UserError

SIZE = (6, 4)  # width, height
LISTS = "TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:3];\nTestVideoFile{end+1}.gt_frame = [1:1, 4:12];\n"


def write_frames(folder: Path, count: int, suffix: str, bright: range = range(0)) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        image = np.zeros(SIZE[::-1], np.uint8)
        image[1, : index + 1] = 255 * (index in bright)
        Image.fromarray(image).save(folder / f"{index + 1:03d}{suffix}")


def write_walkway(root: Path) -> Path:
    """Test001 (5 frames) has masks, of its frames 1 and 2; Test002 (12 frames) has none."""
    write_frames(root / "Train" / "Train001", 4, ".tif")
    write_frames(root / "Train" / "Train002", 3, ".tif")
    write_frames(root / "Test" / "Test001", 5, ".tif")
    write_frames(root / "Test" / "Test001_gt", 5, ".bmp", range(1, 3))
    write_frames(root / "Test" / "Test002", 12, ".tif")
    (root / "Test" / "Test001" / "._001.tif").touch()  # as the archive has them
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_walkway(tmp_path / "UCSDped1")


def clips(tree: Path) -> tuple[Clip, ...]:
    (scene,) = ucsd(tree)
    return scene.test


def test_clips_are_the_folders_of_frames(tree: Path) -> None:
    (scene,) = ucsd(tree)
    assert scene.name == "UCSDped1"
    assert [clip.source for clip in scene.fit] == [tree / "Train" / "Train001", tree / "Train" / "Train002"]
    assert [clip.source for clip in scene.test] == [tree / "Test" / "Test001", tree / "Test" / "Test002"]
    assert [clip.name for clip in scene.test] == ["Test001", "Test002"]


def test_all_frames_are_sampled_unless_told_otherwise(tree: Path) -> None:
    for every, scene in ((1, ucsd(tree)[0]), (5, ucsd(tree, every=5)[0])):
        assert {clip.every for clip in (*scene.fit, *scene.test)} == {every}


def test_both_walkways_of_the_archive_are_scenes(tmp_path: Path) -> None:
    for name in ("UCSDped2", "UCSDped1"):
        write_walkway(tmp_path / name)
    assert [scene.name for scene in ucsd(tmp_path)] == ["UCSDped1", "UCSDped2"]
    assert [scene.name for scene in ucsd(tmp_path, ["UCSDped2"])] == ["UCSDped2"]
    with pytest.raises(UserError, match="no scene ped2: there are UCSDped1, UCSDped2"):
        ucsd(tmp_path, ["ped2"])


def test_a_frame_is_anomalous_where_any_pixel_of_its_mask_is(tree: Path) -> None:
    truth = clips(tree)[0].truth
    assert truth is not None
    assert truth.has_masks
    assert truth.labels.tolist() == [False, True, True, False, False]
    mask = truth.mask(2)
    assert mask is not None
    assert mask.dtype == bool
    assert np.argwhere(mask).tolist() == [[1, 0], [1, 1], [1, 2]]


def test_a_clip_of_which_nothing_is_known_is_named_in_a_warning(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [clip.truth is None for clip in clips(tree)] == [False, True]
    assert "no masks and no list of anomalous frames for Test002" in caplog.text


def test_a_clip_without_masks_is_labelled_by_the_list_of_frames(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tree / "Test" / "UCSDped1.m").write_text(LISTS)
    truth = clips(tree)[1].truth
    assert truth is not None
    assert not truth.has_masks
    assert truth.mask(0) is None
    assert np.flatnonzero(~truth.labels).tolist() == [1, 2]  # 1:1 and 4:12 are anomalous, counted from 1
    assert not caplog.text


def test_a_list_of_other_clips_is_refused(tree: Path) -> None:
    (tree / "Test" / "UCSDped1.m").write_text(LISTS + LISTS)
    with pytest.raises(UserError, match=r"UCSDped1.m lists the anomalous frames of 4 clips, there are 2"):
        ucsd(tree)


def test_masks_of_another_number_than_the_frames_are_an_error_with_both_numbers(tree: Path) -> None:
    (tree / "Test" / "Test001_gt" / "003.bmp").unlink()
    truth = clips(tree)[0].truth
    assert truth is not None
    with pytest.raises(UserError, match=r"Test001_gt has 4 masks, its clip has 5 frames"):
        truth.labels  # noqa: B018


def test_a_damaged_mask_is_named(tree: Path) -> None:
    (tree / "Test" / "Test001_gt" / "003.bmp").write_bytes(b"BM")
    truth = clips(tree)[0].truth
    assert truth is not None
    with pytest.raises(UserError, match=r"003.bmp cannot be read as a mask"):
        truth.mask(2)


@pytest.mark.parametrize("part", ["Train", "Test"])
def test_another_tree_is_refused_with_what_it_is(tree: Path, part: str) -> None:
    shutil.rmtree(tree / part)
    with pytest.raises(UserError, match=r"no UCSD Pedestrian tree: it should hold UCSDped1 .* but it holds T"):
        ucsd(tree)
    (tree / part / "frames").mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{part} should hold folders such as {part}001, but it holds frames"):
        ucsd(tree)
