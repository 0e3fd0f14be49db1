"""overlay.mp4 is encoded in a thread: what goes wrong there is told, and what was written plays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from msflow_stream.results.overlay_file import OverlayFile
from msflow_stream.types import Frame
from msflow_stream.video.drawing.overlay import OverlayStyle
from msflow_stream.video.reading.source_info import SourceInfo
from msflow_stream.video.reading.video_reader import VideoReader
from tests.support.videos import coded_image

STYLE = OverlayStyle(low=1.0, high=2.0, threshold=None)
INFO = SourceInfo("gate", 64, 48, Fraction(25), Fraction(1, 25), None, None, "h264", False, False, 0)
COUNT = 6


def frame(index: int) -> Frame:
    return Frame("gate", index, index, index / 25, None, coded_image(index))


def written(path: Path) -> int:
    with VideoReader(path) as reader:
        return sum(1 for _ in reader)


def fail_at(file: OverlayFile, number: int) -> None:
    """The disk is full from this frame on."""
    write = file._writer.write

    def failing(image: np.ndarray, ticks: int) -> None:  # type: ignore[type-arg]
        if ticks >= number:
            raise OSError("disk full")
        write(image, ticks)

    file._writer.write = failing  # type: ignore[method-assign]


def test_every_frame_is_there(tmp_path: Path) -> None:
    with OverlayFile(tmp_path / "o.mp4", INFO, STYLE, None) as file:
        for index in range(COUNT):
            file.write(frame(index), None, None)
    assert written(tmp_path / "o.mp4") == COUNT


@pytest.mark.parametrize("number", [0, 3, COUNT - 1])
def test_what_a_frame_cannot_be_encoded_for_is_raised(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match="disk full"), OverlayFile(tmp_path / "o.mp4", INFO, STYLE, None) as file:  # noqa: PT012
        fail_at(file, number)
        for index in range(COUNT):
            file.write(frame(index), None, None)
    assert number == 0 or written(tmp_path / "o.mp4") == number


def test_an_error_elsewhere_ends_it_with_what_was_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="elsewhere"), OverlayFile(tmp_path / "o.mp4", INFO, STYLE, None) as file:  # noqa: PT012
        for index in range(COUNT):
            file.write(frame(index), None, None)
        raise ValueError("elsewhere")
    assert written(tmp_path / "o.mp4") == COUNT
