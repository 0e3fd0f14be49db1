"""Areas: which pixel is watched, against a point-in-polygon check of another kind."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msflow_stream.types import UserError
from msflow_stream.watch.areas import area_mask

Points = list[tuple[float, float]]
SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))
SHARE = st.floats(0, 1) | st.integers(0, 24).map(lambda n: n / 24)  # anywhere, and on borders and centres of pixels
POLYGONS = st.lists(st.tuples(SHARE, SHARE), min_size=3, max_size=7)
WHOLE: Points = [(0, 0), (1, 0), (1, 1), (0, 1)]
LEFT: Points = [(0, 0), (0.5, 0), (0.5, 1), (0, 1)]
TOP: Points = [(0, 0), (1, 0), (1, 0.5), (0, 0.5)]


def winding(polygon: Points, x: float, y: float) -> int | None:
    """How often the polygon goes around a point, from the angles that its edges are seen under; None if on an edge."""
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise([*polygon, polygon[0]]):
        a, b = complex(x0 - x, y0 - y), complex(x1 - x, y1 - y)
        along = abs(b - a)
        nearest = (
            abs(a) if along == 0 else abs(a + (b - a) * min(1, max(0, ((b - a).conjugate() * -a).real / along**2)))
        )
        if nearest < 1e-9:
            return None
        total += math.atan2((a.conjugate() * b).imag, (a.conjugate() * b).real)
    return round(total / math.tau)


def inside(polygons: list[Points], x: float, y: float) -> bool | None:
    """Whether a point is in one of the polygons; None if it is on an edge."""
    turns = [winding(polygon, x, y) for polygon in polygons]
    return None if None in turns else any(turn % 2 == 1 for turn in turns if turn is not None)


@given(st.lists(POLYGONS, max_size=3), st.lists(POLYGONS, max_size=2), SIZES)
@settings(deadline=None)
def test_a_pixel_is_watched_if_its_centre_is_in_watch_and_not_in_ignore(
    watch: list[Points], ignore: list[Points], size: tuple[int, int]
) -> None:
    expected: dict[tuple[int, int], bool | None] = {}
    for row, column in np.ndindex(size):
        x, y = (column + 0.5) / size[1], (row + 0.5) / size[0]
        wanted, unwanted = inside(watch, x, y) if watch else True, inside(ignore, x, y)
        expected[row, column] = None if wanted is None or unwanted is None else wanted and not unwanted
    try:
        mask = area_mask(watch, ignore, size)
    except UserError:
        assert True not in expected.values()
        return
    if mask is None:
        assert not watch
        assert not ignore
        return
    assert mask.shape == size
    assert mask.dtype == np.bool_
    assert all(mask[pixel] == value for pixel, value in expected.items() if value is not None)


@given(st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)) | st.tuples(SHARE, SHARE), SIZES)
@settings(deadline=None)
def test_of_areas_that_share_an_edge_one_has_the_pixel(middle: tuple[float, float], size: tuple[int, int]) -> None:
    parts = []
    for a, b in pairwise([*WHOLE, WHOLE[0]]):
        try:
            parts.append(area_mask([[a, b, middle]], [], size))
        except UserError:  # of no pixel
            parts.append(np.zeros(size, np.bool_))
    assert (np.sum(parts, axis=0) == 1).all()


def test_without_areas_there_is_no_mask() -> None:
    assert area_mask((), (), (4, 6)) is None


def test_the_whole_picture_is_every_pixel() -> None:
    mask = area_mask([WHOLE], [], (5, 7))
    assert mask is not None
    assert mask.all()


def test_x_goes_along_the_width_and_y_down() -> None:
    mask = area_mask([[(0, 0), (0.5, 0), (0.5, 0.25), (0, 0.25)]], [], (4, 6))
    assert mask is not None
    assert mask.astype(int).tolist() == [[1, 1, 1, 0, 0, 0], [0] * 6, [0] * 6, [0] * 6]


@pytest.mark.parametrize(("share", "columns"), [(0.46, 5), (0.44, 4), (0.36, 4), (0.34, 3), (0.06, 1)])
def test_the_centre_decides(share: float, columns: int) -> None:
    mask = area_mask([[(0, 0), (share, 0), (share, 1), (0, 1)]], [], (2, 10))  # centres at 0.05, 0.15, ...
    assert mask is not None
    assert mask.astype(int).tolist() == [[1] * columns + [0] * (10 - columns)] * 2


def test_everything_is_watched_but_what_is_ignored() -> None:
    mask = area_mask([], [LEFT], (4, 4))
    assert mask is not None
    assert mask.astype(int).tolist() == [[0, 0, 1, 1]] * 4


def test_ignore_wins_over_watch() -> None:
    mask = area_mask([TOP, LEFT], [LEFT], (4, 4))
    assert mask is not None
    assert mask.astype(int).tolist() == [[0, 0, 1, 1]] * 2 + [[0] * 4] * 2


@pytest.mark.parametrize(
    ("watch", "ignore"),
    [([], [WHOLE]), ([LEFT], [WHOLE]), ([[(0.51, 0.51), (0.52, 0.51), (0.52, 0.52)]], []), ([[(0, 0)] * 3], [])],
    ids=["all ignored", "watch ignored", "between the centres", "no area"],
)
def test_nothing_left_to_watch_is_an_error_that_says_so(watch: list[Points], ignore: list[Points]) -> None:
    with pytest.raises(UserError, match="no pixel of 6x4 to watch: enlarge watch or shrink ignore"):
        area_mask(watch, ignore, (4, 6))
