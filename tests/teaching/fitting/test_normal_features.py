"""What a fit keeps of its normal footage is bounded, evenly spread, and comes back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import NormalFeatures
from msflow_stream.scenes.scene import Scene
from msflow_stream.teaching.fitting import normal_features
from msflow_stream.teaching.fitting.footage import TaughtFootage
from msflow_stream.teaching.fitting.normal_features import RUN, add_normal, chosen, keep_normal
from msflow_stream.teaching.layout import normal_folder
from msflow_stream.types import UserError
from msflow_stream.video.motion import PLACES
from tests.support.footage import small_settings


def footage(frames: int, held_out: int) -> NormalFeatures:
    found = NormalFeatures(FeatureCache())
    found.cache.add(
        [torch.arange(frames * 8.0).reshape(frames, 2, 2, 2), torch.arange(frames * 3.0).reshape(frames, 3, 1, 1)]
    )
    found.frames = [("clip", 5 * number, number / 5) for number in range(frames)]
    found.held_out = list(range(frames - held_out, frames))
    found.motion = {number: np.full((*PLACES, 3), number, np.float32) for number in range(1, frames)}
    return found


def scene(*overrides: str) -> Scene:
    return Scene.new("gate", small_settings(*overrides))


def test_what_is_kept_comes_back_behind_what_is_there(tmp_path: Path) -> None:
    kept, back = footage(20, 6), TaughtFootage(FeatureCache())
    keep_normal(tmp_path / "gate", scene(), kept)
    back.cache.add([one[:1] for one in kept.cache.batch([3])])
    back.frames, back.taught = [("event", 0, 0.0)], 1
    add_normal(tmp_path / "gate", scene(), back)
    assert back.frames[1:] == kept.frames
    assert back.held_out == [1 + one for one in kept.held_out]
    assert back.before == list(range(1, 15))
    for found, wanted in zip(back.cache.batch(range(1, 21)), kept.cache.batch(range(20)), strict=True):
        torch.testing.assert_close(found, wanted)
    assert all((back.motion[1 + at] == field).all() for at, field in kept.motion.items())
    assert 1 not in back.motion


def test_fitted_frames_are_spread_and_held_out_ones_stay_in_runs() -> None:
    some = footage(1000, 400)
    positions = chosen(some, 300)
    fitted, held_out = ([one for one in positions if (one >= 600) == late] for late in (False, True))
    assert len(positions) <= 300
    assert max(np.diff(fitted)) <= 4
    assert len(held_out) == 2 * RUN
    assert sum(np.diff(held_out) > 1) <= 1


def test_there_is_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal_features, "MOST_BYTES", 2 * 11 * 10)
    assert len(chosen(footage(100, 0), 1500)) == 10


def test_taught_frames_are_the_share_that_was_asked_for() -> None:
    mixed = TaughtFootage(FeatureCache(), share=0.2, taught=10)
    mixed.frames = [("", number, 0.0) for number in range(170)]
    mixed.held_out = list(range(150, 170))
    assert len(mixed.fitted) == 140 + 10 * 4
    assert sorted(set(mixed.fitted)) == list(range(150))


def test_with_keep_0_nothing_is_kept_and_another_input_is_refused(tmp_path: Path) -> None:
    keep_normal(tmp_path / "gate", scene(), footage(20, 6))
    with pytest.raises(UserError, match="another backbone or input"):
        add_normal(tmp_path / "gate", scene("input.size=[96,96]"), NormalFeatures(FeatureCache()))
    keep_normal(tmp_path / "gate", scene("fit.keep=0"), footage(20, 6))
    assert not list(normal_folder(tmp_path / "gate").iterdir())
