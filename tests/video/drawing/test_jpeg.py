"""Pictures come back from JPEG as they were, and the right way round."""

from __future__ import annotations

import numpy as np

from msflow_stream.video.drawing.jpeg import from_jpeg, to_jpeg


def test_a_picture_comes_back_with_its_own_colours() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = (200, 40, 20)
    image[24:, 32:] = (10, 60, 220)
    back = from_jpeg(to_jpeg(image))
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).mean() < 4
