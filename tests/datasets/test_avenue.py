"""CUHK Avenue: videos and truth of a tree as it is published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from msflow_stream.datasets.avenue import avenue
from msflow_stream.datasets.clips import Truth
from msflow_stream.types import UserError

MASKS = np.random.default_rng(0).random((5, 7, 9)) < np.array([0, 0.5, 0, 1, 0.1])[:, None, None]  # T H W


def write_masks(path: Path, masks: Any, name: str = "volLabel") -> None:
    cells = np.empty((1, len(masks)), object)
    for place, mask in enumerate(masks):
        cells[0, place] = mask
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: cells})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("training_videos/01.avi", "training_videos/02.avi", "testing_videos/01.avi", "testing_videos/10.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_masks(tmp_path / "testing_label_mask" / "1_label.mat", MASKS.astype(np.uint8))
    write_masks(tmp_path / "testing_label_mask" / "10_label.mat", MASKS[::-1].astype(np.uint8))
    return tmp_path


def truths(tree: Path) -> list[Truth]:
    (scene,) = avenue(tree)
    return [clip.truth for clip in scene.test if clip.truth is not None]


def test_videos_are_the_clips_of_one_scene(tree: Path) -> None:
    (scene,) = avenue(tree)
    assert scene.name == "avenue"
    assert [clip.source for clip in scene.fit] == [tree / "training_videos" / f"0{n}.avi" for n in (1, 2)]
    assert [clip.name for clip in scene.test] == ["01", "10"]
    assert all(clip.truth is None for clip in scene.fit)


def test_all_frames_are_sampled_unless_told_otherwise(tree: Path) -> None:
    for every, scene in ((1, avenue(tree)[0]), (5, avenue(tree, every=5)[0])):
        assert {clip.every for clip in (*scene.fit, *scene.test)} == {every}


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_masks_are_those_of_the_matlab_file(tree: Path, kind: type) -> None:
    write_masks(tree / "testing_label_mask" / "1_label.mat", MASKS.astype(kind))
    for truth, expected in zip(truths(tree), (MASKS, MASKS[::-1]), strict=True):
        assert truth.has_masks
        assert truth.labels.tolist() == expected.any(axis=(1, 2)).tolist()
        found = [truth.mask(position) for position in range(5)]
        assert all(mask is not None and mask.dtype == bool for mask in found)
        assert np.array_equal(np.array(found), expected)


def test_masks_may_be_where_the_archive_of_the_ground_truth_has_them(tree: Path) -> None:
    (tree / "ground_truth_demo").mkdir()
    (tree / "testing_label_mask").rename(tree / "ground_truth_demo" / "testing_label_mask")
    assert truths(tree)[0].labels.any()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "1_label.mat does not exist"),
        (lambda path: path.write_bytes(b"no Matlab file" * 20), "1_label.mat cannot be read as a Matlab file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-60]), "1_label.mat cannot be read as a Matlab file"),
        (lambda path: write_masks(path, MASKS, "labels"), "1_label.mat holds no volLabel"),
        (lambda path: savemat(path, {"volLabel": np.ones((5, 7))}), "should hold volLabel, a cell array"),
        (lambda path: write_masks(path, ["a", "b"]), "should hold volLabel, a cell array"),
    ],
)
def test_wrong_masks_are_an_error_of_their_clip_alone(tree: Path, spoil: Any, message: str) -> None:
    spoil(tree / "testing_label_mask" / "1_label.mat")
    first, second = truths(tree)
    with pytest.raises(UserError, match=message):
        first.labels  # noqa: B018
    assert len(second.labels) == 5


@pytest.mark.parametrize("part", ["training_videos", "testing_videos", "testing_label_mask"])
def test_another_tree_is_refused_with_what_it_is(tree: Path, part: str) -> None:
    shutil.rmtree(tree / part)
    with pytest.raises(UserError, match=rf"no CUHK Avenue tree: it should hold the folder {part}.* but it holds te"):
        avenue(tree)


def test_an_empty_folder_of_videos_is_refused(tree: Path) -> None:
    shutil.rmtree(tree / "testing_videos")
    (tree / "testing_videos").mkdir()
    with pytest.raises(UserError, match=r"testing_videos should hold videos such as 01.avi, but it is empty"):
        avenue(tree)
