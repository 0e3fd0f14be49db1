from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from msflow_stream.types import Frame
from msflow_stream.video.reading.colour import FrameConverter, displayed_size
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import (
    Image,
    coded_image,
    read_code,
    write_video,
)


def read(path: Path, **kwargs: Any) -> list[Frame]:
    with VideoReader(path, **kwargs) as reader:
        return list(reader)


ONE = 1 << 16
TURNS: dict[str, tuple[list[int], Callable[[Image], Image]]] = {
    # display matrix (see FFmpeg's libavutil/display.h), and how to store the picture so that it is shown upright
    "90": ([0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], lambda image: np.rot90(image, -1)),
    "180": ([-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30], lambda image: np.rot90(image, 2)),
    "270": ([0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], lambda image: np.rot90(image, 1)),
    "mirrored": ([-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30], lambda image: image[:, ::-1]),
    "transposed": ([0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30], lambda image: image.swapaxes(0, 1)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_and_mirrored_videos_are_shown_upright(turn: str, tmp_path: Path) -> None:
    matrix, store = TURNS[turn]
    images = [np.ascontiguousarray(store(coded_image(index))) for index in range(6)]
    with VideoReader(write_video(tmp_path / "phone.mp4", images=images, matrix=matrix)) as reader:
        frames = list(reader)
    assert [read_code(frame.image) for frame in frames] == list(range(6))
    assert (reader.info.width, reader.info.height) == (64, 48)
    assert all(frame.image.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize(
    ("size", "colorspace", "tagged", "color_range"),
    [
        ((64, 48), 5, False, 1),  # unspecified and small: BT.601
        ((64, 48), 5, True, 1),
        ((64, 48), 1, True, 1),
        ((64, 48), 5, True, 2),  # full range
        ((1280, 720), 1, False, 1),  # unspecified and HD: BT.709
        ((1280, 720), 5, True, 1),
    ],
)
def test_colours_come_back_as_written(
    size: tuple[int, int], colorspace: int, tagged: bool, color_range: int, tmp_path: Path
) -> None:
    colours = [(200, 40, 40), (40, 180, 60), (50, 60, 210), (128, 128, 128)]
    images = [np.full((size[1], size[0], 3), colour, dtype=np.uint8) for colour in colours]
    path = write_video(
        tmp_path / "a.mp4",
        images=images,
        colorspace=colorspace,
        tagged=tagged,
        color_range=color_range,
        options={"crf": "1"},
    )
    for frame, colour in zip(read(path), colours, strict=True):
        np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(axis=0), colour, atol=3)


def test_a_frame_is_gone_once_nobody_holds_it() -> None:
    frame = VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    gc.freeze()  # what was there before does not matter
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        displayed_size(frame)
        FrameConverter().rgb(frame)
        del frame
        gc.collect()
        assert [one for one in gc.garbage if isinstance(one, VideoFrame)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()
