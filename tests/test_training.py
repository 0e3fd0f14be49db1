"""The fit: it lowers the loss, holds the last part out, repeats exactly, and keeps complete passes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from msflow_stream.config import FitSettings
from msflow_stream.features import FeatureCache
from msflow_stream.footage import Footage, extract
from msflow_stream.scene import Scene
from msflow_stream.training import FlowFit, fit_scene, learning_rate_factor
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


def prepared(*overrides: str, count: int = 20) -> tuple[Scene, Footage]:
    scene = Scene.new("gate", small_settings(*overrides))
    cache = FeatureCache()
    *_, footage = extract(scene, [frames(count), frames(count // 2, source="second")], cache, 0.1)
    return scene, footage


def weights(scene: Scene) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in scene.flow.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_fit_lowers_the_loss_of_frames_it_has_not_seen() -> None:
    scene, footage = prepared("fit.passes=6", "fit.learning_rate=1e-3")
    passes = list(FlowFit(scene, footage).run())
    assert [done.number for done in passes] == [1, 2, 3, 4, 5, 6]
    first, last = passes[0].held_out_loss, passes[-1].held_out_loss
    assert first is not None
    assert last is not None
    assert last < first - 0.1


def test_the_last_tenth_of_each_source_is_held_out() -> None:
    _, footage = prepared()
    assert [footage.origin[i][:2] for i in footage.held_out] == [("normal", 90), ("normal", 95), ("second", 45)]
    assert sorted(footage.fitted + footage.held_out) == list(range(30))
    assert footage.sources == {"normal": 20, "second": 10}


def test_held_out_frames_do_not_touch_the_weights() -> None:
    scene, footage = prepared()
    list(FlowFit(scene, footage).run())
    other, changed = prepared()
    for position in changed.held_out:
        for features in changed.cache._frames[position]:
            features.fill(100.0)
    list(FlowFit(other, changed).run())
    assert equal(weights(scene), weights(other))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(np.random.default_rng().integers(1000))  # what came before must not matter
        scene, footage = prepared(f"fit.seed={seed}")
        list(FlowFit(scene, footage).run())
        results.append(weights(scene))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


def test_the_backbone_does_not_change() -> None:
    scene, footage = prepared()
    before = {name: value.clone() for name, value in scene.pyramid.state_dict().items()}
    list(FlowFit(scene, footage).run())
    assert equal(before, scene.pyramid.state_dict())


def test_an_interrupted_pass_is_undone() -> None:
    scene, footage = prepared("fit.passes=3")
    seen = []

    def interrupt(frames: int) -> None:
        seen.append(frames)
        if sum(seen) > len(footage.fitted):
            raise KeyboardInterrupt

    passes = FlowFit(scene, footage).run(interrupt)
    assert next(passes).number == 1
    after_one = weights(scene)
    with pytest.raises(KeyboardInterrupt):
        next(passes)
    assert equal(weights(scene), after_one)


def test_a_loss_that_is_not_finite_names_pass_and_batch() -> None:
    scene, footage = prepared()
    for features in footage.cache._frames[footage.fitted[0]]:
        features.fill(math.nan)
    with pytest.raises(UserError, match=r"not finite in pass 1, batch \d"):
        list(FlowFit(scene, footage).run())


def test_sources_without_frames_are_refused() -> None:
    with pytest.raises(UserError, match="no frames"):
        fit_scene("gate", [[]], small_settings())


def test_the_schedule_is_the_paper_s() -> None:
    settings = FitSettings(passes=100)
    factors = [learning_rate_factor(number, settings) for number in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[6] == pytest.approx(0.55)
    assert factors[11] == pytest.approx(0.1 + 0.9 * 11 / 12)
    assert factors[12:70] == [1.0] * 58
    assert factors[70:90] == pytest.approx([0.33] * 20)
    assert factors[90:] == pytest.approx([0.33**2] * 10)


def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, footage = prepared("fit.passes=1", "fit.clip=0.01")
    norms = []
    original = torch.optim.Adam.step

    def record(self: torch.optim.Adam, *arguments: object) -> object:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients]))))
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim.Adam, "step", record)
    list(FlowFit(scene, footage).run())
    assert norms
    assert max(norms) <= 0.01 * (1 + 1e-4)


def test_thresholds_are_what_no_normal_frame_exceeds() -> None:
    scene = fit_scene("gate", [frames(30)], small_settings("score.smoothing=0", "fit.holdout=0.2"))
    calibration = scene.calibration
    assert calibration is not None
    held_out = itertools.islice(frames(30), 24, 30)
    measures = scene.measure(torch.stack([scene.prepare(frame.image) for frame in held_out]))
    assert calibration.frames == 6
    assert calibration.thresholds["paper"] == pytest.approx(float(measures.score.max()), rel=1e-5)
    assert calibration.thresholds["surprise"] == pytest.approx(float(measures.surprise.max()), rel=1e-5)
    assert calibration.quantiles["surprise_mean"]["0.5"] == pytest.approx(
        float(np.median(measures.surprise_mean)), rel=1e-5
    )
