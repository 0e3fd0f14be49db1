"""What a frame shows of the moment before it, said by the index that the coded frame of that moment has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from msflow_stream.types import Frame
from tests.support.videos import read_code


def earlier_codes(frames: Iterable[Frame]) -> list[int | None]:
    """Returns which coded frame is seen behind each of these, None where there is none."""
    return [
        None if frame.earlier is None else read_code(np.repeat(frame.earlier.image[..., None], 3, axis=2))
        for frame in frames
    ]


def assert_same_earlier(one: Frame, other: Frame) -> None:
    """Checks that two frames show the same moment before them, to the bit."""
    assert is_same_earlier(one, other)


def is_same_earlier(one: Frame, other: Frame) -> bool:
    """Returns whether two frames show the same moment before them, to the bit."""
    if one.earlier is None or other.earlier is None:
        return one.earlier is other.earlier
    return one.earlier.seconds == other.earlier.seconds and np.array_equal(one.earlier.image, other.earlier.image)
