"""Events look alike by what moves in them, wherever that is, and not by what stands around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.motion import DIRECTIONS, Floats, MotionModel
from msflow_stream.teaching.fitting.likeness import ALIKE, Likeness
from msflow_stream.video.motion import PLACES

EVERYWHERE = np.ones(PLACES, np.bool_)
LEFT, RIGHT = slice(4, 12), slice(30, 38)


def footage(kind: int | None, columns: slice = LEFT, moves: bool = True, frames: int = 4) -> NormalFeatures:
    """Frames in which a thing of a kind is in sight and moves; noise where None."""
    found = NormalFeatures(FeatureCache())
    scale = torch.randn((frames, 6, *PLACES), generator=torch.Generator().manual_seed(5))
    field = np.zeros((*PLACES, 3), np.float32)
    if kind is not None:
        scale[:, kind, 8:16, columns] += 6
        field[8:16, columns] = 0.5, 0.0, 1.0
    found.cache.add([scale])
    found.frames = [("clip", number, number / 5) for number in range(frames)]
    found.motion = dict.fromkeys(range(frames), field * moves)
    return found


@pytest.fixture(scope="module")
def likeness() -> Likeness:
    normal = footage(None)
    return Likeness(normal, range(4), MotionModel(np.full((*PLACES, DIRECTIONS), 0.1, np.float32)))


def looks(likeness: Likeness, events: NormalFeatures, place: np.ndarray = EVERYWHERE) -> Floats:
    found = likeness.looks(events, range(len(events.frames)), place)
    assert found is not None
    return found


def test_things_of_a_kind_are_alike_wherever_they_are(likeness: Likeness) -> None:
    first = looks(likeness, footage(1))
    assert first @ looks(likeness, footage(1, RIGHT)) > ALIKE
    assert first @ looks(likeness, footage(2)) < 0.5


def test_what_does_not_move_is_told_by_its_place(likeness: Likeness) -> None:
    place = np.zeros(PLACES, np.bool_)
    place[8:16, RIGHT] = True
    still = looks(likeness, footage(1, RIGHT, moves=False), place)
    assert still @ looks(likeness, footage(1)) > ALIKE


def test_an_event_without_frames_has_no_looks(likeness: Likeness) -> None:
    assert likeness.looks(footage(1), [], EVERYWHERE) is None
