"""Pictures come back from JPEG as they were, and the right way round."""

from __future__ import annotations

import numpy as np
import pytest

from msflow_stream.video.drawing.jpeg import PlanarJpeg, from_jpeg, to_jpeg
from msflow_stream.video.planar import PlanarTags, plane_views


def test_a_picture_comes_back_with_its_own_colours() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = (200, 40, 20)
    image[24:, 32:] = (10, 60, 220)
    back = from_jpeg(to_jpeg(image))
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).mean() < 4


@pytest.mark.parametrize(
    "tags", [PlanarTags(64, 48, 1, 1, 1, 1), PlanarTags(98, 66, 5, 5, 6, 2), PlanarTags(32, 16, 9, 9, 14, 1)]
)
def test_a_planar_frame_comes_back_in_its_own_colours_and_nearly_as_it_was(tags: PlanarTags) -> None:
    frame = tags.new()
    for number, plane in enumerate(plane_views(frame)):
        rows, columns = np.indices(plane.shape)
        plane[:] = 60 + 40 * number + rows // 2 + columns // 4
    kept = PlanarJpeg(frame)
    back = kept.frame()
    assert PlanarTags.of(back) == tags
    assert kept.nbytes < 8000
    for plane, before in zip(plane_views(back), plane_views(frame), strict=True):
        difference = np.abs(plane.astype(int) - before)
        assert difference.mean() < 3
        assert difference.max() <= 20, "most where blocks hold the seam between both parts of chroma"
