"""The outline of places that count for less is drawn around all of them together, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from msflow_stream.types import FrameScore, Scores
from msflow_stream.video.drawing.overlay import Overlay, OverlayStyle
from msflow_stream.video.drawing.widgets import INK, WHITE

BOXES = ((0.25, 0.25, 0.25, 0.5), (0.5, 0.25, 0.25, 0.25))  # side by side, one taller


@pytest.mark.parametrize("size", [(240, 320), (96, 128), (17, 19)])
def test_the_outline_is_of_all_boxes_together(size: tuple[int, int]) -> None:
    height, width = size
    image = np.full((height, width, 3), 120, np.uint8)
    changed = np.any(drawn(image, BOXES) != drawn(image, ()), axis=-1)
    assert changed.any()
    assert not changed[: round(0.25 * height) - 1].any()
    assert not changed[:, round(0.75 * width) + 1 :].any()
    middle = round(0.5 * width)
    assert not changed[round(0.35 * height) : round(0.42 * height), middle - 1 : middle + 1].any()  # where they meet


def test_white_and_dark_dashes_alternate() -> None:
    image = np.full((240, 320, 3), 120, np.uint8)
    colours = {tuple(colour) for colour in drawn(image, BOXES)[60, 90:230].tolist()}
    assert {WHITE, INK} <= colours


def test_it_follows_the_size_and_the_places_and_goes_with_them() -> None:
    overlay = Overlay(OverlayStyle(low=1, high=2))
    image = np.full((120, 160, 3), 120, np.uint8)
    for boxes, shape in ((BOXES, image), (BOXES[:1], image), (BOXES, image[:60, :80]), ((), image)):
        shown = overlay.draw(shape, scored(boxes), 0.0, 1.0, alarm=False)
        assert (shown == drawn(shape, boxes)).all()
    planar = overlay.draw_planar(image, scored(BOXES), 0.0, 1.0, alarm=False).to_ndarray(format="rgb24")
    assert abs(planar.astype(int) - drawn(image, BOXES)).mean() < 4


def scored(boxes: tuple[tuple[float, float, float, float], ...]) -> FrameScore:
    return FrameScore("gate", "gate", 1, 1.0, None, Scores(0, 0, 0), np.zeros((4, 4), np.float16), excepted=boxes)


def drawn(image: np.ndarray, boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    return Overlay(OverlayStyle(low=1, high=2)).draw(image, scored(boxes), 0.0, 1.0, alarm=False)
