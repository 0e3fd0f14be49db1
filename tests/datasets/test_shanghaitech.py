"""ShanghaiTech Campus: scenes, clips and truth of a tree as it is published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.datasets.shanghaitech import shanghaitech
from msflow_stream.types import UserError
from tests.support import campus, data
from tests.support.campus import write_campus, write_frames


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_campus(tmp_path / "campus")


def test_clips_are_grouped_by_the_scene_in_their_name(tree: Path) -> None:
    first, second = shanghaitech(tree)
    assert (first.name, [clip.name for clip in first.fit]) == ("01", ["01_001", "01_002"])
    assert [clip.name for clip in first.test] == ["01_0001", "01_0002"]
    assert (second.name, [clip.name for clip in second.fit], second.test) == ("02", ["02_001"], ())
    assert [scene.name for scene in shanghaitech(tree, ["02"])] == ["02"]


def test_every_fifth_frame_is_still_to_be_sampled_from_the_source(tree: Path) -> None:
    scene = shanghaitech(tree)[0]
    assert {(clip.every, clip.step) for clip in (*scene.fit, *scene.test)} == {(5, 1)}
    assert scene.fit[0].source == tree / "training" / "videos" / "01_001.avi"
    assert scene.test[0].source == tree / "testing" / "frames" / "01_0001"


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
@pytest.mark.parametrize("digits", [3, 4])
def test_truth_is_there_for_every_frame_of_the_source(tmp_path: Path, kind: type, digits: int) -> None:
    (scene,) = shanghaitech(write_campus(tmp_path, {"01_001": 1}, {"01_0001": 11}, kind, digits))
    truth = scene.test[0].truth
    assert truth is not None
    assert truth.has_masks
    assert truth.labels.dtype == bool
    assert np.array_equal(truth.labels, campus.labels(11))
    for position, expected in enumerate(campus.masks(11)):
        mask = truth.mask(position)
        assert mask is not None
        assert mask.dtype == bool
        assert np.array_equal(mask, expected)


def test_training_clips_are_normal(tree: Path) -> None:
    assert all(clip.truth is None for scene in shanghaitech(tree) for clip in scene.fit)


@pytest.mark.parametrize("folder", ["videos", "frames"])
def test_training_clips_may_be_folders_of_frames(tree: Path, folder: str) -> None:
    shutil.rmtree(tree / "training")
    write_frames(tree / "training" / folder / "01_001", 2)
    scene = shanghaitech(tree)[0]
    assert [clip.source for clip in scene.fit] == [tree / "training" / folder / "01_001"]


def test_a_tree_without_pixel_masks_has_labels_only(tree: Path) -> None:
    shutil.rmtree(tree / "testing" / "test_pixel_mask")
    truth = shanghaitech(tree)[0].test[0].truth
    assert truth is not None
    assert not truth.has_masks
    assert truth.mask(0) is None
    assert np.array_equal(truth.labels, campus.labels(11))


@pytest.mark.parametrize(
    ("folder", "content", "message"),
    [
        ("test_frame_mask", campus.labels(10), "has 10 frames, its clip has 11"),
        ("test_pixel_mask", campus.masks(12), "has 12 frames, its clip has 11"),
        ("test_frame_mask", None, "01_0001.npy does not exist"),
        ("test_pixel_mask", None, "01_0001.npy does not exist"),
    ],
)
def test_wrong_masks_are_an_error_of_their_clip_alone(
    tree: Path, folder: str, content: np.ndarray | None, message: str
) -> None:
    path = tree / "testing" / folder / "01_0001.npy"
    path.unlink() if content is None else np.save(path, content)
    first, second = (clip.truth for clip in shanghaitech(tree)[0].test)
    assert first is not None
    assert second is not None
    with pytest.raises(UserError, match=message):
        first.labels if folder == "test_frame_mask" else first.mask(0)
    assert len(second.labels) == 16


@pytest.mark.parametrize("part", ["training/videos", "testing/frames", "testing/test_frame_mask"])
def test_a_missing_part_of_the_tree_is_named(tree: Path, part: str) -> None:
    shutil.rmtree(tree / part)
    with pytest.raises(UserError, match=rf"no ShanghaiTech Campus tree: it should hold the folder {part}.*testing"):
        shanghaitech(tree)


@pytest.mark.parametrize("part", ["training/videos", "testing/frames"])
def test_an_empty_part_of_the_tree_is_named(tree: Path, part: str) -> None:
    shutil.rmtree(tree / part)
    (tree / part).mkdir()
    with pytest.raises(UserError, match=f"{part} should hold clips such as 01_001, but it is empty"):
        shanghaitech(tree)


def test_a_clip_whose_name_says_no_scene_is_refused(tree: Path) -> None:
    shutil.copy(tree / "training" / "videos" / "01_001.avi", tree / "training" / "videos" / "gate.avi")
    with pytest.raises(UserError, match=r"gate.avi: expected a name of scene and clip"):
        shanghaitech(tree)


def test_a_test_clip_that_is_a_video_is_refused(tree: Path) -> None:
    shutil.copy(tree / "training" / "videos" / "01_001.avi", tree / "testing" / "frames" / "01_0003.avi")
    with pytest.raises(UserError, match=r"01_0003.avi: a test clip is a folder of frames"):
        shanghaitech(tree)


def test_the_real_tree_is_one_scene_with_truth_of_every_frame() -> None:
    (scene,) = shanghaitech(data.test_data() / "campus")
    assert (scene.name, len(scene.fit), len(scene.test)) == ("01", 16, 6)
    for clip in scene.test:
        assert clip.truth is not None
        masks = [clip.truth.mask(position) for position in range(0, len(clip.truth.labels), 30)]
        assert all(mask is not None and mask.shape == (240, 360) for mask in masks)
        assert [mask.any() for mask in masks if mask is not None] == clip.truth.labels[::30].tolist()
