"""What moved in events labelled normal becomes normal: where and as it moved, no faster, for what is as large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.scenes.motion import DIRECTIONS, SIZES, Floats, MotionModel, TaughtMotion, size_kinds, speeds_of
from msflow_stream.video.motion import PLACES

REACH = 2  # places around one: the next cart does not take the very same way
TURN = 1  # directions on both sides
FASTER = 1.15  # times as fast is as normal
USUAL = 0.75  # quantile of the motion of normal frames: what was taught moves as unusually as that


def with_motion(
    model: MotionModel, taught: Iterable[tuple[Floats, npt.NDArray[np.bool_]]], normal: Sequence[Floats]
) -> MotionModel:
    """Returns a model to which taught motion is as usual as that of most normal frames.

    That is so for what is about as large as what was taught. Elsewhere and the other way it is the model as it was;
    across the taught way it gives in a little, by the component along it, and what is faster is unusual in proportion.

    Args:
        model: that of the scene; what it was taught before it keeps.
        taught: motion fields (PLACES x 3), each with the places that count.
        normal: motion fields of normal frames.
    """
    needed, seen = np.zeros_like(model.usual), np.zeros((*PLACES, SIZES), np.float32)
    for field, place in taught:
        speeds = speeds_of(field)
        sizes = model.blobs(speeds) * place
        np.maximum(needed, speeds * (sizes > 0)[..., None], out=needed)
        seen[sizes > 0, size_kinds(sizes)[sizes > 0]] = 1
    if not needed.any():
        return model
    scores = [score for score in (model.measure(field).score for field in normal) if score > 0]
    usual = max(1.0, float(np.quantile(scores, USUAL))) if scores else 1.0
    found = TaughtMotion(FASTER / usual * _around(needed), _alike(seen))
    if model.taught is not None:
        found = TaughtMotion(np.maximum(found.usual, model.taught.usual), found.sizes | model.taught.sizes)
    return MotionModel(model.usual, model.most, found)


def _alike(seen: Floats) -> npt.NDArray[np.bool_]:
    """Sizes near those that were seen, by place and by size."""
    near = np.stack([_dilated(seen[..., kind]) for kind in range(SIZES)], -1)
    padded = np.pad(near, ((0, 0), (0, 0), (1, 1)))
    return np.asarray(np.max([padded[..., at : at + SIZES] for at in range(3)], 0) > 0)


def _around(speeds: Floats) -> Floats:
    """The highest speeds near every place and direction."""
    near = np.stack([_dilated(speeds[..., direction]) for direction in range(DIRECTIONS)], -1)
    return np.asarray(np.max([np.roll(near, turn, -1) for turn in range(-TURN, TURN + 1)], 0), np.float32)


def _dilated(speeds: Floats) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.dilate(np.ascontiguousarray(speeds), np.ones((2 * REACH + 1, 2 * REACH + 1))), np.float32)
