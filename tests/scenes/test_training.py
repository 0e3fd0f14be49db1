"""The fit: it lowers the loss, holds the last part out, repeats exactly, and keeps complete passes."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from msflow_stream.config.settings import FitSettings
from msflow_stream.scenes.checkpoints import FileCheckpoints
from msflow_stream.scenes.feature_cache import FeatureCache
from msflow_stream.scenes.features import NormalFeatures, extract
from msflow_stream.scenes.scene import Scene
from msflow_stream.scenes.training import FlowFit, fit_scene, learning_rate_factor
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


def prepared(*overrides: str, count: int = 20) -> tuple[Scene, NormalFeatures]:
    scene = Scene.new("gate", small_settings(*overrides))
    cache = FeatureCache()
    *_, footage = extract(scene, [frames(count), frames(count // 2, source="second")], cache, 0.1)
    return scene, footage


def fill(footage: NormalFeatures, position: int, value: float) -> None:
    """Writes over the features of one frame."""
    for scale in range(len(footage.cache.batch([position]))):
        footage.cache._frame(position, scale).fill(value)


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
    assert [footage.frames[i][:2] for i in footage.held_out] == [("normal", 90), ("normal", 95), ("second", 45)]
    assert sorted(footage.fitted + footage.held_out) == list(range(30))
    assert footage.sources == {"normal": 20, "second": 10}


def test_held_out_frames_do_not_touch_the_weights() -> None:
    scene, footage = prepared()
    list(FlowFit(scene, footage).run())
    other, changed = prepared()
    for position in changed.held_out:
        fill(changed, position, 100.0)
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


def poison(footage: NormalFeatures, value: float = math.nan) -> None:
    fill(footage, footage.fitted[0], value)


def test_a_loss_that_is_not_finite_names_the_pass_the_batch_and_what_is_left() -> None:
    scene, footage = prepared("fit.passes=3")
    fit = FlowFit(scene, footage)
    passes = fit.run()
    next(passes)
    after_one = weights(scene)
    poison(footage)
    with pytest.raises(UserError, match=r"loss is not finite in pass 2, batch \d; the last good checkpoint is pass 1"):
        next(passes)
    assert equal(weights(scene), after_one)


def test_a_gradient_that_is_not_finite_stops_the_fit_before_it_touches_the_weights() -> None:
    scene, footage = prepared("fit.passes=1")
    before = weights(scene)
    scene.flow.parallel_flows[0].module_list[0].global_offset.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(UserError, match=r"gradient is not finite in pass 1, batch 1; no pass was completed"):
        list(FlowFit(scene, footage).run())
    assert equal(weights(scene), before)


def test_rewinding_halves_the_learning_rate_and_repeats_the_pass(caplog: pytest.LogCaptureFixture) -> None:
    scene, footage = prepared("fit.passes=3", "fit.on_divergence=rewind", "fit.warmup=0", "fit.milestones=[]")
    fit = FlowFit(scene, footage)
    explosions = 2

    def explode(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal explosions
        if fit.passes and explosions:
            explosions -= 1
            return gradient * math.nan
        return gradient

    scene.flow.parallel_flows[0].module_list[0].global_offset.register_hook(explode)
    done = list(fit.run())
    assert [one.number for one in done] == [1, 2, 3]
    assert [one.learning_rate for one in done] == pytest.approx([1e-4, 2.5e-5, 2.5e-5])
    assert "back to pass 1 with 0.5 of the learning rate" in caplog.text

    other, same_footage = prepared("fit.passes=3", "fit.warmup=0", "fit.milestones=[]")
    plain = FlowFit(other, same_footage)
    passes = plain.run()
    next(passes)
    plain._slowdown = 0.25
    list(passes)
    assert equal(weights(scene), weights(other))  # nothing of the passes that exploded is left


def test_rewinding_gives_up_when_it_does_not_help() -> None:
    scene, footage = prepared("fit.on_divergence=rewind")
    poison(footage)
    with pytest.raises(UserError, match=r"at 0.015625 of the learning rate too; no pass was completed"):
        list(FlowFit(scene, footage).run())


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_resumed_fit_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, norm: str) -> None:
    overrides = ("fit.passes=5", f"model.norm={norm}", "fit.learning_rate=1e-3")
    scene, footage = prepared(*overrides)
    whole = FlowFit(scene, footage)
    list(whole.run())

    stopped, other_footage = prepared(*overrides)
    run = FlowFit(stopped, other_footage, FileCheckpoints(tmp_path)).run()
    next(run)
    next(run)
    del run  # as if killed

    resumed, again = prepared(*overrides)
    fit = FlowFit(resumed, again, FileCheckpoints(tmp_path))
    fit.resume()
    assert len(fit.passes) == 2
    assert [done.number for done in fit.run()] == [3, 4, 5]
    assert equal(weights(scene), weights(resumed))
    assert [done.loss for done in fit.passes] == [done.loss for done in whole.passes]


def test_a_damaged_checkpoint_costs_one_pass(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene, footage = prepared("fit.passes=3")
    list(FlowFit(scene, footage, FileCheckpoints(tmp_path)).run())
    newest = tmp_path / "pass-3.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    other, same_footage = prepared("fit.passes=3")
    fit = FlowFit(other, same_footage, FileCheckpoints(tmp_path))
    fit.resume()
    assert "checkpoint of pass 3 is damaged" in caplog.text
    assert [done.number for done in fit.run()] == [3]
    assert equal(weights(scene), weights(other))


def test_a_fit_does_not_go_on_with_other_settings_or_other_footage(tmp_path: Path) -> None:
    scene, footage = prepared()
    next(FlowFit(scene, footage, FileCheckpoints(tmp_path)).run())
    for overrides, count, message in (
        (["fit.seed=4"], 20, r"fit.seed was 9826, is 4"),
        (["fit.passes=9"], 20, r"fit.passes was 2, is 9"),
        ([], 21, r"30 frames, now 31"),
    ):
        other, other_footage = prepared(*overrides, count=count)
        with pytest.raises(UserError, match=message):
            FlowFit(other, other_footage, FileCheckpoints(tmp_path)).resume()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_fit_in_lower_precision_learns_the_same(precision: str) -> None:
    losses = []
    for setting in ("float32", precision):
        scene, footage = prepared("fit.passes=3", "fit.learning_rate=1e-3", f"fit.precision={setting}")
        losses.append([done.held_out_loss for done in FlowFit(scene, footage).run()])
        assert all(value.dtype == torch.float32 for value in weights(scene).values() if value.is_floating_point())
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


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
    scene = fit_scene(
        "gate", [frames(30)], small_settings("score.smoothing=0", "fit.holdout=0.2", "event.min_duration=0")
    )
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
