from __future__ import annotations

import numpy as np
import pytest

from msflow_stream.video.motion import MOTION_SIZE, grey


def smooth_image(height: int, width: int) -> np.ndarray:  # type: ignore[type-arg]
    """A wave across and down, of different strength in each colour: area means of it are known."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(2 * np.pi * (x + 0.5) / width * 3) + np.cos(2 * np.pi * (y + 0.5) / height * 2)
    return np.stack([120 + 30 * wave, 100 + 20 * wave, 90 - 10 * wave], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(240, 360), (256, 384), (480, 856), (481, 857), (720, 1280), (1080, 1920), (1920, 1080), (90, 2000)]
)
def test_the_grey_image_shows_the_same_at_the_same_place_whatever_the_size(size: tuple[int, int]) -> None:
    wide = smooth_image(*MOTION_SIZE).astype(float)
    expected = wide @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    found = grey(smooth_image(*size))
    assert (found.shape, found.dtype) == (MOTION_SIZE, np.uint8)
    assert np.abs(found - expected).max() < 4
    assert np.abs(found - expected).mean() < 1
