"""Scenes that are told what motion is normal instead of learning it, and frames that show what moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from msflow_stream.scenes.joint import Joint, Logistic
from msflow_stream.scenes.motion import DIRECTIONS, MotionModel
from msflow_stream.scenes.scene import Scene
from msflow_stream.types import Earlier, Frame
from msflow_stream.video.motion import PLACES, grey

USUAL = 0.05  # widths per second


def knowing(scene: Scene) -> Scene:
    """Returns the scene, to which everywhere the same speed is normal; it has all kinds of score from now on."""
    scene.motion = MotionModel(np.full((*PLACES, DIRECTIONS), USUAL, np.float32))
    part = Logistic(median=1.0, scale=0.5)
    scene.joint = Joint(top=part, mean=part, motion=part, heat=part)
    return scene


def moving(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yields frames of one source, each but the first with the one before it as what motion is seen against."""
    before: Frame | None = None
    for frame in frames:
        yield frame if before is None else replace(frame, earlier=Earlier(grey(before.image), frame.time - before.time))
        before = frame
