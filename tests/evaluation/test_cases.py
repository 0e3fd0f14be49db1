"""The frames of an evaluation are those that `score` would see of the same clips."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from msflow_stream.datasets.clips import Clip, NpyTruth, VideoScene
from msflow_stream.evaluation.cases import VideoUnit, find_units
from msflow_stream.video.sources import open_source
from pipelines.build_mstc import BuildJob, build_mstc
from tests.support.campus import TEST, write_campus
from tests.support.earlier import earlier_codes
from tests.support.videos import write_video

SIZE = (48, 64)


@pytest.mark.parametrize(("rate", "steps"), [(10, 1), (25, 2)])
def test_a_clip_shows_the_same_moment_before_a_frame_as_its_video(rate: int, steps: int, tmp_path: Path) -> None:
    """A folder of frames cannot say its rate, but the videos of the same scene can."""
    video, folder = write_video(tmp_path / "01_0001.mp4", 16, rate=rate, b_frames=2), tmp_path / "01_0001"
    folder.mkdir()
    with open_source(str(video)) as reader:
        for frame in reader:
            Image.fromarray(frame.image).save(folder / f"{frame.index}.png")
    np.save(tmp_path / "labels.npy", np.zeros(16, np.uint8))
    truth = NpyTruth(tmp_path / "labels.npy", None, 16)
    unit = VideoUnit(VideoScene("01", (Clip("01_001", video, 5),), (Clip("01_0001", folder, 5, truth),)))
    with open_source(str(video), 5) as reader:
        expected = list(reader)
    assert earlier_codes(expected) == [None, *(index - steps for index in (5, 10, 15))]
    for source in unit.fit_sources():
        fitted = list(source)
    for _, cases in unit.test_clips(SIZE):
        tested = [case.frame for case in cases]
    for frames in (fitted, tested):
        assert [frame.time for frame in frames] == [frame.time for frame in expected]
        assert earlier_codes(frames) == earlier_codes(expected)
        assert [one.earlier and one.earlier.seconds for one in frames] == [
            one.earlier and one.earlier.seconds for one in expected
        ]


def test_without_a_video_the_clip_says_its_rate(tmp_path: Path) -> None:
    folder = write_campus(tmp_path, {}, {"01_0001": 11}) / "testing" / "frames" / "01_0001"
    unit = VideoUnit(VideoScene("01", (Clip("01_0001", folder, 5, rate=Fraction(10)),), ()))
    for source in unit.fit_sources():
        frames = list(source)
    assert [frame.time for frame in frames] == [0, 0.5, 1]
    assert earlier_codes(frames) == [None, 4, 9]


@pytest.mark.parametrize("index_only", [True, False])
def test_frames_that_were_stored_without_those_between_show_nothing_before(index_only: bool, tmp_path: Path) -> None:
    build_mstc(
        write_campus(tmp_path / "tree"),
        tmp_path / "mstc",
        BuildJob(workers=1, index_only=index_only),
        Console(file=io.StringIO()),
    )
    (unit,) = find_units("mstc", tmp_path / "mstc", ["01"])
    for clip, cases in unit.test_clips(SIZE):
        codes = earlier_codes([case.frame for case in cases])
        indices = range(0, TEST[clip], 5)
        assert codes == [index - 2 if index and index_only else None for index in indices]
