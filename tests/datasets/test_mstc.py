"""mSTC as `build-mstc` writes it, with copies and as an index: the same frames and truth either way."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from msflow_stream.datasets.clips import Clip
from msflow_stream.datasets.mstc import mstc
from msflow_stream.types import UserError
from msflow_stream.video.sources import open_source
from pipelines.build_mstc import build_mstc
from pipelines.build_mstc_video import BuildJob
from tests.support import campus
from tests.support.campus import write_campus
from tests.support.videos import read_code

FORMS = [BuildJob(workers=1), BuildJob(index_only=True, workers=1)]


def built(folder: Path, job: BuildJob = FORMS[0]) -> Path:
    tree = folder / "campus"
    build_mstc(tree if tree.exists() else write_campus(tree), folder / "mstc", job, Console(file=io.StringIO()))
    return folder / "mstc"


def sampled(clip: Clip) -> list[tuple[int, int]]:
    """Index in the original video and position in the source, of the frames that are to be sampled."""
    found = []
    with open_source(str(clip.source), clip.every) as reader:
        for frame in reader:
            assert read_code(frame.image) == clip.original_index(frame.index)
            found.append((clip.original_index(frame.index), frame.index))
    return found


@pytest.mark.parametrize("job", FORMS)
def test_clips_give_every_fifth_frame_and_its_truth(tmp_path: Path, job: BuildJob) -> None:
    first, second = mstc(built(tmp_path, job))
    assert [[clip.name for clip in clips] for clips in (first.fit, first.test)] == [
        ["01_001", "01_002"],
        ["01_0001", "01_0002"],
    ]
    assert ([clip.name for clip in second.fit], second.test) == (["02_001"], ())
    for clip in (*first.fit, *second.fit):
        assert [index for index, _ in sampled(clip)] == list(range(0, campus.TRAIN[clip.name], 5))
        assert clip.truth is None
    for clip in first.test:
        count, truth, frames = campus.TEST[clip.name], clip.truth, sampled(clip)
        assert [index for index, _ in frames] == list(range(0, count, 5))
        assert truth is not None
        assert truth.has_masks
        for index, position in frames:
            mask = truth.mask(position)
            assert truth.labels[position] == campus.labels(count)[index]
            assert mask is not None
            assert np.array_equal(mask, campus.masks(count)[index])


@pytest.mark.parametrize("job", FORMS)
def test_there_are_as_many_labels_as_frames_of_the_source(tmp_path: Path, job: BuildJob) -> None:
    for clip in mstc(built(tmp_path, job))[0].test:
        with open_source(str(clip.source)) as reader:
            assert clip.truth is not None
            assert len(clip.truth.labels) == reader.info.frames


@pytest.mark.parametrize("job", FORMS)
def test_masks_are_only_there_if_the_source_has_them(tmp_path: Path, job: BuildJob) -> None:
    shutil.rmtree(write_campus(tmp_path / "campus") / "testing" / "test_pixel_mask")
    for clip in mstc(built(tmp_path, job))[0].test:
        assert clip.truth is not None
        assert not clip.truth.has_masks
        assert clip.truth.mask(0) is None
        assert clip.truth.labels.any()


@pytest.mark.parametrize("job", FORMS)
def test_scenes_are_chosen_by_name(tmp_path: Path, job: BuildJob) -> None:
    out = built(tmp_path, job)
    assert [scene.name for scene in mstc(out, ["02"])] == ["02"]
    with pytest.raises(UserError, match="no scene 13: there are 01, 02"):
        mstc(out, ["13"])


@pytest.mark.parametrize("job", FORMS)
def test_a_video_that_could_not_be_built_is_left_out_with_a_warning(
    tmp_path: Path, job: BuildJob, caplog: pytest.LogCaptureFixture
) -> None:
    (write_campus(tmp_path / "campus") / "testing" / "test_frame_mask" / "01_0001.npy").unlink()
    with pytest.raises(UserError, match="1 of 5 videos failed"):
        built(tmp_path, job)
    with caplog.at_level(logging.WARNING):
        scenes = mstc(tmp_path / "mstc")
    assert [clip.name for clip in scenes[0].test] == ["01_0002"]
    assert "not complete, it lacks 01_0001: mend" in caplog.text


def test_what_is_no_mstc_is_refused_with_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no mSTC: it should hold mstc.json.*but it holds testing, training"):
        mstc(write_campus(tmp_path / "campus"))
    with pytest.raises(UserError, match=r"is no mSTC.*but there is no such folder"):
        mstc(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["mstc.json", "videos.csv"])
@pytest.mark.parametrize("content", ["[1]", "{}", '{"every', "a,b\n1,2,3\n"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    out = built(tmp_path)
    (out / name).write_text(content + "\n" + content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        mstc(out)


def test_lost_frames_are_an_error_with_both_numbers(tmp_path: Path) -> None:
    out = built(tmp_path)
    (out / "01" / "train" / "01_001" / "000005.png").unlink()
    with pytest.raises(
        UserError, match=r"01_001 holds 2 frames, it should hold 3: run `msflow-stream build-mstc` again"
    ):
        mstc(out)


def test_an_index_without_its_source_says_what_it_needs(tmp_path: Path) -> None:
    out = built(tmp_path, FORMS[1])
    shutil.rmtree(tmp_path / "campus")
    with pytest.raises(UserError, match=r"an index needs the videos.*campus is no ShanghaiTech Campus tree"):
        mstc(out)
