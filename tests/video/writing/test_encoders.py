"""The choice of an encoder: by name, or by trial; and what x264 is asked for."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from msflow_stream.types import UserError
from msflow_stream.video.planar import planar_copy, plane_views
from msflow_stream.video.reading.colour import FrameConverter
from msflow_stream.video.writing.encoders import ENCODERS, X264, EncoderChoice, choose_encoder, obstacle
from msflow_stream.video.writing.video_writer import VideoWriter

HARDWARE = [name for name in ENCODERS if name != X264]


def broken() -> list[str]:
    return [name for name in HARDWARE if obstacle(ENCODERS[name]) is not None]


def test_x264_passes_the_trial_that_others_have_to() -> None:
    assert obstacle(ENCODERS[X264]) is None


@pytest.mark.parametrize("name", HARDWARE)
def test_an_encoder_that_does_not_work_is_refused_in_one_line(name: str) -> None:
    if name not in broken():
        pytest.skip(f"{name} works here")
    with pytest.raises(UserError, match=f"{name} does not work here: .+; choose auto or libx264") as caught:
        choose_encoder(name)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_auto_takes_what_works_and_else_x264_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    working = [name for name in HARDWARE if name not in broken()]
    with caplog.at_level(logging.INFO, logger="msflow_stream"):
        assert choose_encoder("auto").name == [*working, X264][0]
    assert len([record for record in caplog.records if "encoded by" in record.message]) == 1


def test_an_encoder_that_ffmpeg_does_not_have_is_told_so() -> None:
    assert obstacle(EncoderChoice("h264_none", "yuv420p", ENCODERS[X264].options)) == "this FFmpeg does not have it"


@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
def test_a_smaller_quality_number_gives_a_larger_file(tmp_path: Path, preset: str) -> None:
    grain = np.random.default_rng(0).integers(60, 200, (4, 96, 128, 3), np.uint8)
    sizes = []
    for crf in (18, 28, 38):
        path = tmp_path / f"{crf}.mp4"
        with VideoWriter(path, 128, 96, Fraction(1, 25), Fraction(25), crf=crf, preset=preset) as writer:  # type: ignore[arg-type]
            for index, image in enumerate(grain):
                writer.write(image, index)
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[-1]


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (5, True), (9, False)])
def test_a_planar_frame_is_encoded_in_its_own_colours_and_never_converted(
    tmp_path: Path, matrix: int, full: bool
) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane, value in zip(plane_views(frame), (90, 110, 150), strict=True):
        plane[:] = value
    frame.colorspace, frame.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
    path = tmp_path / "o.mp4"
    with VideoWriter(path, 64, 48, Fraction(1, 25), Fraction(25), preset="ultrafast", crf=1) as writer:
        for index in range(3):
            writer.write(planar_copy(frame, FrameConverter()), index)
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.colorspace == matrix
    assert [int(plane.astype(float).mean().round()) for plane in plane_views(shown[1])] == [90, 110, 150]
    assert shown[0].color_range == (ColorRange.JPEG if full else ColorRange.MPEG)


def test_frames_of_other_colours_than_the_first_come_out_as_they_look(tmp_path: Path) -> None:
    image = np.full((48, 64, 3), (200, 80, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=5, src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.JPEG
    )
    frame.colorspace, frame.color_range = 5, ColorRange.JPEG
    path = tmp_path / "o.mp4"
    with VideoWriter(path, 64, 48, Fraction(1, 25), Fraction(25), preset="ultrafast", crf=1) as writer:
        writer.write(image, 0)
        writer.write(planar_copy(frame, FrameConverter()), 1)
    with av.open(str(path)) as container:
        shown = [FrameConverter().rgb(frame) for frame in container.decode(video=0)]
    assert all(np.abs(one.astype(int) - image).max() <= 5 for one in shown)
